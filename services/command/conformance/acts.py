"""The acts of a check: each makes the platform behave in one way towards one decision at a time, and has to be proved.

An act passes with one decision that ends as wanted and is failed by any mistake in it; what proves nothing is tried again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from hearthmind.contracts.outcome import CLIENT, PLATFORM
from services.command.conformance.findings import Noted

State = Literal["waiting", "running", "passed", "failed", "not tried"]

TRIES_MAX = 3
NOTHING = "nothing"
"""How a decision ended of which no outcome has come for now."""
UNREPORTED = "unreported"
"""The same where one had to come."""
SENT_AGAIN = "sent again"
PASSED_OVER_MAX = 10
"""After so many observations that an act can't use it is left out."""


@dataclass(slots=True)
class Act:
    """One act and how far it is."""

    name: str
    wanted: str
    """Whose action has to be executed: the platform's, or the game's own."""
    mistake: str
    """What it is called where that never happens."""
    tries_max: int = TRIES_MAX
    state: State = "waiting"
    why: str = ""
    cases: dict[str, str] = field(default_factory=dict)
    """Decisions, with how each ended; empty while it is open."""
    passed_over: int = 0

    @property
    def is_done(self) -> bool:
        """Whether it needs no more decisions."""
        settled = self.state in {"passed", "failed", "not tried"}
        return settled or (len(self.cases) >= self.tries_max and all(self.cases.values()))

    @property
    def is_open(self) -> bool:
        """Whether it waits for the end of a decision."""
        return not all(self.cases.values())

    def begin(self, decision: str) -> None:
        """Takes a decision."""
        self.state = "running"
        self.cases[decision] = ""

    def ended(self, decision: str, how: str) -> None:
        """A decision has ended: by whose action, or with nothing for now."""
        self.cases[decision] = how
        if how == self.wanted and self.state == "running":
            self.state = "passed"

    def void(self, decision: str, why: str) -> None:
        """A decision can't prove anything after all."""
        self.cases.pop(decision, None)
        self.pass_over(why)

    def pass_over(self, why: str) -> None:
        """An observation is of no use here."""
        self.passed_over += 1
        if self.passed_over >= PASSED_OVER_MAX and self.state in {"waiting", "running"}:
            self.leave_out(why)

    def leave_out(self, why: str) -> None:
        """It is not played to its end."""
        if self.state in {"waiting", "running"}:
            self.state, self.why = "not tried", why

    def fail(self, why: str) -> None:
        """A mistake was made in it."""
        self.state, self.why = "failed", why

    def judged(self) -> Iterator[Noted]:
        """At the end of a check: what it comes to that no decision ended as wanted."""
        if self.state != "running":
            return
        hows = [how for how in self.cases.values() if how]
        if not hows:
            self.leave_out("the time was over")
        elif self.mistake and any(how != NOTHING for how in hows):
            self.fail(f"{self.mistake}: {len(hows)} tries, none ended as it should")
            yield Noted(self.mistake, f"the platform {self.name}: {len(hows)} tries, none ended as it should")
        else:
            self.leave_out("no outcome came that would show it")


AT_ONCE = "answers at once"
LAST_MOMENT = "answers just before the deadline"
SILENT = "stays silent"
LATE = "answers after the deadline"
AGAIN = "answers twice, and answers what is over"
FUTURE = "answers in words of the future"
UNCONFIRMED = "confirms outcomes late"
AWAY = "is away for a moment"


def all_acts() -> dict[str, Act]:
    """The acts in their order."""
    acts = (
        Act(AT_ONCE, PLATFORM, "answer-ignored"),
        Act(LAST_MOMENT, PLATFORM, "gives-up-early"),
        Act(SILENT, CLIENT, "fallback-not-reported"),
        Act(LATE, CLIENT, ""),
        Act(AGAIN, PLATFORM, "answer-ignored"),
        Act(FUTURE, PLATFORM, "future-refused"),
        Act(UNCONFIRMED, SENT_AGAIN, "never-sends-again"),
        Act(AWAY, PLATFORM, "not-back"),
    )
    return {act.name: act for act in acts}
