"""What a message can have wrong, each by its name and with its place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from hearthmind.bus.wire import encode
from hearthmind.contracts.observation import Observation
from hearthmind.testing.observations import an_observation, observations
from services.command.conformance import reading
from services.command.conformance.mistakes import ERROR, MISTAKES
from services.command.conformance.reading import Said

from .saying import observed, reported

INTEGER = {"type": "integer", "minimum": 1, "maximum": 3}
NUMBER = {"type": "number", "minimum": -1.5, "maximum": 0}
CHOICE = {"type": "string", "enum": ["mill", "farm"]}


def action(**parameter: Any) -> dict[str, Any]:
    return {"legal_actions": [{"name": "build", "parameters": {"it": parameter}}]}


@pytest.mark.parametrize(
    ("changes", "mistake", "place"),
    [
        ({"npc": ...}, "missing-field", "npc"),
        (action(enum=["mill"]), "missing-field", "$.legal_actions[0].parameters"),
        ({"snapshot": "7"}, "wrong-type", "$.snapshot"),
        ({"snapshot": None}, "wrong-type", "$.snapshot"),
        ({"priority": 11}, "wrong-type", "$.priority"),
        ({"kind": "a feast"}, "bad-id", "$.kind"),
        ({"id": "x" * 65}, "bad-id", "$.id"),
        ({"id": ""}, "bad-id", "$.id"),
        ({"type": "event"}, "wrong-message", "event"),
        ({"v": 2}, "unknown-version", "2"),
        ({"game": "other"}, "misplaced", "game.other.observation"),
        ({"npc": "other"}, "misplaced", "observation.other"),
        ({"kind": "other"}, "misplaced", "p0001.other"),
        ({"state": {"far": {"away": [1, float("inf")]}}}, "non-finite", "$.state.far.away[1]"),
        ({"game_time": float("nan")}, "non-finite", "$.game_time"),
        ({"snapshot": 2**60}, "number-too-large", "$.snapshot"),
        ({"state": {"gold": -(2**60)}}, "number-too-large", "$.state.gold"),
        ({"state": {"map": "." * 140_000}}, "too-large", "131072"),
        ({"priorty": 3}, "unknown-field", "$.priorty"),
        (action(**INTEGER, step=2), "unknown-field", "$.legal_actions[0].parameters.it.step"),
        ({"legal_actions": []}, "nothing-legal", "$.legal_actions"),
        ({"legal_actions": [{"name": "a"}, {"name": "a"}]}, "same-action-twice", "two legal actions"),
        (action(**{**INTEGER, "minimum": 4}), "bounds-upside-down", "minimum 4"),
        (action(**INTEGER, default=4), "default-not-legal", "build.it: 4"),
        (action(**NUMBER, default=0.5), "default-not-legal", "build.it: 0.5"),
        (action(**CHOICE, default="cellar"), "default-not-legal", "'cellar'"),
        ({"answer_within_ms": 300_001}, "deadline-out-of-range", "300000"),
        ({"answer_within_ms": 0}, "deadline-out-of-range", ">= 1"),
        ({"answer_within_ms": 20}, "deadline-too-short", "20"),
        ({"answer_within_ms": "soon"}, "wrong-type", "answer_within_ms"),
    ],
)
def test_a_mistake_in_an_observation(changes: dict[str, Any], mistake: str, place: str) -> None:
    (noted,) = reading.observation(observed(**changes)).noted
    assert noted.mistake == mistake
    assert place in noted.says


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[1,", b'{"state":"\xff"}', b"[" * 5_000, encode(an_observation()).replace(b'"wood"', b'"\xff"')],
)
def test_what_is_no_json(data: bytes) -> None:
    read = reading.observation(Said("game.realm.observation.p0001.economic", data))
    assert read.message is None
    assert [noted.mistake for noted in read.noted] == ["invalid-json"]


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({"type": ...}, "wrong-message"),
        ({"type": "outcome"}, "wrong-message"),
        ({"decision": ...}, "missing-field"),
        ({"facts": {"rank": None}}, "wrong-type"),
        ({"facts": {"a rank": 1}}, "bad-id"),
        ({"facts": {"rank": float("-inf")}}, "non-finite"),
        ({"facts": {}}, "no-facts"),
        ({"npc": "other"}, "misplaced"),
        ({"happy": True}, "unknown-field"),
        ({"success": "yes"}, "wrong-type"),
    ],
)
def test_a_mistake_in_an_outcome(changes: dict[str, Any], mistake: str) -> None:
    (noted,) = reading.outcome(reported(an_observation(), **changes)).noted
    assert noted.mistake == mistake


def test_another_message_among_outcomes_is_none() -> None:
    (noted,) = reading.outcome(reported(an_observation(), type="action_chosen")).noted
    assert noted.mistake in {"wrong-message", "missing-field"}


def test_a_failure_needs_no_facts() -> None:
    assert reading.outcome(reported(an_observation(), success=False, facts={})).noted == ()


@given(observations())
def test_nothing_but_defaults_is_wrong_with_a_legal_observation(seen: Observation) -> None:
    read = reading.observation(observed(seen))
    assert read.message
    assert read.message.legal_actions == seen.legal_actions
    assert {noted.mistake for noted in read.noted} <= {"default-not-legal", "deadline-too-short"}


@given(observations())
def test_what_can_not_be_read_is_an_error_with_one_reason(seen: Observation) -> None:
    read = reading.observation(observed(seen, snapshot=[]))
    assert read.message is None
    assert [MISTAKES[noted.mistake].level for noted in read.noted] == [ERROR]


def test_the_id_of_what_can_not_be_read_is_found_where_there_is_one() -> None:
    assert reading.id_in(observed(an_observation(id="d1"), npc=7).data, "id") == "d1"
    assert [reading.id_in(data, "id") for data in (b"{", b"[]", b'{"id":7}', b"{}")] == [""] * 4
