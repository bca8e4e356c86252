"""The demo's figures: latencies by tier, source and model, in bounded memory, and the summary that is printed as JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import msgspec

from hearthmind.client import Client, Decision

BUCKETS_PER_DOUBLING = 16
"""A percentile is right within 4.5 %."""


@dataclass
class Latencies:
    """Counts in buckets that grow by a constant factor, however many there are."""

    counts: dict[int, int] = field(default_factory=dict)
    total: int = 0

    def add(self, latency_ms: float) -> None:
        """Counts one."""
        bucket = round(math.log2(max(latency_ms, 0.001)) * BUCKETS_PER_DOUBLING)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        self.total += 1

    def percentile(self, share: float) -> float:
        """The latency in milliseconds that this share of them does not exceed; 0 where there are none."""
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= share * self.total:
                return round(float(2 ** (bucket / BUCKETS_PER_DOUBLING)), 1)
        return 0.0

    def summary(self) -> dict[str, float]:
        """p50, p95 and p99."""
        return {f"p{percent}": self.percentile(percent / 100) for percent in (50, 95, 99)}


class Summary(msgspec.Struct, frozen=True):
    """The last line of `./just demo --json`."""

    observations: int
    actions: int
    by_source: dict[str, int]
    illegal: int
    late: int
    doubled: int
    outcomes: int
    experiences: int
    lost: int
    latency_ms: dict[str, float]
    decisions_per_s: float
    slowest: str

    @property
    def all_is_well(self) -> bool:
        """Every observation had exactly one legal action executed, and every outcome became one experience."""
        return self.observations == self.actions == self.outcomes == self.experiences and self.lost == 0


@dataclass
class Figures:
    """What a run of the demo shows."""

    everything: Latencies = field(default_factory=Latencies)
    by_origin: dict[tuple[str, str, str], Latencies] = field(default_factory=dict)
    """By tier, source and model."""
    slowest_ms: float = -1.0
    slowest: str = ""
    """The slowest decision with a trace."""

    def add(self, decision: Decision) -> None:
        """A decision reached the game."""
        self.everything.add(decision.latency_ms)
        origin = (decision.tier, decision.source, decision.chosen.model)
        self.by_origin.setdefault(origin, Latencies()).add(decision.latency_ms)
        if decision.span is not None and decision.latency_ms > self.slowest_ms:
            self.slowest, self.slowest_ms = decision.id, decision.latency_ms

    def summary(self, mind: Client, experiences: int, doubled: int, seconds: float) -> Summary:
        """The whole run in one line."""
        tally = mind.tally
        return Summary(
            observations=tally.observations,
            actions=tally.actions,
            by_source=dict(sorted(tally.by_source.items())),
            illegal=tally.illegal,
            late=tally.late,
            doubled=tally.doubled + doubled,
            outcomes=mind.outcomes,
            experiences=experiences,
            lost=max(0, mind.outcomes - (experiences - doubled)),
            latency_ms=self.everything.summary(),
            decisions_per_s=round(tally.actions / max(seconds, 0.001), 1),
            slowest=self.slowest,
        )
