"""A backlog of decisions for benchmarks of the reward service, and the servers that it lies on: a real NATS and a real Postgres.

Each decision is three messages of 1 KB and more: action, detail with a prompt, outcome.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from nats.aio.client import Client as Nats

from hearthmind import ids
from hearthmind.bus.publish import Publisher
from hearthmind.bus.wire import encode
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.inference import Turn
from hearthmind.contracts.observation import Choice, LegalAction, Observation, Whole
from hearthmind.contracts.outcome import Executed, OutcomeObserved
from hearthmind.embedded.nats import EmbeddedNats, NatsConfig
from hearthmind.embedded.postgres import EmbeddedPostgres, remove
from hearthmind.embedded.processes import Command, Supervisor
from hearthmind.settings import Broker, Store, as_environment
from hearthmind.store.migrate import upgrade
from hearthmind.testing.waiting import until

GAME, NPCS = "realm", 200
AT_ONCE = 1_000
PATIENCE_S = 300.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
Said = tuple[str, bytes, str]
SYSTEM = "You lead a tribe in a world of villages, troops, trade and treaties. Answer with one legal action. " * 12


def a_backlog(decisions: int, seed: int, apart: int = 0, resent: int = 0) -> list[Said]:
    """All that is said: each outcome so many decisions after its own, and so often again after all the others."""
    dice = random.Random(seed)
    said = [tuple(a_decision(number, dice)) for number in range(decisions)]
    late = [*((None,) * apart), *(each[2] for each in said)]
    early = [*(each[:2] for each in said), *(((),) * apart)]
    first = [one for two, outcome in zip(early, late, strict=True) for one in (*two, *((outcome,) if outcome else ()))]
    again = [
        (subject, body, f"{message_id}-{time}") for time in range(resent) for _, _, (subject, body, message_id) in said
    ]
    return first + again


def a_decision(number: int, dice: random.Random) -> Iterator[Said]:
    """All that is said about one decision of a model."""
    decision, npc = ids.new_decision_id(), f"p{number % NPCS:04}"
    stocks = {name: dice.randrange(5_000) for name in ("wood", "clay", "iron", "crop")}
    villages = [
        {"id": dice.randrange(9_999), "wall": dice.randrange(20), "people": dice.randrange(900)} for _ in range(9)
    ]
    state = {"stocks": stocks, "rank": dice.randrange(500), "villages": villages, "troops": [dice.randrange(99)] * 10}
    seen = Observation(
        id=decision,
        game=GAME,
        npc=npc,
        kind="economic",
        legal_actions=(
            LegalAction(name="wait"),
            LegalAction(name="build", parameters={"what": Choice(enum=("woodcutter", "clay pit", "farm"))}, appeal=0.5),
            LegalAction(name="train", parameters={"amount": Whole(minimum=1, maximum=40)}, appeal=0.25),
        ),
        answer_within_ms=2_000,
        snapshot=number,
        state=msgspec.Raw(json.dumps(state).encode()),
    )
    whose: dict[str, Any] = {"decision": decision, "game": GAME, "npc": npc, "kind": "economic"}
    why = f"The stores hold {stocks['wood']} wood, and a farm feeds more people."
    action = ActionChosen(
        **whose,
        snapshot=number,
        action="build",
        arguments={"what": "farm"},
        source="model",
        model="onnx_nano",
        reasoning=why,
        confidence=0.7,
        template="strategic@3",
        persona=f"miser{number % 20}@1",
        stages_ms={"bus": 1.5, "decide": 31.25, "queue": 4.0, "engine": 22.5},
    )
    detail = DecisionMade(
        **whose,
        attempt=1,
        epoch=1,
        partition=number % 16,
        tier="strategic",
        source="model",
        tokens_in=700,
        tokens_out=40,
        experiment="tone",
        variant="ab"[number % 2],
        worker="w1",
        observation=seen,
        answer=json.dumps({"action": "build", "arguments": {"what": "farm"}, "reasoning": why}),
        prompt=(Turn("system", SYSTEM), Turn("user", f"You are {npc}. {json.dumps(state)} What do you do?")),
        behaviour={"aggression": 0.4, "economy": 0.9, "diplomacy": 0.5},
    )
    state["rank"] = dice.randrange(500)
    outcome = OutcomeObserved(
        **whose,
        executed=Executed(action="build", arguments={"what": "farm"}),
        success=True,
        facts={"production_before": 40, "production_after": dice.randrange(40, 60), "wasted": 0, "rank": 17},
        state_after=msgspec.Raw(json.dumps(state).encode()),
        game_time=float(number),
    )
    yield ids.chosen_subject(GAME, npc), encode(action), ids.message_id(GAME, npc, decision)
    yield ids.decision_subject(GAME, npc), encode(detail), ids.message_id(GAME, npc, decision, "detail")
    yield ids.outcome_subject(GAME, npc), encode(outcome), ids.message_id(GAME, npc, decision, "outcome")


async def fill(nc: Nats, said: list[Said]) -> None:
    """Puts a backlog on the bus."""
    publisher = await Publisher(nc).start()
    for start in range(0, len(said), AT_ONCE):
        some = said[start : start + AT_ONCE]
        await asyncio.gather(*[await publisher.send(*one, give_up_after_s=120) for one in some])
    await publisher.stop()

    async def is_there() -> bool:
        info = await nc.jetstream().stream_info("EXPERIENCE")
        return bool(info.state.messages == len(said))

    await until(is_there, PATIENCE_S)


@asynccontextmanager
async def servers(folder: Path, sync: str) -> AsyncIterator[tuple[EmbeddedNats, EmbeddedPostgres, Supervisor]]:
    """Broker and database, empty, with all that the reward service needs."""
    broker, database = (
        EmbeddedNats(folder / "nats", NatsConfig(sync_interval=sync)),
        EmbeddedPostgres(folder / "postgres"),
    )
    async with AsyncExitStack() as stack:
        stack.callback(remove, folder / "postgres")
        commands = [broker.command(), database.command()]
        supervisor = await stack.enter_async_context(Supervisor(commands, folder / "servers", ready_within_s=60))
        await asyncio.to_thread(upgrade, database.dsn)
        yield broker, database, supervisor


def rewards(broker: EmbeddedNats, database: EmbeddedPostgres, processes: int = 1) -> list[Command]:
    """The reward service."""
    env = as_environment("broker", Broker(url=broker.url)) | as_environment("store", Store(url=database.dsn))
    argv = (sys.executable, "-m", "services.reward")
    return [Command(name=f"reward{number}", argv=argv, env=env) for number in range(processes)]


async def has_begun(nc: Nats) -> bool:
    """Whether anything was delivered."""
    info = await nc.jetstream().consumer_info("EXPERIENCE", "reward")
    return bool(info.delivered and info.delivered.consumer_seq)


async def is_drained(nc: Nats) -> bool:
    """Whether nothing is left."""
    info = await nc.jetstream().consumer_info("EXPERIENCE", "reward")
    return not info.num_pending and not info.num_ack_pending


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and of all that it started, in user and system mode."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0  # it has ended meanwhile; its parent has counted it
    return sum(map(int, fields[11:15])) / TICKS_PER_S + sum(cpu_s(int(child)) for child in children)


def check(dsn: str, decisions: int) -> None:
    """A figure counts only where every outcome became one experience, whole."""
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "SELECT count(*), count(DISTINCT decision), count(tier), count(features) FROM experiences"
        ).fetchone()
    if found != (decisions,) * 4:
        raise SystemExit(f"{decisions} outcomes became {found} experiences")
