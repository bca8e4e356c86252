"""What is tried is legal, and in the end everything was."""

from __future__ import annotations

from hypothesis import given

from hearthmind import legal
from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Choice, LegalAction, Observation, Real, Whole
from hearthmind.testing.observations import an_observation, observations
from services.command.conformance.tries import Coverage, tries


def test_the_extremes_of_every_parameter_and_every_word() -> None:
    walk = LegalAction(
        name="walk",
        parameters={
            "to": Choice(enum=("a", "b", "c")),
            "steps": Whole(minimum=1, maximum=9),
            "pace": Real(minimum=0, maximum=2),
        },
    )
    assert {label: answer.arguments for label, answer in tries(walk)} == {
        "lowest": {"to": "a", "steps": 1, "pace": 0},
        "highest": {"to": "c", "steps": 9, "pace": 2},
        "to=b": {"to": "b", "steps": 1, "pace": 0},
    }
    assert [answer for _, answer in tries(LegalAction(name="wait"))] == [Answer(action="wait")]


@given(observations())
def test_every_try_is_legal(seen: Observation) -> None:
    for offered in seen.legal_actions:
        for _, answer in tries(offered):
            assert legal.problem(seen, answer.action, answer.arguments) is None


@given(observations())
def test_everything_offered_is_tried_once_before_anything_twice(seen: Observation) -> None:
    coverage, chosen = Coverage(), list[Answer | None]()
    while coverage.look(seen):
        chosen.append(coverage.choose(seen))
    assert all(set(taken.values()) == {1} for taken in coverage.taken.values())
    assert len(chosen) == sum(map(len, coverage.taken.values()))


def test_another_one_and_one_that_is_known_to_be_reported() -> None:
    coverage, seen = Coverage(), an_observation()
    coverage.look(seen)
    coverage.reported.add((seen.kind, "wait"))
    wait = Answer(action="wait")
    assert [coverage.choose(seen, reported=True) for _ in range(3)] == [wait] * 3
    other = coverage.choose(seen, reported=True, other_than=(wait,))
    assert other
    assert other.action == "build"
    everything = [answer for offered in seen.legal_actions for _, answer in tries(offered)]
    assert coverage.choose(seen, other_than=everything) is None
