"""The game's own account: what was executed, when, and by whose choice. The laws are about this and what Postgres has."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, field

from hearthmind import legal
from hearthmind.client import Client, Decision
from hearthmind.contracts.outcome import CLIENT
from hearthmind.testing.waiting import until

LOOK_EVERY_S = 0.02
KNOWN = "the broker is away"
"""What a client says that no longer waits for its broker."""


@dataclass(frozen=True, slots=True)
class Executed:
    """What the game did for one decision."""

    action: str
    by_client: bool
    asked_s: float
    took_s: float
    allowed_s: float
    why: str = ""
    state: bytes = b""
    """The hash of what the game showed."""


@dataclass(frozen=True)
class Alone:
    """A game without broker, database and inference: its client's decisions, each with the ms from asking to acting."""

    waited: tuple[float, ...] = ()
    """Until their time was up: it was not known yet that the broker is away."""
    at_once: tuple[float, ...] = ()
    outcomes_before: int = 0
    """Those in the journal."""
    outcomes_after: int = 0

    def __str__(self) -> str:
        outcomes = f"outcomes in the journal: {self.outcomes_before} before, {self.outcomes_after} after"
        return f"{_told(self.waited, 'at their time')}; {_told(self.at_once, 'at once')}; {outcomes}"


NEVER_ALONE = Alone()


def _told(took_ms: tuple[float, ...], how: str) -> str:
    if not took_ms:
        return f"none {how}"
    ordered = sorted(took_ms)
    middle, late = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
    return f"{len(ordered)} {how} (p50 {middle:.0f}, p99 {late:.0f}, at most {ordered[-1]:.0f} ms)"


@dataclass
class Ledger:
    """Hears of each decision of a client."""

    mind: Client
    executed: dict[str, Executed] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)
    illegal: list[str] = field(default_factory=list)
    lag_s: float = 0.0
    """How late the game's own loop was at the worst: so much of a late action is not the platform's."""
    answered_by_model_s: float = 0.0
    """When the game last heard an answer that had passed all services."""

    def decided(self, decision: Decision) -> None:
        """One action is executed."""
        if decision.id in self.executed:
            self.twice.append(decision.id)
        if wrong := legal.problem(decision.observation, decision.action, decision.arguments):
            self.illegal.append(f"{decision.id}: {wrong}")
        now_s, took_s = time.monotonic(), decision.latency_ms / 1000
        allowed_s = decision.observation.answer_within_ms / 1000
        by_client = decision.source == CLIENT
        self.executed[decision.id] = Executed(
            decision.action, by_client, now_s - took_s, took_s, allowed_s, decision.chosen.why, hash_of(decision)
        )
        if decision.source == "model":
            self.answered_by_model_s = now_s

    @property
    def unconfirmed(self) -> set[str]:
        """Whose outcomes are not known to be stored."""
        return {entry.id for entry in self.mind.journal.pending()}

    def overdue(self) -> list[str]:
        """Whose action came after its time."""
        return [
            decision
            for decision, each in self.executed.items()
            if each.took_s > each.allowed_s + self.lag_s + LOOK_EVERY_S
        ]

    def alone_since(self, began_s: float, waiting: int) -> Alone:
        """What the client decided by itself of what was asked from then on."""
        alone = [each for each in self.executed.values() if each.by_client and each.asked_s >= began_s]
        return Alone(
            tuple(1000 * each.took_s for each in alone if each.why != KNOWN),
            tuple(1000 * each.took_s for each in alone if each.why == KNOWN),
            waiting,
            len(self.unconfirmed),
        )

    async def watch_lag(self) -> None:
        """Looks for how late the loop is, without end."""
        while True:
            before_s = time.monotonic()
            await asyncio.sleep(LOOK_EVERY_S)
            self.lag_s = max(self.lag_s, time.monotonic() - before_s - LOOK_EVERY_S)

    async def alive_after(self, within_s: float) -> float | None:
        """How long until an answer comes that passed all services; None where none does."""
        began_s = time.monotonic()
        try:
            await until(lambda: self.answered_by_model_s > began_s, within_s)
        except TimeoutError:
            return None
        return time.monotonic() - began_s

    async def drained_after(self, within_s: float) -> float | None:
        """How long until what is unconfirmed now is confirmed; None where it takes longer."""
        began_s, waiting = time.monotonic(), list(self.unconfirmed)

        def drained() -> bool:
            while waiting and waiting[-1] not in self.mind.journal:
                waiting.pop()
            return not waiting

        try:
            await until(drained, within_s)
        except TimeoutError:
            return None
        return time.monotonic() - began_s


def hash_of(decision: Decision) -> bytes:
    """As Postgres computes it of what it has kept."""
    return hashlib.sha256(bytes(decision.observation.state)).digest()
