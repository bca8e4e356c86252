"""Plans: further steps go on while the world stays as expected, and not one step longer."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from hearthmind import legal
from hearthmind.contracts.inference import Answer, Step
from hearthmind.contracts.observation import Choice, Heard, LegalAction, Observation
from hearthmind.contracts.outcome import Executed, OutcomeObserved
from hearthmind.testing.observations import an_observation
from services.decision.plans import Planned, Plans

PLACES = ("gate", "tower", "inn")


def on_watch(number: int = 0, **changes: Any) -> Observation:
    state = changes.pop("state", b'{"place":"gate","noise":"none","health":10,"enemy":"Grim","turn":%d}' % number)
    fields: dict[str, Any] = {
        "id": f"d{number}",
        "kind": "tactical",
        "state": msgspec.Raw(state),
        "legal_actions": (
            LegalAction(name="walk", parameters={"to": Choice(enum=PLACES)}),
            LegalAction(name="look"),
            LegalAction(name="wait"),
        ),
    }
    return an_observation(**{**fields, **changes})


ROUNDS = Answer(
    action="walk",
    arguments={"to": "tower"},
    steps=(Step(action="look"), Step(action="walk", arguments={"to": "inn"}), Step(action="wait")),
)


def go_on(plans: Plans, observation: Observation) -> Planned | None:
    """The next step, taken."""
    if planned := plans.next(observation):
        plans.made(observation, planned.answer)
    return planned


def test_a_plan_goes_on_to_its_end() -> None:
    plans = Plans()
    plans.made(on_watch(0), ROUNDS)
    taken = [go_on(plans, on_watch(number)) for number in range(1, 5)]
    assert [planned.answer.action if planned else None for planned in taken] == ["look", "walk", "wait", None]
    assert [planned.decision for planned in taken if planned] == ["d0"] * 3
    assert [len(planned.answer.steps) for planned in taken if planned] == [2, 1, 0]
    assert len(plans) == 0
    assert plans.dropped == {}


def test_asking_alone_takes_no_step() -> None:
    plans = Plans()
    plans.made(on_watch(0), ROUNDS)
    assert plans.next(on_watch(1)) == plans.next(on_watch(1))


def test_any_other_world_ends_it() -> None:
    others = {
        "elsewhere": [on_watch(1, episode="next"), on_watch(1, scene="inn")],
        "urgent": [on_watch(1, priority=1)],
        "spoken to": [on_watch(1, texts=(Heard(speaker="Ada", text="Wait!"),))],
        "illegal": [on_watch(1, legal_actions=(LegalAction(name="wait"),))],
        "foes": [
            on_watch(1, state=b'{"place":"gate","noise":"none","health":10,"enemy":"Gorm"}'),
            on_watch(1, state=b'{"place":"gate","noise":"none","health":10,"enemy":{"hp":2,"name":"Gorm"}}'),
        ],
        "changed": [on_watch(1, state=b'{"enemy":"Grim","fire":true,"smoke":"thick","roof":"gone","exit":"blocked"}')],
    }
    for why, worlds in others.items():
        for world in worlds:
            plans = Plans()
            plans.made(on_watch(0), ROUNDS)
            assert plans.next(world) is None, why
            assert plans.dropped == {why: 1}
            assert plans.next(on_watch(2)) is None, "it is never taken up again"


def test_small_changes_do_not() -> None:
    plans = Plans()
    plans.made(on_watch(0, texts=(Heard(speaker="Ada", text="hi"),)), ROUNDS)
    assert go_on(plans, on_watch(1, texts=(Heard(speaker="Ada", text="hi"),)))
    assert go_on(plans, on_watch(2, state=b'{"place":"tower","noise":"none","health":9,"enemy":"Grim","turn":2}'))


def test_a_step_that_failed_is_the_end() -> None:
    for success, left in ((True, 1), (False, 0)):
        plans = Plans()
        plans.made(on_watch(0), ROUNDS)
        outcome = OutcomeObserved(
            decision="d0", game="realm", npc="p0001", kind="tactical", executed=Executed(action="walk"), success=success
        )
        plans.heard(outcome)
        assert len(plans) == left


def test_another_decision_takes_its_place() -> None:
    plans = Plans()
    plans.made(on_watch(0), ROUNDS)
    plans.made(on_watch(1), Answer(action="wait"))
    assert plans.next(on_watch(2)) is None
    plans.made(on_watch(3), ROUNDS)
    plans.made(on_watch(4), Answer(action="wait", steps=(Step(action="look"),)))
    assert go_on(plans, on_watch(5)) == Planned(Answer(action="look", reasoning="step of the plan of d4"), "d4")


def test_npcs_and_kinds_are_told_apart_and_bounded() -> None:
    plans = Plans(plans_max=5)
    for number in range(20):
        plans.made(on_watch(npc=f"p{number}"), ROUNDS)
    assert len(plans) == 5
    assert plans.next(on_watch(1, npc="p19"))
    assert plans.next(on_watch(1, npc="p19", kind="combat")) is None


@given(
    st.lists(st.sampled_from(("look", "walk", "wait", "burn")), max_size=8),
    st.lists(st.sampled_from((b'{"a":1}', b'{"a":2}', b'{"b":"x","c":"y"}', b"[]")), max_size=12),
)
def test_every_step_is_legal_taken_once_and_in_order(names: list[str], states: list[bytes]) -> None:
    arguments: dict[str, dict[str, Any]] = {"walk": {"to": "inn"}}
    steps = tuple(Step(action=name, arguments=arguments.get(name, {})) for name in names)
    plans = Plans()
    plans.made(on_watch(0, state=b'{"a":1}'), Answer(action="wait", steps=steps))
    taken = []
    for number, state in enumerate(states, 1):
        observation = on_watch(number, state=state)
        if planned := go_on(plans, observation):
            assert legal.problem(observation, planned.answer.action, planned.answer.arguments) is None
            taken.append(planned.answer.action)
    assert taken == names[: len(taken)]
