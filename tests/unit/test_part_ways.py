"""An aggressive and a peaceful persona part ways wherever something is decided: rules, fallback, engine, prompt."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hearthmind.contracts.action import FALLBACK, RULES
from hearthmind.contracts.inference import Inferred
from hearthmind.contracts.observation import Heard, LegalAction, Observation
from hearthmind.contracts.outcome import CLIENT
from hearthmind.models import SCRIPTED, Rules
from hearthmind.persona import Behaviour, Persona, behaviour_of, genes_of
from hearthmind.personas import Personas
from hearthmind.referee import Execute, Referee
from hearthmind.testing.observations import an_observation
from services.decision.deciding import House
from services.decision.effects import Act, Ask, Effect, Seen
from services.decision.history import Histories
from services.decision.lives import Lives
from services.decision.machine import Partition
from services.decision.triage import parse
from services.inference_worker.engines.rules import RulesEngine

WILD = Persona(name="wild", sha256="a" * 64, traits=("cruel",), behaviour=Behaviour(aggression=1.0), npcs=("realm/w*",))
MILD = Persona(name="mild", sha256="b" * 64, traits=("kind",), behaviour=Behaviour(aggression=0.0), npcs=("realm/m*",))
ACTIONS = (
    LegalAction(name="attack", appeal=0.5, leans={"aggression": 1}),
    LegalAction(name="talk", appeal=0.5, leans={"aggression": -1}),
)
EXPECTED = {"w1": "attack", "m1": "talk", "x1": "attack"}
"""Nobody in particular takes the first of equals."""
POOLS = {"rules_scripted": "rules", "onnx_nano": "nano"}


def a_partition(triage: str) -> Partition:
    house = House(parse((f"*={triage}",), POOLS), personas=Personas((WILD, MILD)))
    return Partition(3, 77, house, Lives(Histories(8), recalls=False))


def of(npc: str, **changes: Any) -> Observation:
    return an_observation(npc=npc, legal_actions=ACTIONS, **changes)


def seen(observation: Observation) -> Seen:
    return Seen(observation, 1, observation.answer_within_ms / 1000, 0.0, 0.5, "ticket")


def the_act(effects: list[Effect]) -> Act:
    (act,) = [effect for effect in effects if isinstance(effect, Act)]
    return act


@pytest.mark.parametrize("npc", EXPECTED)
def test_by_the_rules(npc: str) -> None:
    act = the_act(a_partition("rules").observed(seen(of(npc)), 0.0))
    assert (act.action.action, act.action.source) == (EXPECTED[npc], RULES)
    persona = {"w1": WILD, "m1": MILD}.get(npc)
    assert act.action.persona == (persona.ref if persona else "")
    assert act.detail.behaviour.get("aggression", 0.5) == (persona.behaviour.aggression if persona else 0.5)


@pytest.mark.parametrize("npc", EXPECTED)
def test_by_the_fallback(npc: str) -> None:
    state, observation = a_partition("onnx_nano"), of(npc)
    state.observed(seen(observation), 0.0)
    failed = Inferred(game="realm", npc=npc, decision=observation.id, attempt=1, failed="it broke", failure="engine")
    act = the_act(state.replied(failed, 0.1))
    assert (act.action.action, act.action.source) == (EXPECTED[npc], FALLBACK)


@pytest.mark.parametrize("npc", EXPECTED)
def test_by_the_fallback_of_a_game_that_is_left_alone(npc: str) -> None:
    referee, observation = Referee(Personas((WILD, MILD)).of), of(npc)
    referee.observed(observation, 0.0)
    (verdict,) = referee.refused(observation.id, "the broker is away", 0.1)
    assert isinstance(verdict, Execute)
    persona = {"w1": WILD, "m1": MILD}.get(npc)
    assert (verdict.chosen.action, verdict.chosen.source) == (EXPECTED[npc], CLIENT)
    assert verdict.chosen.persona == (persona.ref if persona else "")


@pytest.mark.parametrize("npc", EXPECTED)
def test_behind_the_scripted_engine(npc: str) -> None:
    effects = a_partition("rules_scripted").observed(seen(of(npc)), 0.0)
    (ask,) = [effect for effect in effects if isinstance(effect, Ask)]
    answered = asyncio.run(RulesEngine(SCRIPTED, Rules()).answer(ask.infer))
    assert f'"action":"{EXPECTED[npc]}"' in answered.text


def test_in_the_prompt() -> None:
    prompts = {}
    for npc in EXPECTED:
        (ask,) = [effect for effect in a_partition("onnx_nano").observed(seen(of(npc)), 0.0) if isinstance(effect, Ask)]
        prompts[npc] = "\n".join(turn.text for turn in ask.infer.prompt)
    assert "cruel" in prompts["w1"]
    assert "kind" in prompts["m1"].replace("kind of decision", "").replace("Kind of decision", "")
    assert prompts["w1"].replace("w1", "") != prompts["x1"].replace("x1", "")


def test_who_the_game_says_counts_and_a_stranger_is_nobody() -> None:
    state = a_partition("rules")
    assert the_act(state.observed(seen(of("w2", persona="mild")), 0.0)).action.action == "talk"
    act = the_act(state.observed(seen(of("w3", persona="unheard-of")), 0.0))
    assert (act.action.action, act.action.persona) == ("attack", "")
    assert state.house.personas.strangers == 1


def test_who_does_not_hear_in_time_whether_it_may_speak_keeps_quiet() -> None:
    state = a_partition("onnx_nano")
    said = (Heard(speaker="Ann", text="Who is there?"),)
    talk = (LegalAction(name="say", appeal=1.0), LegalAction(name="wait"))
    observation = an_observation(npc="w1", scene="inn", texts=said, legal_actions=talk)
    assert not any(isinstance(effect, Act) for effect in state.observed(seen(observation), 0.0))
    act = the_act(state.ticked(observation.answer_within_ms / 1000))
    assert (act.action.action, act.action.speech) == ("wait", "")


def test_genes_travel_by_name() -> None:
    assert genes_of(Behaviour()) == {}
    assert behaviour_of({}) == Behaviour()
    for behaviour in (WILD.behaviour, MILD.behaviour):
        assert behaviour_of(genes_of(behaviour)) == behaviour
    assert behaviour_of({"aggression": 7.0, "some-later-gene": 0.1}) == Behaviour(aggression=1.0)
