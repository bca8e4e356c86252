"""The last referee: one verdict for every observation, whatever the platform says and whenever."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from hearthmind import legal, scripted
from hearthmind.acting import action_of
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.observation import Event, Observation
from hearthmind.referee import Execute, Referee, Replaced
from hearthmind.testing.observations import an_observation, observations


def action_for(observation: Observation, **changes: object) -> ActionChosen:
    return msgspec.structs.replace(action_of(observation, scripted.choose(observation), "rules"), **changes)


def test_the_first_action_counts() -> None:
    referee, seen = Referee(), an_observation()
    referee.observed(seen, 0.0)
    (verdict,) = referee.chosen(action_for(seen), 0.1)
    assert isinstance(verdict, Execute)
    assert referee.chosen(action_for(seen, action="wait", arguments={}), 0.2) == []
    assert (referee.tally.actions, referee.tally.doubled) == (1, 1)


def test_what_has_no_action_at_its_deadline_falls_back_and_a_late_one_is_counted() -> None:
    referee, seen = Referee(), an_observation(answer_within_ms=1000)
    referee.observed(seen, 0.0)
    assert referee.ticked(0.999) == []
    (verdict,) = referee.ticked(1.0)
    assert isinstance(verdict, Execute)
    assert verdict.chosen.source == "client"
    assert "in time" in verdict.chosen.why
    assert referee.chosen(action_for(seen), 1.1) == []
    assert referee.tally.late == 1


def test_an_action_after_the_deadline_is_not_executed_even_when_nobody_ticked() -> None:
    referee, seen = Referee(), an_observation(answer_within_ms=1000)
    referee.observed(seen, 0.0)
    (verdict,) = referee.chosen(action_for(seen), 1.5)
    assert isinstance(verdict, Execute)
    assert verdict.chosen.source == "client"
    assert referee.tally.late == 1


def test_an_illegal_action_is_replaced_by_a_legal_one() -> None:
    referee, seen = Referee(), an_observation()
    referee.observed(seen, 0.0)
    (verdict,) = referee.chosen(action_for(seen, action="burn", arguments={}), 0.1)
    assert isinstance(verdict, Execute)
    assert verdict.chosen.source == "client"
    assert "'burn'" in verdict.chosen.why
    assert referee.tally.illegal == 1


def test_an_action_for_another_snapshot_is_not_executed() -> None:
    referee, seen = Referee(), an_observation(snapshot=7)
    referee.observed(seen, 0.0)
    (verdict,) = referee.chosen(action_for(seen, snapshot=6), 0.1)
    assert isinstance(verdict, Execute)
    assert verdict.chosen.source == "client"


def test_a_newer_observation_of_its_kind_replaces_an_older_one_but_no_event() -> None:
    referee = Referee()
    old, new, other = an_observation(), an_observation(snapshot=2), an_observation(kind="combat")
    event = Event(**{name: getattr(old, name) for name in old.__struct_fields__ if name != "id"}, id="e1")
    assert referee.observed(event, 0.0) == referee.observed(old, 0.0) == referee.observed(other, 0.0) == []
    (verdict,) = referee.observed(new, 0.1)
    assert isinstance(verdict, Replaced)
    assert verdict.observation is old
    assert referee.waiting == 3
    assert referee.chosen(action_for(old), 0.2) == []
    assert referee.tally.doubled == 0


steps = st.lists(
    st.tuples(st.sampled_from(("ask", "act", "act badly", "refuse", "wait")), st.integers(0, 3), observations()),
    max_size=40,
)


@given(steps)
def test_every_observation_ends_in_exactly_one_legal_verdict(steps: list[tuple[str, int, Observation]]) -> None:
    referee, now_s = Referee(), 0.0
    asked: list[Observation] = []
    ended: list[Execute | Replaced] = []
    for step, number, fresh in steps:
        known = asked[number % len(asked)] if asked else fresh
        if step == "ask":
            asked.append(fresh)
            verdicts = referee.observed(fresh, now_s)
        elif step == "act":
            verdicts = referee.chosen(action_for(known), now_s)
        elif step == "act badly":
            verdicts = referee.chosen(action_for(known, arguments={"nonsense": 1}), now_s)
        elif step == "refuse":
            verdicts = referee.refused(known.id, "the stream is full", now_s)
        else:
            now_s += number
            verdicts = referee.ticked(now_s)
        ended += verdicts
    ended += referee.ticked(now_s + 1000)
    assert sorted(verdict.observation.id for verdict in ended) == sorted(seen.id for seen in asked)
    assert referee.waiting == 0
    for verdict in ended:
        if isinstance(verdict, Execute):
            chosen = verdict.chosen
            assert legal.problem(verdict.observation, chosen.action, chosen.arguments) is None
    tally = referee.tally
    assert tally.observations == tally.actions + tally.replaced
    assert sum(tally.by_source.values()) == tally.actions


@given(observations())
def test_the_scripted_mind_is_legal_and_says_the_same_again(observation: Observation) -> None:
    answer = scripted.choose(observation)
    assert legal.problem(observation, answer.action, answer.arguments) is None
    assert scripted.choose(observation) == answer
    assert msgspec.json.decode(msgspec.json.encode(answer), type=type(answer)).action == answer.action
