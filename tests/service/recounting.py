"""Outcomes by the thousand while reward and Postgres are killed: `python -m tests.service.recounting --outcomes 100000`.

At the end each outcome has to be one experience, every reward what SQL makes of the facts by itself, and every counter what
is counted from the experiences. Nothing of the service's own arithmetic is used for that.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import nats
import psycopg
from nats.aio.client import Client as Nats

from hearthmind import flow, ids
from hearthmind.bus.provision import consumer_config, provision
from hearthmind.bus.publish import Publisher
from hearthmind.bus.wire import encode
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.outcome import Executed, OutcomeObserved
from hearthmind.contracts.wire import Fact
from hearthmind.embedded.nats import EmbeddedNats, NatsConfig
from hearthmind.embedded.postgres import EmbeddedPostgres, remove
from hearthmind.embedded.processes import Command, Supervisor
from hearthmind.store.migrate import upgrade
from hearthmind.testing.observations import an_observation
from hearthmind.testing.waiting import until

GAME, NPCS = "realm", 50
ROOT = Path(__file__).parents[2]
STORED_WITHIN_S = 900.0

RECOUNTED = """
WITH fact AS (
    SELECT game, decision, kind, reward,
        (facts ->> 'victory')::boolean AS victory, (facts ->> 'own_losses')::float AS own,
        (facts ->> 'enemy_losses')::float AS enemy, (facts ->> 'resources_gained')::float AS gained,
        facts -> 'predicted' = facts -> 'result' AS foreseen, (facts ->> 'production_before')::float AS before,
        (facts ->> 'production_after')::float AS after, (facts ->> 'wasted')::float AS wasted,
        (facts ->> 'queue_uptime')::float AS uptime
    FROM experiences
), recounted AS (
    SELECT *, CASE kind
        WHEN 'combat' THEN
            CASE victory WHEN true THEN 0.5 WHEN false THEN -0.5 ELSE 0 END
            + coalesce(CASE WHEN own > 0 THEN least(greatest(enemy, 0) / own / 10, 0.3) END, 0)
            + CASE WHEN gained IS NULL THEN 0 ELSE least(gained / 100000, 0.2) END
            + CASE WHEN foreseen THEN 0.1 ELSE 0 END
        WHEN 'economic' THEN
            coalesce(0.5 * (after - before) / greatest(before, 1), 0)
            - coalesce(greatest(wasted, 0) / 50000, 0)
            + 0.3 * (least(greatest(coalesce(uptime, 0.5), 0), 1) - 0.8)
    END AS total
    FROM fact
)
SELECT decision, reward, total FROM recounted WHERE abs(reward - least(greatest(total, -1), 1)) > 1e-9 OR total IS NULL
"""
COUNTERS = {
    "NPCs": "SELECT sum(decisions), sum(experiences), sum(successes), round(sum(reward_sum)::numeric, 4) FROM npcs",
    "personas": "SELECT {n}, sum(experiences), sum(successes), round(sum(reward_sum)::numeric, 4) FROM personas",
    "variants": "SELECT {n}, sum(experiences), sum(successes), round(sum(reward_sum)::numeric, 4) FROM variants",
    "days": "SELECT sum(decisions), sum(experiences), sum(successes), round(sum(reward_sum)::numeric, 4) FROM training_metrics",
}
COUNTED = "SELECT {n}, count(*), count(*) FILTER (WHERE success), round(sum(reward)::numeric, 4) FROM experiences"


@dataclass
class Report:
    """What was done, and what is wrong with what came of it."""

    outcomes: int
    kills: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


def said(numbers: range, dice: random.Random) -> Iterator[tuple[str, bytes, str]]:
    """Actions, details and outcomes; halves in any order, and one in five outcomes twice."""
    for number in numbers:
        decision, npc, kind = f"d{number}", f"p{number % NPCS}", dice.choice(("combat", "economic"))
        about = {"decision": decision, "game": GAME, "npc": npc, "kind": kind}
        action = ActionChosen(**about, snapshot=1, action="wait", source="rules", persona=f"miser{number % 3}@1")  # type: ignore[arg-type]
        detail = DecisionMade(
            **about,  # type: ignore[arg-type]
            attempt=1,
            epoch=1,
            partition=0,
            tier="routine",
            source="rules",
            observation=an_observation(id=decision, game=GAME, npc=npc),
            experiment="e",
            variant="ab"[number % 2],
        )
        outcome = OutcomeObserved(
            **about,  # type: ignore[arg-type]
            executed=Executed(action="wait"),
            success=dice.random() < 0.5,
            facts=facts_of(kind, dice),
        )
        halves = [
            (ids.chosen_subject(GAME, npc), encode(action), ids.message_id(GAME, npc, decision)),
            (ids.decision_subject(GAME, npc), encode(detail), ids.message_id(GAME, npc, decision, "detail")),
            (ids.outcome_subject(GAME, npc), encode(outcome), ids.message_id(GAME, npc, decision, "outcome")),
        ]
        if dice.random() < 0.2:
            halves.append((*halves[2][:2], f"{halves[2][2]}/again"))
        yield from dice.sample(halves, len(halves))


def facts_of(kind: str, dice: random.Random) -> dict[str, Fact]:
    """Facts of every sort, also odd ones and none."""
    if kind == "combat":
        won = dice.random() < 0.5
        whole: dict[str, Fact] = {
            "victory": won,
            "own_losses": dice.randrange(-3, 50),
            "enemy_losses": dice.randrange(-3, 300),
            "resources_gained": dice.randrange(-9_999, 99_999),
            "predicted": "won",
            "result": "won" if won else "lost",
        }
    else:
        whole = {
            "production_before": dice.randrange(0, 90),
            "production_after": dice.randrange(0, 90),
            "wasted": dice.randrange(-99, 40_000),
            "queue_uptime": round(dice.uniform(-0.5, 1.5), 3),
        }
    return {name: fact for name, fact in whole.items() if dice.random() < 0.85}


async def run(outcomes: int, kills: int, folder: Path, say: Callable[[str], None] = lambda _: None) -> Report:
    """Says all of it in waves, kills between them, and recounts."""
    report, dice = Report(outcomes), random.Random(outcomes)
    broker, database = (
        EmbeddedNats(folder / "nats", NatsConfig(sync_interval="1m")),
        EmbeddedPostgres(folder / "postgres"),
    )
    async with AsyncExitStack() as stack:
        stack.callback(remove, folder / "postgres")
        commands = [broker.command(), database.command()]
        servers = await stack.enter_async_context(Supervisor(commands, folder / "servers", ready_within_s=60))
        await asyncio.to_thread(upgrade, database.dsn)
        nc = await nats.connect(broker.url)
        stack.push_async_callback(nc.close)
        await provision(nc, partitions=1)
        await _redeliver_quickly(nc)
        publisher = await Publisher(nc).start()
        stack.push_async_callback(publisher.stop)
        env = {"NATS_URL": broker.url, "DATABASE_URL": database.dsn, "HEARTHMIND_REWARD__BATCH_MAX": "500"}
        reward = Command("reward", (sys.executable, "-m", "services.reward"), env, cwd=ROOT)
        services = await stack.enter_async_context(Supervisor([reward], folder / "reward", ready_within_s=60))
        victims = itertools.cycle(((services, "reward"), (servers, "postgres"), (services, "reward")))
        edges = [outcomes * number // (kills + 1) for number in range(kills + 2)]
        for start, end in itertools.pairwise(edges):
            for some in _batched(said(range(start, end), dice), 1_000):
                await asyncio.gather(*[await publisher.send(*one, give_up_after_s=60) for one in some])
            if end < outcomes:
                supervisor, name = next(victims)
                await _kill(supervisor, name)
                report.kills[name] = report.kills.get(name, 0) + 1
                say(f"{end:,} outcomes, killed {name}")
        await until(partial(_is_drained, nc), STORED_WITHIN_S)
        report.broken = await asyncio.to_thread(broken, database.dsn, outcomes)
    return report


def _batched(messages: Iterator[tuple[str, bytes, str]], most: int) -> Iterator[list[tuple[str, bytes, str]]]:
    while some := list(itertools.islice(messages, most)):
        yield some


async def _redeliver_quickly(nc: Nats) -> None:
    """What a killed process held comes again after two seconds instead of half a minute."""
    consumer = next(each for each in flow.CONSUMERS if each.stream == "EXPERIENCE")
    await nc.jetstream().add_consumer("EXPERIENCE", consumer_config(replace(consumer, ack_wait_s=2)))


async def _kill(supervisor: Supervisor, name: str) -> None:
    pid = supervisor.pid(name)
    if pid:
        os.kill(pid, signal.SIGKILL)
        await supervisor.wait_ready(name, other_than=pid)


async def _is_drained(nc: Nats) -> bool:
    info = await nc.jetstream().consumer_info("EXPERIENCE", "reward")
    return not info.num_pending and not info.num_ack_pending


def broken(dsn: str, outcomes: int) -> list[str]:
    """What is not as it has to be."""
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT count(*), count(DISTINCT decision), count(tier) FROM experiences").fetchone()
        letters = connection.execute("SELECT reason FROM dead_letters LIMIT 3").fetchall()
        wrong = connection.execute(RECOUNTED).fetchall()
        counted = connection.execute(COUNTED.format(n=outcomes)).fetchone()
        counters = {what: connection.execute(sql.format(n=outcomes)).fetchone() for what, sql in COUNTERS.items()}
    return [
        *(
            [f"{outcomes} outcomes became {found} experiences, decisions and whole ones"]
            if found != (outcomes,) * 3
            else []
        ),
        *([f"{len(wrong)} rewards are others than SQL finds: {wrong[:3]}"] if wrong else []),
        *(f"of {what} {have} is counted instead of {counted}" for what, have in counters.items() if have != counted),
        *(f"a dead letter: {reason}" for (reason,) in letters),
    ]


async def main(outcomes: int, kills: int) -> None:
    """Prints what happened."""
    with tempfile.TemporaryDirectory() as name:
        report = await run(outcomes, kills, Path(name), print)
    print(f"{report.outcomes:,} outcomes, killed {report.kills}")  # noqa: T201
    print("\n".join(report.broken or ["each is one experience, and every reward and counter as SQL finds it"]))  # noqa: T201
    sys.exit(bool(report.broken))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outcomes", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=60)
    options = parser.parse_args()
    asyncio.run(main(options.outcomes, options.kills))
