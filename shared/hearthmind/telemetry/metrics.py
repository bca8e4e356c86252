"""The loop's metrics, on the OpenTelemetry API alone, each made at its first use.

The law: a metric has a bounded number of series, whatever players and games make up. A label outside
`names.METRIC_LABELS` is refused; and of a label's values so many are told apart, the others counted together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from itertools import product

from opentelemetry.metrics import (
    CallbackOptions,
    Counter,
    Histogram,
    MeterProvider,
    Observation,
    get_meter,
)

from hearthmind.contracts.action import FALLBACK, ActionChosen
from hearthmind.contracts.inference import Inferred
from hearthmind.errors import HearthmindError
from hearthmind.telemetry import names

VALUES_MAX = 64
"""More than the games, kinds and streams of a deployment; a game that makes up kinds without end gets no more."""

OTHER = names.OTHER

REASONS = {
    "the engine failed": "engine",
    "the answer can't be read": "unreadable",
    "the answer is not legal": "illegal",
    "no engine could be asked": "refused",
    "no engine answered in time": "late",
    "shed": "full",
    "the pool is silent": "silent",
    "over budget": "budget",
    "the policy forbids it": "policy",
    "it is frozen": "frozen",
    "it is banned": "banned",
    "somebody else took it first": "taken",
}
"""Classes of reasons, by how the decision service's words for them begin."""

DROPS = {"it came after its deadline": "late", "a newer observation": "newer", "the game said it twice": "twice"}
"""Classes of reasons for dropping an observation, likewise."""

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""From a rules mind on an idle machine to the longest time that a game may wait."""

BUCKETS_TOKENS = tuple(4**power for power in range(10))
"""From one token to the longest prompt of any engine."""


class BadLabel(HearthmindError):
    """{label!r} may not be a label of a metric. METRIC_LABELS in hearthmind/telemetry/names.py has those that may."""


Read = Callable[[], Iterable[tuple[float, Mapping[str, str]]]]
"""The values of a metric now, each with its labels."""

_meter = get_meter("hearthmind")
_counters: dict[str, Counter] = {}
_histograms: dict[str, Histogram] = {}
_values: dict[str, set[str]] = {label: set() for label in names.METRIC_LABELS}


def use(provider: MeterProvider | None) -> None:
    """Metrics go to this provider; where it is None to the global one, a game's own perhaps."""
    global _meter
    _meter = get_meter("hearthmind", meter_provider=provider)
    _counters.clear()
    _histograms.clear()
    for known in _values.values():
        known.clear()


def count(name: str, number: int = 1, labels: Mapping[str, str] | None = None) -> None:
    """Adds to a counter."""
    _counter(name).add(number, _bounded(labels or {}))


