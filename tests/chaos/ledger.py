"""The game's own account: what was executed, when, and by whose choice. The laws are about this and what Postgres has."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from hearthmind import legal
from hearthmind.client import Client, Decision
from hearthmind.contracts.outcome import CLIENT
from hearthmind.testing.waiting import until

LOOK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Executed:
    """What the game did for one decision."""

    action: str
    by_client: bool
    asked_s: float
    took_s: float
    allowed_s: float


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
        self.executed[decision.id] = Executed(decision.action, by_client, now_s - took_s, took_s, allowed_s)
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
