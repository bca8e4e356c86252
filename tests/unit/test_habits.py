"""Habits: what a model decided and the game says came off is done again in a like situation; nothing else ever is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearthmind import legal
from hearthmind.contracts.inference import Answer, Inferred
from hearthmind.contracts.observation import Heard, LegalAction, Observation
from hearthmind.contracts.outcome import Executed, OutcomeObserved
from hearthmind.persona import Persona
from hearthmind.personas import Personas
from hearthmind.testing.observations import BUILD, WAIT, an_observation
from services.decision.deciding import House
from services.decision.effects import Act, Ask, Effect, Seen
from services.decision.habits import HABITS_MAX, TIMES_MAX, Habits
from services.decision.history import Histories
from services.decision.lives import Lives
from services.decision.machine import Partition
from services.decision.triage import Rule, Triage

POOLS = {"onnx_nano": "nano"}
STATES = {
    "peace": b'{"threat":"none","wood":9}',
    "like peace": b'{"threat":"none","wood":12}',
    "war": b'{"threat":"p7"}',
}
ANSWER = '{"action":"build","arguments":{"what":"farm","levels":2},"reasoning":"wood","confidence":0.9}'


def a_partition(reuse: float = 0.9, personas: Personas | None = None) -> Partition:
    triage = Triage({}, (Rule(why="it is worth a model", model="onnx_nano", reuse=reuse),), POOLS)
    return Partition(3, 77, House(triage, personas=personas or Personas()), Lives(Histories(8), recalls=False))


def of(state: str = "peace", **changes: Any) -> Observation:
    return an_observation(state=msgspec.Raw(STATES[state]), **changes)


def decide(partition: Partition, observation: Observation, answer: str = ANSWER) -> Act:
    """By a habit at once, or by the model, which is asked only then."""
    seen = Seen(observation, 1, observation.answer_within_ms / 1000, 0.0, 0.5, "ticket")
    effects = partition.observed(seen, 0.0)
    if any(isinstance(effect, Ask) for effect in effects):
        reply = Inferred(game="realm", npc=observation.npc, decision=observation.id, attempt=1, text=answer, model="m")
        effects = partition.replied(reply, 0.1)
    return the_act(effects)


def the_act(effects: list[Effect]) -> Act:
    (act,) = [effect for effect in effects if isinstance(effect, Act)]
    return act


def tell(partition: Partition, act: Act, success: bool = True, reward: float | None = 1.0) -> None:
    partition.lives.heard(outcome_of(act, success))
    if reward is not None:
        partition.lives.habits.valued("realm", act.action.decision, reward)


def outcome_of(act: Act, success: bool = True, action: str = "") -> OutcomeObserved:
    chosen = act.action
    executed = Executed(action=action or chosen.action, arguments=chosen.arguments)
    return OutcomeObserved(
        decision=chosen.decision, game="realm", npc=chosen.npc, kind=chosen.kind, executed=executed, success=success
    )


def test_what_came_off_is_done_again_without_asking_and_says_where_from() -> None:
    state = a_partition()
    first = decide(state, of())
    tell(state, first)
    again = decide(state, of("like peace", npc="p0002"))
    assert (first.action.source, again.action.source) == ("model", "cache")
    assert (again.action.action, again.action.arguments) == (first.action.action, first.action.arguments)
    assert again.action.why == f"as in {first.action.decision}, which came off 1 times"
    assert again.detail.related == (first.action.decision,)


@pytest.mark.parametrize("success", [None, False])
def test_what_nobody_knows_came_off_is_no_habit(success: bool | None) -> None:
    state = a_partition()
    first = decide(state, of())
    if success is not None:
        tell(state, first, success)
    assert decide(state, of()).action.source == "model"


def test_what_nobody_knows_the_worth_of_is_no_habit_and_neither_is_what_is_worth_less_than_usual() -> None:
    state = a_partition()
    tell(state, decide(state, of()), reward=None)
    second = decide(state, of())
    tell(state, second, reward=0.2)
    assert decide(state, of()).action.source == "cache"
    tell(state, decide(state, of("war")), reward=0.9)
    assert decide(state, of()).action.source == "model"
    assert decide(state, of("war")).action.source == "cache"


def test_what_the_game_did_not_do_is_no_habit() -> None:
    state = a_partition()
    first = decide(state, of())
    state.lives.heard(outcome_of(first, action="wait"))
    state.lives.habits.valued("realm", first.action.decision, 1.0)
    assert decide(state, of()).action.source == "model"


@pytest.mark.parametrize(
    "other",
    [
        of("war"),
        of(kind="combat"),
        of(legal_actions=(LegalAction(name="wait"), LegalAction(name="hold"))),
        of(texts=(Heard(speaker="Ann", text="Build!"),)),
        of(legal_actions=(WAIT, BUILD, LegalAction(name="flee"))),
    ],
    ids=("in another situation", "another kind", "not legal", "spoken to", "where more may be done"),
)
def test_elsewhere_the_model_is_asked(other: Observation) -> None:
    state = a_partition()
    tell(state, decide(state, of()))
    assert decide(state, other, '{"action":"wait"}').action.source == "model"


def test_what_the_policy_forbids_anyway_is_no_difference() -> None:
    state, actions = a_partition(), (WAIT, BUILD, LegalAction(name="destroy_world"))
    tell(state, decide(state, of(legal_actions=actions)))
    assert decide(state, of(legal_actions=actions)).action.source == "cache"


def test_what_leads_nowhere_is_not_done_by_habit() -> None:
    state = a_partition()
    tell(state, decide(state, of()))
    for _ in range(3):  # nobody hears what comes of these, and nothing changes
        assert decide(state, of()).action.source == "cache"
    assert decide(state, of(), '{"action":"wait"}').action.action == "wait"


def test_nobody_takes_over_the_habits_of_another_persona() -> None:
    wolf = Persona(name="wolf", sha256="a" * 64, npcs=("realm/w*",))
    state = a_partition(personas=Personas((wolf,)))
    tell(state, decide(state, of(npc="w1")))
    assert decide(state, of(npc="w2")).action.source == "cache"
    assert decide(state, of(npc="p1")).action.source == "model"


def test_a_failure_ends_it() -> None:
    state = a_partition()
    tell(state, decide(state, of()))
    tell(state, decide(state, of()), success=False)
    assert decide(state, of()).action.source == "model"


def test_now_and_then_the_model_is_asked_anew() -> None:
    state = a_partition()
    sources = []
    for _ in range(2 * (TIMES_MAX + 1)):
        act = decide(state, of())
        tell(state, act)
        sources.append(act.action.source)
    assert sources == 2 * (["model"] + ["cache"] * TIMES_MAX)


def test_where_the_triage_does_not_say_so_there_are_none() -> None:
    state = a_partition(reuse=0.0)
    tell(state, decide(state, of()))
    assert decide(state, of()).action.source == "model"


@given(st.lists(st.tuples(st.sampled_from(("a", "b")), st.integers(0, 200), st.booleans()), max_size=200))
def test_they_are_bounded_and_legal(lived: list[tuple[str, int, bool]]) -> None:
    habits = Habits()
    for place, wood, success in lived:
        seen = an_observation(state=msgspec.Raw(b'{"wood":"%d"}' % wood))
        habit = habits.fits((place,), seen, 0.9)
        answer = habit.answer if habit else Answer(action="wait")
        assert legal.problem(seen, answer.action, answer.arguments) is None
        habits.did((place,), seen, answer, habit)
        executed = Executed(action=answer.action, arguments=answer.arguments)
        habits.heard(
            OutcomeObserved(
                decision=seen.id, game="realm", npc=seen.npc, kind=seen.kind, executed=executed, success=success
            )
        )
        habits.valued("realm", seen.id, float(success))
        assert not habits.awaits_value
        assert all(len(custom.habits) <= HABITS_MAX for custom in map(habits._kept.known, habits._kept) if custom)
