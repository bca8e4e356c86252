"""A crowd of NPCs at a real broker, and a strict count of what each of their observations gets.

The decision service and the workers run as processes of their own. What the broker stored is counted beside what the client was
told, so that neither the platform nor the client is believed about itself.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

import msgspec
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from hearthmind import legal
from hearthmind.bus.wire import decode, encode
from hearthmind.client import Client, LegalAction, Whole, connect
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.inference import Inferred
from hearthmind.contracts.observation import Observation
from hearthmind.contracts.outcome import CLIENT
from hearthmind.testing.servers import nats_server, provisioned
from hearthmind.testing.serving import process
from hearthmind.testing.waiting import until
from tests.service.odd_worker import MODEL, POOL

KIND = "tactical"
ACTIONS = (
    LegalAction(name="give", parameters={"amount": Whole(minimum=0, maximum=100, default=1)}, appeal=0.5),
    LegalAction(name="wait"),
    LegalAction(name="talk", appeal=0.1),
    LegalAction(name="destroy_world", appeal=-1),
)
LIE = "Lie"
FORGED_EVERY = 50
"""Of so many decisions one has forged replies: each freezes its NPC, and frozen ones ask no model."""
FORBIDDEN = ("destroy_world",)
"""Legal in the game, and against the policy."""


@dataclass
class Count:
    """What became of the observations."""

    asked: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    """By who decided, as the game was told."""
    by_sort: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By what the engine did, and who decided."""
    stored: Counter[str] = field(default_factory=Counter)
    """How many actions the broker stored for each decision."""
    wrong: list[str] = field(default_factory=list)
    """Stored actions that were not legal, or forbidden."""
    whys: Counter[str] = field(default_factory=Counter)
    """Why the fallback answered."""
    late: int = 0
    """What the platform said after the game's deadline, and what it never said."""
    illegal: int = 0
    doubled: int = 0
    took_s: float = 0.0

    def broken(self) -> list[str]:
        """Which promises were not kept."""
        twice = [decision for decision, times in self.stored.items() if times != 1]
        total = self.answered.total()
        return [
            *([f"{self.asked - total} observations never got an action"] if total != self.asked else []),
            *([f"{len(twice)} decisions have not exactly one action, such as {twice[0]}"] if twice else []),
            *([f"{len(self.wrong)} actions were wrong: {self.wrong[0]}"] if self.wrong else []),
            *([f"{self.illegal} actions were illegal"] if self.illegal else []),
            *([f"{self.doubled} actions came twice"] if self.doubled else []),
        ]

    def lines(self) -> list[str]:
        """What people are told."""
        platform = self.answered.total() - self.answered[CLIENT]
        sources = ", ".join(f"{source} {number}" for source, number in self.answered.most_common())
        return [
            f"{self.asked} observations in {self.took_s:.0f} s: {sources}",
            f"by the platform in time: {platform} ({100 * platform / max(1, self.asked):.3f} %);"
            f" by the game's own fallback: {self.answered[CLIENT]}",
            *(f"  {number:8} {why}" for why, number in self.whys.most_common(12) if why),
            *(self.broken() or ["each had exactly one legal action before its deadline, and none broke the policy"]),
        ]


async def play(
    observations: int,
    folder: Path,
    engine: dict[str, str],
    sort_of: Callable[[str], str],
    *,
    npcs: int,
    within_s: float,
    early_s: float,
    has_liar: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Count:
    """Lets a crowd ask until so many observations are answered, with workers that run such an engine."""
    counted = Count()
    async with nats_server(folder / "nats") as server, AsyncExitStack() as stack:
        nc = await stack.enter_async_context(provisioned(server.url, partitions=4, pools=("rules", POOL)))
        known: dict[str, Observation] = {}

        async def on_stored(msg: Msg) -> None:
            action = decode(msg.data, ActionChosen)
            counted.stored[action.decision] += 1
            problem = legal.problem(known[action.decision], action.action, action.arguments)
            if problem or action.action in FORBIDDEN:
                counted.wrong.append(problem or f"{action.action} by {action.source} ({action.why})")

        await nc.subscribe("game.*.action.*", cb=on_stored, pending_msgs_limit=-1, pending_bytes_limit=-1)
        if has_liar:
            await nc.subscribe("inference.reply.*", cb=partial(_lie, nc))
        await stack.enter_async_context(_services(server.url, folder, engine, early_s))
        game = await stack.enter_async_context(connect(server.url, game="crowd"))
        numbers, began_s = count(1), time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(npcs):
                group.create_task(
                    _ask(game, f"p{number:05}", numbers, observations, within_s, known, counted, sort_of, say)
                )
        counted.took_s = time.monotonic() - began_s
        platform = counted.asked - counted.answered[CLIENT]
        await until(lambda: len(counted.stored) >= platform, within_s=60)
        await nc.flush()
        tally = game.tally
        counted.late, counted.illegal, counted.doubled = tally.late, tally.illegal, tally.doubled
    return counted


async def _lie(nc: Nats, msg: Msg) -> None:
    """Somebody on the bus repeats each reply, makes up others for the same decision, and talks nonsense."""
    if LIE in (msg.headers or {}):
        return
    reply = decode(msg.data, Inferred)
    wish = '{"action":"destroy_world"}'
    repeated = (msg.data, msg.data[:-7], b"null")
    forged = (
        encode(msgspec.structs.replace(reply, text=wish, failed="", failure="")),
        encode(msgspec.structs.replace(reply, text=wish, failed="", failure="", attempt=reply.attempt + 1)),
        encode(msgspec.structs.replace(reply, text=wish, npc="nobody")),
    )
    is_forged = zlib.crc32(reply.decision.encode()) % FORGED_EVERY == 0
    for lie in (*repeated, *(forged if is_forged else ())):
        await nc.publish(msg.subject, lie, headers={LIE: "yes"})


async def _ask(
    game: Client,
    npc: str,
    numbers: count[int],
    most: int,
    within_s: float,
    known: dict[str, Observation],
    counted: Count,
    sort_of: Callable[[str], str],
    say: Callable[[str], None],
) -> None:
    while (number := next(numbers)) <= most:
        seen = game.observation(
            npc=npc, kind=KIND, legal_actions=ACTIONS, state={"n": number}, answer_within_s=within_s
        )
        known[seen.id] = seen
        counted.asked += 1
        decision = await game.ask(seen)
        problem = legal.problem(seen, decision.action, decision.arguments)
        if problem:
            counted.wrong.append(f"the game was told: {problem}")
        counted.answered[decision.source] += 1
        counted.whys[decision.chosen.why[:60]] += 1
        counted.by_sort[sort_of(seen.id), decision.source] += 1
        if number % 5_000 == 0:
            say(f"{number} of {most}: {dict(counted.answered)}")


@asynccontextmanager
async def _services(url: str, folder: Path, engine: dict[str, str], early_s: float) -> AsyncIterator[None]:
    decision = {
        "HEARTHMIND_DECISION__TRIAGE": f"*={MODEL}",
        "HEARTHMIND_DECISION__ANSWER_EARLY_MS": f"{early_s * 1000:g}",
        "HEARTHMIND_DECISION__SILENT_S": "300",  # however bad the model is: it is asked again and again
    }
    worker = {"HEARTHMIND_INFERENCE_WORKER__POOL": POOL, **engine}
    both = {"NATS_URL": url, "HEARTHMIND_FLOW__PARTITIONS": "4"}
    async with (
        process("services.decision", folder, **both, **decision),
        process("tests.service.odd_worker", folder, **both, **worker),
    ):
        yield
