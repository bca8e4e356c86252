"""The no-progress breaker: the same, in the same state, three times, and then something else."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from hearthmind import scripted
from hearthmind.contracts.observation import LegalAction, Observation
from hearthmind.contracts.outcome import Executed, OutcomeObserved
from hearthmind.testing.observations import an_observation
from services.decision import situation
from services.decision.progress import REPEATS, Progress, notes, without

PUSH, PULL, WAIT = (LegalAction(name=name, appeal=appeal) for name, appeal in (("push", 1), ("pull", 0.5), ("wait", 0)))


def at_the_door(state: bytes = b'{"door":"shut","turn":7}', **changes: Any) -> Observation:
    return an_observation(state=msgspec.Raw(state), legal_actions=(PUSH, PULL, WAIT), **changes)


def live(progress: Progress, observation: Observation) -> str:
    """What the scripted mind does, as the machine asks it."""
    stuck = progress.stuck(observation)
    answer = scripted.choose(without(observation, stuck))
    progress.did(observation, answer.action, answer.arguments)
    return answer.action


def an_outcome(observation: Observation, *, success: bool) -> OutcomeObserved:
    return OutcomeObserved(
        decision=observation.id,
        game=observation.game,
        npc=observation.npc,
        kind=observation.kind,
        executed=Executed(action="push"),
        success=success,
    )


def test_the_same_thrice_in_the_same_state_is_enough() -> None:
    progress = Progress()
    did = [live(progress, at_the_door(b'{"door":"shut","turn":%d}' % turn)) for turn in range(9)]
    assert did == ["push"] * 3 + ["pull"] * 3 + ["wait"] * 3
    stuck = progress.stuck(at_the_door())
    assert stuck == {"push", "pull", "wait"}
    assert live(progress, at_the_door()) == "push", "where everything has been tried, the best is tried again"
    assert notes(stuck)[1] == "You did push 3 times and nothing changed. Do something else."


def test_another_state_is_a_new_beginning() -> None:
    progress = Progress()
    for _ in range(REPEATS):
        live(progress, at_the_door())
    assert progress.stuck(at_the_door()) == {"push"}
    assert progress.stuck(at_the_door(b'{"door":"ajar","turn":7}')) == frozenset()
    assert live(progress, at_the_door(b'{"door":"ajar","turn":8}')) == "push"
    assert progress.stuck(at_the_door()) == frozenset()


def test_what_came_off_is_progress_by_the_games_word() -> None:
    progress = Progress()
    for _ in range(2 * REPEATS):
        observation = at_the_door()
        assert live(progress, observation) == "push"
        progress.heard(an_outcome(observation, success=True))
    for _ in range(REPEATS):
        observation = at_the_door()
        live(progress, observation)
        progress.heard(an_outcome(observation, success=False))
    assert live(progress, at_the_door()) == "pull"


def test_other_arguments_are_another_deed() -> None:
    progress = Progress()
    for number in range(3 * REPEATS):
        progress.did(at_the_door(), "push", {"what": f"stone-{number}"})
    assert not progress.stuck(at_the_door())


def test_a_decision_that_is_told_of_twice_counts_once() -> None:
    progress, observation = Progress(), at_the_door()
    for _ in range(5):
        progress.did(observation, "push", {})
    assert not progress.stuck(observation)


def test_a_state_that_says_nothing_tells_nothing() -> None:
    progress = Progress()
    for state in (b"{}", b'{"turn":1}', b'{"turn":1,"game_time":4.5,"hour":"05:00"}', b"null", b"[]"):
        assert situation.of(at_the_door(state)).fingerprint == 0
        assert [live(progress, at_the_door(state)) for _ in range(5)] == ["push"] * 5


def test_npcs_games_and_kinds_are_told_apart() -> None:
    progress = Progress()
    others: tuple[dict[str, Any], ...] = (
        {"npc": "a"},
        {"npc": "b"},
        {"npc": "a", "game": "village"},
        {"npc": "a", "kind": "combat"},
    )
    for changes in others:
        assert [live(progress, at_the_door(**changes)) for _ in range(3)] == ["push"] * 3
        assert progress.stuck(at_the_door(**changes)) == {"push"}


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3), st.integers(0, 200)), max_size=120))
def test_it_stays_bounded(lives: list[tuple[int, int, int]]) -> None:
    progress = Progress(places_max=8)
    for npc, state, deed in lives:
        progress.did(at_the_door(b'{"s":%d}' % state, npc=f"p{npc}"), f"do-{deed}", {})
    assert len(progress) <= 8


@given(st.lists(st.sampled_from(("push", "pull", "wait")), max_size=30))
def test_it_is_stuck_exactly_with_what_was_done_three_times(deeds: list[str]) -> None:
    progress = Progress()
    for deed in deeds:
        progress.did(at_the_door(), deed, {})
    assert progress.stuck(at_the_door()) == {deed for deed in deeds if deeds.count(deed) >= REPEATS}
