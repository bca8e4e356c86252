"""The scripted mind: legal whatever the genes are, unmoved by neutral ones, and visibly somebody's by others."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from hearthmind import legal, scripted
from hearthmind.contracts.observation import LegalAction, Observation
from hearthmind.persona import GENES, NEUTRAL, Behaviour
from hearthmind.testing.observations import an_observation, observations

ATTACK = LegalAction(name="attack", appeal=0.5, leans={"aggression": 1, "risk_tolerance": 0.5})
TALK = LegalAction(name="talk", appeal=0.5, leans={"diplomacy": 1, "aggression": -0.5})
WAIT = LegalAction(name="wait", appeal=0.4, leans={"patience": 1})
WILD = Behaviour(aggression=1, diplomacy=0)
MILD = Behaviour(aggression=0, diplomacy=1)

genes = st.builds(Behaviour, **dict.fromkeys(GENES, st.floats(0, 1)))
leans = st.dictionaries(st.sampled_from((*GENES, "some-later-gene")), st.floats(-1, 1), max_size=4)


@st.composite
def leaning(draw: st.DrawFn) -> Observation:
    """Any observation whose actions lean somewhere."""
    observation = draw(observations())
    actions = [msgspec.structs.replace(each, leans=draw(leans)) for each in observation.legal_actions]
    return msgspec.structs.replace(observation, legal_actions=tuple(actions))


@given(leaning(), genes)
def test_it_is_legal_and_the_same_each_time(observation: Observation, behaviour: Behaviour) -> None:
    answer = scripted.choose(observation, behaviour)
    assert legal.problem(observation, answer.action, answer.arguments) is None
    assert scripted.choose(observation, behaviour) == answer


@given(leaning())
def test_neutral_genes_change_nothing(observation: Observation) -> None:
    bare = [msgspec.structs.replace(each, leans={}) for each in observation.legal_actions]
    before = scripted.choose(msgspec.structs.replace(observation, legal_actions=tuple(bare)))
    same_genes = Behaviour(**dict.fromkeys(GENES, 0.5))
    assert scripted.choose(observation) == scripted.choose(observation, same_genes) == before
    assert before.action == max(observation.legal_actions, key=lambda each: each.appeal).name


@given(observations(), genes)
def test_without_leans_the_genes_change_nothing(observation: Observation, behaviour: Behaviour) -> None:
    assert scripted.choose(observation, behaviour) == scripted.choose(observation, NEUTRAL)


def test_an_aggressive_and_a_peaceful_one_part_ways() -> None:
    observation = an_observation(legal_actions=(WAIT, TALK, ATTACK))
    assert scripted.choose(observation, WILD).action == "attack"
    assert scripted.choose(observation, MILD).action == "talk"
    assert scripted.choose(observation, Behaviour(patience=1)).action == "wait"


def test_in_whatever_unit_a_game_counts() -> None:
    for unit in (0.001, 1.0, 1000.0):
        actions = [msgspec.structs.replace(each, appeal=each.appeal * unit) for each in (WAIT, TALK, ATTACK)]
        observation = an_observation(legal_actions=tuple(actions))
        assert scripted.choose(observation, WILD).action == "attack"
        assert scripted.choose(observation, MILD).action == "talk"


def test_what_is_far_better_is_done_by_everybody() -> None:
    observation = an_observation(legal_actions=(LegalAction(name="flee", appeal=1.0), ATTACK, TALK, WAIT))
    near = msgspec.structs.replace(ATTACK, appeal=0.0)
    assert scripted.choose(an_observation(legal_actions=(observation.legal_actions[0], near)), WILD).action == "flee"
