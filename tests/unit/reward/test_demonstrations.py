"""Recorded play, line by line: what becomes of one, and what is wrong with another."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hearthmind.store.rows import DecisionRow, OutcomeRow
from services.reward.demonstrations import BadDemonstration, Recorded, decision_of, incoming_of
from services.reward.reading import ACTION, DETAIL, OUTCOME
from services.reward.registry import Registry

LINE: dict[str, Any] = {"context": {"hour": 3}, "reply": "Halt!", "player_id": "ann", "reward": 0.7}


def a_line(**more: Any) -> bytes:
    return msgspec.json.encode({name: value for name, value in (LINE | more).items() if value is not ...})


def test_a_line_is_an_action_its_detail_and_its_outcome() -> None:
    action, detail, outcome = incoming_of(a_line(action="stop", arguments={"whom": "bob"}), 1, "castle", 1_000.0)
    assert [action.part, detail.part, outcome.part] == [ACTION, DETAIL, OUTCOME]
    assert isinstance(action.row, DecisionRow)
    assert isinstance(outcome.row, OutcomeRow)
    assert (action.row.speech, action.row.source, action.row.action) == ("Halt!", "human", "stop")
    assert msgspec.json.decode(outcome.row.arguments) == {"whom": "bob"}
    assert msgspec.json.decode(outcome.row.facts) == {"player_id": "ann", "reward": 0.7}
    assert outcome.row.success
    assert {row.body for row in detail.documents} >= {'{"hour":3}', "Halt!"}


def test_words_are_a_context_too() -> None:
    _, detail, _ = incoming_of(a_line(context="A stranger\nis at the gate."), 1, "castle", 1_000.0)
    assert {row.body for row in detail.documents} >= {
        '{"context":"A stranger\\nis at the gate."}',
        "A stranger\nis at the gate.",
    }


def test_the_same_line_is_the_same_decision_and_another_is_not() -> None:
    first, again, other = (
        decision_of(incoming_of(line, number, "castle", 1_000.0 * number))
        for number, line in enumerate((a_line(), a_line() + b"\n", a_line(reward=0.6)), 1)
    )
    assert first == again != other
    assert decision_of(incoming_of(a_line(id="mine"), 9, "castle", 1_000.0)) == "mine"


@pytest.mark.parametrize(
    ("more", "came_off"), [({"reward": 0}, False), ({"reward": -1, "success": True}, True), ({"reward": 0.1}, True)]
)
def test_what_is_recorded_says_whether_it_came_off(more: dict[str, Any], came_off: bool) -> None:
    assert incoming_of(a_line(**more), 1, "castle", 1.0)[2].row.success is came_off  # type: ignore[union-attr]


def test_a_recorded_reward_counts_and_else_that_of_the_kind() -> None:
    recorded = Recorded(Registry())
    assert recorded.reward("castle", "combat", "hit", {"reward": 0.7, "victory": False}) == (0.7, {"recorded": 0.7})
    assert recorded.reward("castle", "combat", "hit", {"victory": False}) == (-0.5, {"victory": -0.5})


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "truncated"),
        (b"[]", "object"),
        (a_line(context=...), "context"),
        (a_line(reply=...), "neither `reply` nor `action`"),
        (a_line(reward=...), "neither `reward` nor `success`"),
        (a_line(reward=2), "reward"),
        (a_line(rewrad=1), "rewrad"),
        (a_line(npc="the guard"), "npc"),
        (a_line(reply="x" * 3_000), "speech"),
        (a_line(player_id=""), "player_id"),
        (a_line(facts={"rank": None}), "rank|facts"),
        (a_line(context=["a", "list", "b"]) + b" ", "context"),
        (b'{"context": "\xff", "reply": "a", "reward": 1}', "utf-8|UTF-8|surrogate"),
    ],
)
def test_a_mistake_is_named_with_its_line(line: bytes, why: str) -> None:
    with pytest.raises(BadDemonstration, match=f"line 7: .*({why})"):
        incoming_of(line, 7, "castle", 1_000.0)