def observe(name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
    """Adds to a histogram. `within` a span that is kept, the value may become an exemplar: it leads to the trace."""
    _histogram(name).record(value, _bounded(labels or {}))


def watch(name: str, read: Read) -> None:
    """From now on a metric is what `read` says each time that metrics are sent; nothing where it says nothing."""

    def callback(_: CallbackOptions) -> list[Observation]:
        return [Observation(value, _bounded(labels)) for value, labels in read()]

    metric = names.METRICS[name]
    make = _meter.create_observable_gauge if metric.kind == "gauge" else _meter.create_observable_counter
    make(name, [callback], metric.unit, metric.says)


def begin(service: str) -> None:
    """Says that the service runs, and begins its counters at 0: of a counter that comes with its first 1, no rate tells."""
    started_s = time.time()
    watch(names.STARTED, lambda: [(started_s, {})])
    for name, metric in names.METRICS.items():
        if metric.kind == "counter" and service in metric.told_by and all(metric.labels.values()):
            for values in product(*metric.labels.values()):
                count(name, 0, dict(zip(metric.labels, values, strict=True)))


# ---- what happened in the loop ----------------------------------------------------------------------------------------


def decided(action: ActionChosen, tier: str, *, is_late: bool = False) -> None:
    """An action was stored: who decided, how long it took, and why, where it was the fallback."""
    labels = {names.GAME: action.game, names.KIND: action.kind, names.TIER: tier, names.SOURCE: action.source}
    count(names.DECISIONS, 1, labels)
    stages = action.stages_ms
    took_s = (stages.get("bus", 0.0) + stages.get("decide", 0.0)) / 1000
    observe(names.DECISION_DURATION, took_s, {names.TIER: tier, names.SOURCE: action.source})
    if action.source == FALLBACK:
        reason = reason_class(action.why)
        count(names.FALLBACKS, 1, {names.REASON: reason, names.TIER: tier})
        if reason == "full":
            count(names.SHED, 1, {names.EVENT_CLASS: action.why.rpartition(" ")[2]})
    if is_late:
        count(names.MISSED, 1, {names.REASON: "action"})


def dropped(game: str, why: str) -> None:
    """An observation gets no action: nobody waits for one any more."""
    reason = next((reason for words, reason in DROPS.items() if why.startswith(words)), OTHER)
    count(names.DROPPED, 1, {names.GAME: game, names.REASON: reason})
    if reason == "late":
        count(names.MISSED, 1, {names.REASON: "observation"})


def answered(reply: Inferred, tier: str) -> None:
    """A worker replied: what it cost, where the engine had to do with it."""
    if reply.failed:
        reason = reply.failure if reply.failure in names.REFUSED_REASONS else OTHER
        count(names.UNANSWERED, 1, {names.TIER: tier, names.REASON: reason})
    if reply.cached or not reply.engine_ms:
        return
    labels = {names.GEN_AI_RESPONSE_MODEL: reply.model, names.TIER: tier}
    observe(names.ENGINE_DURATION, reply.engine_ms / 1000, labels)
    observe(names.TOKENS, reply.tokens_in, {**labels, names.GEN_AI_TOKEN_TYPE: "input"})
    observe(names.TOKENS, reply.tokens_out, {**labels, names.GEN_AI_TOKEN_TYPE: "output"})


def cached(result: str, model: str, tokens_in: int, tokens_out: int) -> None:
    """The response cache was asked, and how many tokens it saved."""
    count(names.CACHE_REQUESTS, 1, {names.CACHE_RESULT: result})
    if tokens_in or tokens_out:
        labels = {names.GEN_AI_RESPONSE_MODEL: model}
        count(names.CACHE_SAVED, tokens_in, {**labels, names.GEN_AI_TOKEN_TYPE: "input"})
        count(names.CACHE_SAVED, tokens_out, {**labels, names.GEN_AI_TOKEN_TYPE: "output"})


def reason_class(why: str) -> str:
    """The class of a reason for falling back; what follows its colon may be a model's words and is not looked at."""
    return REASONS.get(why.partition(":")[0].lstrip("0123456789 "), OTHER)


def _counter(name: str) -> Counter:
    if name not in _counters:
        metric = names.METRICS[name]
        _counters[name] = _meter.create_counter(name, metric.unit, metric.says)
    return _counters[name]


def _histogram(name: str) -> Histogram:
    if name not in _histograms:
        metric = names.METRICS[name]
        bounds = BUCKETS_S if metric.unit == "s" else BUCKETS_TOKENS
        _histograms[name] = _meter.create_histogram(
            name, metric.unit, metric.says, explicit_bucket_boundaries_advisory=bounds
        )
    return _histograms[name]


def _bounded(labels: Mapping[str, str]) -> dict[str, str]:
    return {label: _bounded_value(label, value) for label, value in labels.items()}


def _bounded_value(label: str, value: str) -> str:
    known = _values.get(label)
    if known is None:
        raise BadLabel(label=label)
    if value in known:
        return value
    if len(known) >= VALUES_MAX:
        return OTHER
    known.add(value)
    return value
