"""What counters grow by: every NPC, persona, variant and day once, and the last fact counts."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from hearthmind.store.rows import DecisionRow, Facts, Joined
from services.reward.counting import day_tallies, npc_tallies, persona_tallies, variant_tallies

NOW = datetime(2031, 1, 1, 23, 59, tzinfo=UTC)


def lived(npc: str = "p1", facts: Facts | None = None, reward: float = 0.5, **changes: Any) -> tuple[Joined, float]:
    one = Joined(
        *("realm", "d1", NOW, npc, "combat", facts or {}, True, "platform", "raid", None, 0.0),
        *("rules", "critical", "", "", "", 10, 2, 0.5, 20.0),
    )
    return one._replace(**changes), reward


def acted(npc: str = "p1") -> DecisionRow:
    return DecisionRow("realm", "d1", npc, "combat", "main", None, decided_at=NOW, action="raid")


def test_of_an_npc_what_it_did_and_won_and_the_last_facts() -> None:
    ones = [
        lived(facts={"victory": True, "rank": 9, "villages": 3}),
        lived(facts={"victory": False, "rank": 8}, reward=-0.25, success=False),
        lived(facts={"rank": 10**300}),
        lived("p2", {"rank": True}),
    ]
    assert npc_tallies([acted(), acted("p3")], ones) == [
        ("realm", "p1", 1, 3, 2, 1, 1, 0.75, 8, 3, None),
        ("realm", "p3", 1, 0, 0, 0, 0, 0.0, None, None, None),
        ("realm", "p2", 0, 1, 1, 0, 0, 0.5, None, None, None),
    ]


def test_of_a_persona_the_squares_too_and_nobody_is_none() -> None:
    ones = [lived(persona="miser@1"), lived("p2", persona="miser@1", reward=-1.0, success=False), lived(persona=None)]
    assert persona_tallies([*ones, lived()]) == [("realm", "miser@1", 2, 1, -0.5, 1.25)]


def test_of_a_variant_on_trial_what_it_cost() -> None:
    ones = [lived(experiment="e", variant="b"), lived(experiment="e", variant="b", tokens_in=None, latency_ms=None)]
    assert variant_tallies([*ones, lived(variant="b")]) == [("realm", "e", "b", 2, 2, 1.0, 0.5, 10, 4, 1.0, 20.0)]


def test_of_a_day_what_was_foreseen_and_what_was_lost() -> None:
    foreseen = lived(facts={"predicted": "win", "result": "win"})
    wrong = lived(facts={"predicted": "win"}, success=False, reward=0.0)
    undetailed, unknown = lived(tier=None), lived(source=None, tier=None)
    client = lived(executed_by="client", source=None, tier=None)
    (day,) = day_tallies([acted()], [foreseen, wrong, undetailed, unknown, client])
    assert day == ("realm", date(2031, 1, 1), 1, 5, 4, 2.0, 2, 1, 1, 1, 50, 10, 2.5)
