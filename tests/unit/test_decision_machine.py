"""The core of the decision service: each observation leads to one act or one drop, in time and legal."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearthmind import legal
from hearthmind.contracts.inference import Inferred
from hearthmind.contracts.observation import Event, Observation
from hearthmind.errors import CannotStart
from hearthmind.testing.observations import an_observation, observations
from services.decision.machine import ANSWER_KEPT_MAX, Act, Ask, Drop, Effect, Partition, Seen, without_answer
from services.decision.triage import parse

POOLS = {"rules_scripted": "rules", "onnx_nano": "nano"}
MODEL = parse(("*=rules_scripted",), POOLS)
RULES = parse(("*=rules",), POOLS)
NANO = parse(("*=onnx_nano",), POOLS)


def partition(triage: object = MODEL, pending_max: int = 100) -> Partition:
    return Partition(3, 77, triage, 0.04, pending_max)  # type: ignore[arg-type]


def seen(observation: Observation, now_s: float = 0.0, attempt: int = 1) -> Seen:
    deadline_s = now_s + observation.answer_within_ms / 1000
    return Seen(observation, attempt, deadline_s, now_s, 0.5, (observation.id, attempt))


def reply(observation: Observation, text: str = '{"action":"wait"}', **changes: object) -> Inferred:
    fields: dict[str, object] = {
        "game": observation.game,
        "npc": observation.npc,
        "decision": observation.id,
        "attempt": 1,
        "text": text,
        "model": "rules_scripted",
    }
    return Inferred(**{**fields, **changes})  # type: ignore[arg-type]


def only(effects: list[Effect]) -> Effect:
    (effect,) = effects
    return effect


def acted(effects: list[Effect]) -> Act:
    effect = only(effects)
    assert isinstance(effect, Act)
    return effect


def test_rules_answer_at_once() -> None:
    effect = acted(partition(RULES).observed(seen(an_observation()), 0.0))
    assert (effect.action.source, effect.action.action) == ("rules", "build")
    assert effect.detail.epoch == 77
    assert effect.detail.observation.state == effect.detail.observation.state


def test_a_model_is_asked_and_its_answer_is_acted_on() -> None:
    state, observation = partition(), an_observation(priority=1)
    ask = only(state.observed(seen(observation), 0.0))
    assert isinstance(ask, Ask)
    assert (ask.infer.tier, ask.infer.attempt, ask.infer.partition) == ("critical", 1, 3)
    effect = acted(state.replied(reply(observation, queue_ms=2.0), 0.2))
    assert (effect.action.source, effect.action.action) == ("model", "wait")
    assert effect.action.stages_ms["queue"] == 2.0
    assert state.waiting == 0


def test_what_waits_for_an_engine_can_be_kept_or_given_back() -> None:
    state, one, other = partition(), an_observation(npc="a"), an_observation(npc="b")
    state.observed(seen(one), 0.0)
    state.observed(seen(other), 0.0)
    state.observed(seen(one, attempt=2), 0.1)
    assert state.tickets == [(other.id, 1), (one.id, 2)]
    state.replied(reply(other), 0.2)
    assert state.tickets == [(one.id, 2)]


def test_the_detail_of_another_attempts_action_says_nothing_of_this_ones_answer() -> None:
    state, observation = partition(), an_observation()
    state.observed(seen(observation, attempt=2), 0.0)
    detail = acted(state.replied(reply(observation, attempt=2, worker="w", tokens_in=3, tokens_out=4), 0.1)).detail
    told = without_answer(detail)
    assert (detail.answer, detail.worker, detail.tokens_in) == ('{"action":"wait"}', "w", 3)
    assert (told.answer, told.worker, told.tokens_in, told.tokens_out) == ("", "", 0, 0)
    assert (told.observation, told.decision, told.tier) == (detail.observation, detail.decision, detail.tier)


BAD_ANSWERS = [
    ("", "can't be read"),
    ("I would rather attack!", "can't be read"),
    ('{"action":"burn"}', "'burn' is not among the legal actions"),
    ('{"action":"build","arguments":{"what":"mill","levels":9}}', "9 is not between 1 and 3"),
    ('{"action":"wait","confidence":7}', "confidence"),
    ('{"action":"wait","speech":"' + "x" * 3000 + '"}', "speech"),
    ("[" * 100_000, "can't be read"),
]


@pytest.mark.parametrize(("text", "words"), BAD_ANSWERS)
def test_a_bad_answer_falls_back_and_says_why(text: str, words: str) -> None:
    state, observation = partition(), an_observation()
    state.observed(seen(observation), 0.0)
    effect = acted(state.replied(reply(observation, text), 0.1))
    assert effect.action.source == "fallback"
    assert words in effect.action.why
    assert effect.detail.answer == text[:ANSWER_KEPT_MAX]


def test_a_failed_engine_and_a_refused_request_fall_back() -> None:
    state, one, other = partition(), an_observation(npc="a"), an_observation(npc="b")
    state.observed(seen(one), 0.0)
    state.observed(seen(other), 0.0)
    assert "out of memory" in acted(state.replied(reply(one, "", failed="out of memory"), 0.1)).action.why
    refused = state.refused((other.game, other.npc, other.id), 1, "the tier is full", 0.1)
    assert "the tier is full" in acted(refused).action.why


def test_the_deadline_falls_back_before_it_is_over() -> None:
    state, observation = partition(), an_observation(answer_within_ms=1000)
    state.observed(seen(observation), 0.0)
    assert state.wakes_s == pytest.approx(0.96)
    assert state.ticked(0.95) == []
    effect = acted(state.ticked(0.96))
    assert (effect.action.source, effect.deadline_s) == ("fallback", 1.0)
    assert state.replied(reply(observation), 0.97) == []


def test_an_answer_of_another_attempt_is_passed_over() -> None:
    state, observation = partition(), an_observation()
    state.observed(seen(observation, attempt=1), 0.0)
    state.observed(seen(observation, attempt=2), 0.0)
    assert state.replied(reply(observation, attempt=1), 0.1) == []
    assert acted(state.replied(reply(observation, attempt=2), 0.1)).action.attempt == 2


def test_what_is_said_twice_is_decided_once() -> None:
    state, observation = partition(), an_observation()
    state.observed(seen(observation), 0.0)
    assert isinstance(only(state.observed(seen(observation), 0.1)), Drop)
    assert acted(state.replied(reply(observation), 0.2)).action.decision == observation.id


def test_a_newer_observation_replaces_the_older_and_an_older_one_is_dropped() -> None:
    state = partition()
    old, new = an_observation(snapshot=1), an_observation(snapshot=2)
    state.observed(seen(old), 0.0)
    drop, ask = state.observed(seen(new), 0.1)
    assert isinstance(drop, Drop)
    assert drop.ticket == (old.id, 1)
    assert drop.withdraw is not None
    assert (drop.withdraw[0], drop.withdraw[1].decision, drop.withdraw[1].attempt) == ("rules", old.id, 1)
    assert isinstance(ask, Ask)
    assert isinstance(only(state.observed(seen(an_observation(snapshot=1)), 0.2)), Drop)
    event = Event(**{name: getattr(old, name) for name in old.__struct_fields__ if name != "id"}, id="e1")
    assert isinstance(only(state.observed(seen(event), 0.2)), Ask)


def test_what_comes_after_its_deadline_is_dropped() -> None:
    late = seen(an_observation(answer_within_ms=1000))
    assert isinstance(only(partition().observed(late, 1.0)), Drop)


def test_memory_is_bounded() -> None:
    state = partition(pending_max=2)
    for npc in ("a", "b"):
        state.observed(seen(an_observation(npc=npc)), 0.0)
    effect = acted(state.observed(seen(an_observation(npc="c")), 0.0))
    assert effect.action.source == "fallback"
    assert "2 decisions wait" in effect.action.why


@pytest.mark.parametrize(
    "entry,why",
    [("combat", "write kind=model"), ("=rules", "write kind=model"), ("combat=onnx_nana", "did you mean onnx_nano?")],
)
def test_a_triage_that_makes_no_sense_is_named(entry: str, why: str) -> None:
    with pytest.raises(CannotStart, match=re.escape(why)):
        parse((entry,), POOLS)


def test_the_narrowest_entry_of_the_triage_counts() -> None:
    triage = parse(("realm/combat=onnx_nano", "combat=rules_scripted", "board/*=onnx_nano", "*=rules"), POOLS)

    def model(game: str, kind: str) -> str:
        route = triage.route(an_observation(game=game, kind=kind))
        return route.model if route else "rules"

    asked = {(game, kind): model(game, kind) for game in ("realm", "board", "other") for kind in ("combat", "chat")}
    assert asked == {
        ("realm", "combat"): "onnx_nano",
        ("realm", "chat"): "rules",
        ("board", "combat"): "rules_scripted",
        ("board", "chat"): "onnx_nano",
        ("other", "combat"): "rules_scripted",
        ("other", "chat"): "rules",
    }


def test_a_model_that_reads_text_gets_a_prompt_and_the_form_of_its_answer() -> None:
    observation = an_observation()
    ask = only(partition(NANO).observed(seen(observation), 0.0))
    assert isinstance(ask, Ask)
    assert (ask.infer.model, ask.infer.pool, ask.infer.observation) == ("onnx_nano", "nano", None)
    assert [turn.role for turn in ask.infer.prompt] == ["system", "user"]
    assert all(legal.name in ask.infer.answer_schema for legal in observation.legal_actions)
    plain = only(partition(MODEL).observed(seen(observation), 0.0))
    assert isinstance(plain, Ask)
    assert (plain.infer.observation, plain.infer.prompt, plain.infer.answer_schema) == (observation, (), "")


def test_an_action_says_what_it_came_from() -> None:
    state, observation = partition(NANO), an_observation()
    state.observed(seen(observation), 0.0)
    said = reply(observation, cached=True, model="onnx_nano", adapter="raider@3", adapter_sha256="ab", cost_usd=0.5)
    effect = acted(state.replied(said, 0.1))
    assert (effect.action.source, effect.action.model, effect.action.adapter) == ("cache", "onnx_nano", "raider@3")
    assert effect.action.template.startswith("generic@")
    assert (effect.detail.adapter_sha256, effect.detail.cost_usd) == ("ab", 0.5)
    kept = without_answer(effect.detail)
    assert (kept.adapter_sha256, kept.cost_usd) == ("", 0.0)


happenings = st.lists(
    st.tuples(
        st.sampled_from(("see", "again", "reply", "bad reply", "refuse", "wait")), st.integers(0, 5), observations()
    ),
    max_size=40,
)


@given(happenings, st.integers(1, 5))
def test_every_observation_ends_in_one_act_or_drop(
    happenings: list[tuple[str, int, Observation]], pending_max: int
) -> None:
    state, now_s = partition(pending_max=pending_max), 0.0
    taken: dict[str, Seen] = {}
    ended: list[Act | Drop] = []
    for what, number, fresh in happenings:
        known = list(taken.values())[number % len(taken)] if taken else seen(fresh, now_s)
        key = (known.observation.game, known.observation.npc, known.observation.id)
        if what == "see":
            taken[fresh.id] = seen(fresh, now_s)
            effects = state.observed(taken[fresh.id], now_s)
        elif what == "again" and key in state._waiting:
            again = msgspec.structs.replace(known, attempt=known.attempt + 1)
            taken[known.observation.id] = again
            effects = state.observed(again, now_s)
        elif what == "reply":
            effects = state.replied(reply(known.observation, attempt=known.attempt), now_s)
        elif what == "bad reply":
            effects = state.replied(reply(known.observation, "no", attempt=known.attempt), now_s)
        elif what == "refuse":
            effects = state.refused(key, known.attempt, "full", now_s)
        else:
            now_s += number / 4
            effects = state.ticked(now_s)
        ended += [effect for effect in effects if not isinstance(effect, Ask)]
        for effect in effects:
            if isinstance(effect, Act):
                chosen = effect.action
                observation = effect.detail.observation
                assert legal.problem(observation, chosen.action, chosen.arguments) is None
                assert chosen.snapshot == observation.snapshot
    ended += [effect for effect in state.ticked(now_s + 1000) if not isinstance(effect, Ask)]
    assert sorted(effect.ticket[0] for effect in ended) == sorted(taken)  # type: ignore[index]
    assert state.waiting == 0
    assert not state._newest
