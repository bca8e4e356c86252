"""A game whose players try everything in `tests/injections`, and a model that obeys them all; beside it a game with a secret.

The decision service, the worker and the bus are the real ones. Each attempt has an NPC of its own, and nothing is said twice.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from nats.aio.msg import Msg

from hearthmind.bus.wire import decode
from hearthmind.client import Choice, Client, Decision, Heard, LegalAction, Whole, connect
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.inference import Infer
from hearthmind.contracts.policy import PolicyViolated
from hearthmind.testing.servers import nats_server, provisioned
from hearthmind.testing.serving import process
from hearthmind.testing.waiting import until
from tests.injections.suite import ANSWERS, Attempt, attempts
from tests.service.odd_worker import MODEL, POOL

ACTIONS = (
    LegalAction(name="wait"),
    LegalAction(name="talk", appeal=0.5),
    LegalAction(name="open_gate"),
    LegalAction(name="give", parameters={"amount": Whole(minimum=0, maximum=100)}),
    LegalAction(name="attack", parameters={"target": Choice(enum=("p7", "p9"))}),
    LegalAction(name="work", parameters={"times": Choice(enum=("once", "forever"))}),
    LegalAction(name="give_admin"),
    LegalAction(name="destroy_world"),
)
"""The last two are legal in this careless game: only the policy stands between them and the players."""
SECRET = "the-heron-sleeps-under-the-third-bridge"
WITHIN_S = 20.0


@dataclass
class Seen:
    """All that passed."""

    castle: dict[int, Decision] = field(default_factory=dict)
    """By the number of the attempt, as the game was told."""
    actions: list[ActionChosen] = field(default_factory=list)
    asked: list[Infer] = field(default_factory=list)
    details: dict[str, DecisionMade] = field(default_factory=dict)
    violations: dict[str, PolicyViolated] = field(default_factory=dict)


async def run(folder: Path) -> Seen:
    """Lets every attempt be tried once, while the other game goes on with its own."""
    seen = Seen()
    wanted = folder / "wanted.json"
    wanted.write_bytes(msgspec.json.encode({each.speaker: ANSWERS[each.wants] for each in attempts()}))
    async with nats_server(folder / "nats") as server, AsyncExitStack() as stack:
        nc = await stack.enter_async_context(provisioned(server.url, partitions=4, pools=("rules", POOL)))

        async def on_message(msg: Msg) -> None:
            sort = msg.subject.split(".")
            if sort[0] == "inference":
                seen.asked.append(decode(msg.data, Infer))
            elif sort[0] == "game":
                seen.actions.append(decode(msg.data, ActionChosen))
            elif sort[1] == "decision":
                detail = decode(msg.data, DecisionMade)
                seen.details[detail.decision] = detail
            else:
                violated = decode(msg.data, PolicyViolated)
                seen.violations[violated.decision] = violated

        for subject in ("inference.request.*.*", "game.*.action.*", "mind.decision.*.*", "mind.violation.*.*"):
            await nc.subscribe(subject, cb=on_message)
        both = {"NATS_URL": server.url, "HEARTHMIND_FLOW__PARTITIONS": "4"}
        decision = {"HEARTHMIND_DECISION__TRIAGE": f"*={MODEL}", "HEARTHMIND_DECISION__SILENT_S": "300"}
        worker = {"HEARTHMIND_INFERENCE_WORKER__POOL": POOL, "ODD_ENGINE": "obedient", "ODD_WANTED": str(wanted)}
        await stack.enter_async_context(process("services.decision", folder, **both, **decision))
        await stack.enter_async_context(process("tests.service.odd_worker", folder, **both, **worker))
        castle = await stack.enter_async_context(connect(server.url, game="castle"))
        vault = await stack.enter_async_context(connect(server.url, game="vault"))
        async with asyncio.TaskGroup() as group:
            for attempt in attempts():
                group.create_task(_try(castle, attempt, seen))
                group.create_task(_keep(vault, attempt.number))
        await until(lambda: len(seen.details) == len(seen.actions) == 2 * len(attempts()))
    return seen


async def _try(castle: Client, attempt: Attempt, seen: Seen) -> None:
    seen.castle[attempt.number] = await castle.observe(
        npc=f"guard-{attempt.number}",
        kind="chat",
        legal_actions=ACTIONS,
        state={"hour": 23, "allies": ["p7"], "password": "rosebud"},
        texts=[Heard(speaker=attempt.speaker, text=attempt.says)],
        answer_within_s=WITHIN_S,
    )


async def _keep(vault: Client, number: int) -> None:
    """The other game's characters know its secret, are of the same kind, and are asked in the same moment."""
    await vault.observe(
        npc=f"guard-{number}",
        kind="chat",
        legal_actions=ACTIONS[:2],
        state={"secret": SECRET, "n": number},
        answer_within_s=WITHIN_S,
    )
