"""Whether it was right to execute this, as tables."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hearthmind.contracts.inference import Answer
from hearthmind.contracts.outcome import CLIENT, PLATFORM, OutcomeObserved
from hearthmind.testing.observations import an_observation
from services.command.conformance import reading
from services.command.conformance.rules import Asked, of_another_outcome, of_outcome, same

from .saying import reported

SEEN = an_observation()
FARM: dict[str, Any] = {"what": "farm", "levels": 3}
MILL = {"what": "mill", "levels": 1}
CHOSEN = Answer(action="build", arguments=FARM)
WAIT = Answer(action="wait")


def asked(chosen: Answer | None, never: dict[str, Answer] | None = None) -> Asked:
    return Asked(SEEN, b"", 0.0, chosen=chosen, never=never or {})


def told(action: str, arguments: dict[str, Any], by: str, **changes: Any) -> OutcomeObserved:
    read = reading.outcome(reported(SEEN, action, arguments, by, **changes))
    assert read.message
    return read.message


@pytest.mark.parametrize(
    ("chosen", "action", "arguments", "by", "mistakes"),
    [
        (CHOSEN, "build", FARM, PLATFORM, []),
        (CHOSEN, "build", {**FARM, "levels": 3.0}, PLATFORM, []),
        (CHOSEN, "build", MILL, CLIENT, []),
        (None, "build", MILL, CLIENT, []),
        (CHOSEN, "build", FARM, CLIENT, []),
        (None, "wait", {}, PLATFORM, ["wrong-by"]),
        (CHOSEN, "build", FARM, "npc", ["wrong-by"]),
        (CHOSEN, "wait", {}, PLATFORM, ["not-chosen"]),
        (CHOSEN, "build", MILL, PLATFORM, ["not-chosen"]),
        (CHOSEN, "build", {"what": "farm"}, PLATFORM, ["not-legal"]),
        (CHOSEN, "build", {**FARM, "levels": 9}, PLATFORM, ["not-legal"]),
        (CHOSEN, "fly", {}, CLIENT, ["not-legal"]),
        (None, "fly", {}, PLATFORM, ["not-legal"]),
    ],
)
def test_what_was_executed(
    chosen: Answer | None, action: str, arguments: dict[str, Any], by: str, mistakes: list[str]
) -> None:
    assert [noted.mistake for noted in of_outcome(asked(chosen), told(action, arguments, by))] == mistakes


@pytest.mark.parametrize("mistake", ["late-executed", "second-executed", "outdated-executed"])
def test_what_should_not_be_executed_has_a_name_of_its_own(mistake: str) -> None:
    outcome = told("wait", {}, PLATFORM)
    assert [noted.mistake for noted in of_outcome(asked(CHOSEN, {mistake: WAIT}), outcome)] == [mistake]
    assert [noted.mistake for noted in of_another_outcome(asked(CHOSEN, {mistake: WAIT}), outcome)] == [mistake]


def test_another_outcome_that_says_something_else() -> None:
    (noted,) = of_another_outcome(asked(CHOSEN), told("build", FARM, PLATFORM, facts={"wood": 4}))
    assert noted.mistake == "outcome-changed"


@pytest.mark.parametrize("changes", [{"kind": "combat"}])
def test_an_outcome_is_of_the_npc_and_kind_that_was_asked_about(changes: dict[str, Any]) -> None:
    names = [noted.mistake for noted in of_outcome(asked(CHOSEN), told("build", FARM, PLATFORM, **changes))]
    assert names == ["outcome-of-another"]


def test_a_fallback_without_what_was_seen() -> None:
    names = [noted.mistake for noted in of_outcome(asked(None), told("wait", {}, CLIENT, observation=None))]
    assert names == ["fallback-without-observation"]


def test_after_a_rescue_anything_may_come() -> None:
    rescued = asked(CHOSEN, {"late-executed": WAIT})
    rescued.excused = True
    for action, arguments, by in (("wait", {}, CLIENT), ("build", FARM, CLIENT), ("build", FARM, PLATFORM)):
        assert list(of_outcome(rescued, told(action, arguments, by))) == []


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (0.1, 0.10000000149011612, True),
        (2, 2.0, True),
        (2**53, 2**53 - 1, False),
        (1, True, False),
        ("1", 1, False),
        (0.1, 0.2, False),
    ],
)
def test_numbers_may_have_been_kept_in_32_bits(one: Any, other: Any, alike: bool) -> None:
    executed = told("wait", {"loudness": other}, PLATFORM).executed
    assert same(Answer(action="wait", arguments={"loudness": one}), executed) is alike


@pytest.mark.parametrize(
    ("changes", "owed"),
    [
        ({"answered_s": 1.0}, True),
        ({}, False),
        ({"answered_s": 1.0, "replaced_s": 1.0}, False),
        ({"answered_s": 1.0, "excused": True}, False),
        ({"answered_s": 1.0, "garbled": True}, False),
    ],
)
def test_an_outcome_is_owed_for_what_was_answered_in_time(changes: dict[str, Any], owed: bool) -> None:
    assert Asked(SEEN, b"", 0.0, **changes).is_owed is owed


def test_the_decision_is_known_by_its_deadline() -> None:
    seen = msgspec.structs.replace(SEEN, answer_within_ms=250)
    assert Asked(seen, b"", 10.0).deadline_s == 10.25
