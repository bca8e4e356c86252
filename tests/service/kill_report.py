"""What came of killing workers: told by the game, by the broker and by the engines."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hearthmind.client import Decision
from hearthmind.contracts.action import FALLBACK, MODEL


@dataclass
class Killed:
    """What a worker had begun when it was killed, and the processes that it was."""

    at_s: float
    decisions: set[str]
    family: set[int]


@dataclass
class Report:
    """What happened, told by the game, by the broker and by the engines."""

    decided: dict[str, Decision] = field(default_factory=dict)
    asked: int = 0
    stored: Counter[str] = field(default_factory=Counter)
    """How many actions the broker stored for each decision."""
    replied: Counter[tuple[str, int]] = field(default_factory=Counter)
    kills: list[Killed] = field(default_factory=list)
    again_s: dict[str, float] = field(default_factory=dict)
    """How long after a kill another worker began what was lost."""
    gone_s: list[float] = field(default_factory=list)
    """How long after a kill nothing was left of the worker."""

    @property
    def interrupted(self) -> set[str]:
        """The decisions whose generation was cut off."""
        return set[str]().union(*(each.decisions for each in self.kills))

    @property
    def time_used(self) -> float:
        """The largest share of its time that a decision took."""
        return max((each.latency_ms / each.observation.answer_within_ms for each in self.decided.values()), default=0.0)

    def sources(self) -> Counter[str]:
        """Who decided what was cut off."""
        return Counter(self.decided[decision].source for decision in self.interrupted if decision in self.decided)

    def broken(self) -> list[str]:
        """Which promises were not kept."""
        never = self.asked - len(self.decided)
        twice = {decision for decision, count in self.stored.items() if count > 1}
        odd = {each.source for each in self.decided.values()} - {MODEL, FALLBACK, "client"}
        return [
            *([f"{never} decisions never got an action"] if never else []),
            *([f"two actions were stored for {sorted(twice)}"] if twice else []),
            *([f"decisions are said to be by {odd}"] if odd else []),
        ]


def told(report: Report) -> list[str]:
    """What happened, in lines."""
    again, gone = max(report.again_s.values(), default=0.0), max(report.gone_s, default=0.0)
    twice = sum(count > 1 for count in report.replied.values())
    return [
        f"{len(report.kills)} kills, {len(report.interrupted)} generations cut off of {report.asked} decisions",
        f"all decisions: {dict(Counter(each.source for each in report.decided.values()))}",
        f"of what was cut off: {dict(report.sources())}; begun again at the latest {again:.1f} s after the kill",
        f"of {sum(len(each.family) for each in report.kills)} processes none was left {gone:.2f} s after the kill",
        f"{twice} attempts were answered twice; the latest action came after {report.time_used:.0%} of its time",
        *(report.broken() or ["every decision had one action in time"]),
    ]
