"""Experiences all of which is at hand: what the statements of `ingest` make of an outcome and its decision, without Postgres.

The law: it is the same. `tests/simulation/test_database.py` stores the same messages both ways and compares each column.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any

import msgspec

from hearthmind.contracts.outcome import PLATFORM
from hearthmind.store.rows import AtOnce, DecisionRow, Facts, Joined, OutcomeRow

FROM_OUTCOME = (
    *("game", "decision", "happened_at", "npc", "kind", "episode", "game_time", "action", "arguments"),
    *("success", "facts", "state_after", "opponent", "answers"),
)
FROM_DECISION = (
    *(
        "decided_at",
        "snapshot",
        "persona",
        "behaviour",
        "related",
        "speech",
        "reasoning",
        "confidence",
        "tier",
        "route",
    ),
    *("model", "adapter", "adapter_sha256", "template", "experiment", "variant", "prompt", "answer"),
    *("tokens_in", "tokens_cached", "tokens_out", "cost_usd", "stages_ms"),
)
BOTH = ("observation", "state", "legal_actions", "features", "trace_id")
"""What either half may know; the decision's counts."""
ROW = (*FROM_OUTCOME, *FROM_DECISION, *BOTH, "source", "why", "latency_ms", "reward", "reward_parts")
"""The columns of an experience."""

_facts = msgspec.json.Decoder(Facts)
_stages = msgspec.json.Decoder(dict[str, float])
_of_outcome = itemgetter(*map(OutcomeRow._fields.index, FROM_OUTCOME))
_of_decision = itemgetter(*map(DecisionRow._fields.index, FROM_DECISION))
_both_of_outcome = itemgetter(*map(OutcomeRow._fields.index, BOTH))
_both_of_decision = itemgetter(*map(DecisionRow._fields.index, BOTH))


def joined(decision: DecisionRow, outcome: OutcomeRow) -> Joined:
    """What a reward is computed from, and counters grow by."""
    return Joined(
        *outcome[:5],
        _facts.decode(outcome.facts),
        outcome.success,
        outcome.executed_by,
        outcome.action,
        outcome.opponent,
        outcome.game_time,
        decision.source,
        decision.tier,
        decision.persona,
        decision.experiment,
        decision.variant,
        decision.tokens_in,
        decision.tokens_out,
        decision.cost_usd,
        _latency_ms(decision),
    )


def row_of(lived: AtOnce) -> tuple[Any, ...]:
    """The experience."""
    decision, outcome, reward = lived
    known = _both_of_decision(decision)
    if None in known:
        known = [
            mine if mine is not None else theirs for mine, theirs in zip(known, _both_of_outcome(outcome), strict=True)
        ]
    is_ours = outcome.executed_by == PLATFORM
    return (
        *_of_outcome(outcome),
        *_of_decision(decision),
        *known,
        decision.source if is_ours else outcome.executed_by,
        decision.why if is_ours else outcome.why,
        _latency_ms(decision),
        reward.reward,
        reward.reward_parts,
    )


def _latency_ms(decision: DecisionRow) -> float | None:
    if decision.stages_ms is None:
        return None
    stages = _stages.decode(decision.stages_ms)
    return stages.get("bus", 0.0) + stages.get("decide", 0.0)
