"""Counters and histograms of the loop. A label outside `names.METRIC_LABELS` is refused: no NPC is ever a label."""

from __future__ import annotations

from functools import cache

from opentelemetry import metrics as api
from opentelemetry.metrics import Counter, Histogram

from hearthmind.contracts.action import FALLBACK, ActionChosen
from hearthmind.errors import HearthmindError
from hearthmind.telemetry import names

_meter = api.get_meter("hearthmind")


class BadLabel(HearthmindError):
    """{label!r} may not be a label of a metric; names.py has those that may."""


def count(name: str, number: int, labels: dict[str, str] | None = None) -> None:
    """Adds to a counter."""
    _counter(name).add(number, _checked(labels))


def observe(name: str, value: float, labels: dict[str, str] | None = None) -> None:
    """Adds to a histogram."""
    _histogram(name).record(value, _checked(labels))


def decided(action: ActionChosen, tier: str) -> None:
    """An action was stored: who decided, how long it took, and why, where it was the fallback."""
    labels = {names.GAME: action.game, names.KIND: action.kind, names.TIER: tier, names.SOURCE: action.source}
    observe(names.DECISION_DURATION, sum(action.stages_ms.values()), labels)
    if action.source == FALLBACK:
        labels |= {names.WHY: action.why.partition(":")[0]}
    count(names.DECISIONS, 1, labels)


def _checked(labels: dict[str, str] | None) -> dict[str, str]:
    for label in labels or ():
        if label not in names.METRIC_LABELS:
            raise BadLabel(label=label)
    return labels or {}


@cache
def _counter(name: str) -> Counter:
    return _meter.create_counter(name, description=names.METRICS[name])


@cache
def _histogram(name: str) -> Histogram:
    return _meter.create_histogram(name, unit="ms", description=names.METRICS[name])
