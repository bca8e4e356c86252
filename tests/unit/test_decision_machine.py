"""The core of the decision service: each observation leads to one act or one drop, in time and legal."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearthmind import legal
from hearthmind.contracts.inference import Inferred
from hearthmind.contracts.observation import Choice, Event, Heard, LegalAction, Observation
from hearthmind.contracts.outcome import Executed, OutcomeObserved
from hearthmind.errors import CannotStart
from hearthmind.testing.observations import BUILD, WAIT, an_observation, observations
from services.decision.acting import ANSWER_KEPT_MAX, FAULT
from services.decision.deciding import House
from services.decision.effects import Act, Ask, Contend, Drop, Effect, Remember, Report, Seen, without_answer
from services.decision.history import Histories
from services.decision.lives import Lives
from services.decision.machine import Partition
from services.decision.triage import Triage, parse
from services.decision.triage import read as read_triage

POOLS = {"rules_scripted": "rules", "onnx_nano": "nano"}
MODEL = parse(("*=rules_scripted",), POOLS)
RULES = parse(("*=rules",), POOLS)
NANO = parse(("*=onnx_nano",), POOLS)
FIRST_OF_SECOND = 3
"""The number of the first question of the second delivery; each delivery may ask twice."""


def partition(triage: Triage = MODEL, pending_max: int = 100, **house: Any) -> Partition:
    return Partition(3, 77, House(triage, pending_max=pending_max, **house), Lives(Histories(8), recalls=False))


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


def asked(effects: list[Effect]) -> Ask:
    effect = only(effects)
    assert isinstance(effect, Ask)
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
    said = reply(observation, attempt=FIRST_OF_SECOND, worker="w", tokens_in=3, tokens_out=4)
    detail = acted(state.replied(said, 0.1)).detail
    told = without_answer(detail)
    assert (detail.answer, detail.worker, detail.tokens_in) == ('{"action":"wait"}', "w", 3)
    assert (told.answer, told.worker, told.tokens_in, told.tokens_out) == ("", "", 0, 0)
    assert (told.observation, told.decision, told.tier) == (detail.observation, detail.decision, detail.tier)


BAD_ANSWERS = [
    ("", "can't be read"),
    ("I would rather attack!", "can't be read"),
    ('{"action":"burn"}', "'burn' is not among the legal actions"),
    ('{"action":"build","arguments":{"what":"mill","levels":9}}', "9 is not between 1 and 3"),
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
    assert acted(state.replied(reply(observation, attempt=FIRST_OF_SECOND), 0.1)).action.attempt == 2


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
    [
        ("combat", "write kind=model"),
        ("=rules", "write kind=model"),
        ("combat=onnx_nana", "did you mean onnx_nano?"),
        ("combat=rules:raider", "write kind=model:adapter"),
        ("combat=onnx_nano:raider@new", "write kind=model:adapter"),
    ],
)
def test_a_triage_that_makes_no_sense_is_named(entry: str, why: str) -> None:
    with pytest.raises(CannotStart, match=re.escape(why)):
        parse((entry,), POOLS)


@pytest.mark.parametrize("adapter", ["", "raider", "raider@2"])
def test_a_model_is_asked_with_the_adapter_that_stands_behind_it(adapter: str) -> None:
    state = partition(parse((f"*=onnx_nano:{adapter}" if adapter else "*=onnx_nano",), POOLS))
    effect = only(state.observed(seen(an_observation()), 0.0))
    assert isinstance(effect, Ask)
    assert (effect.infer.model, effect.infer.adapter) == ("onnx_nano", adapter)


def test_the_narrowest_entry_of_the_triage_counts() -> None:
    triage = parse(("realm/combat=onnx_nano", "combat=rules_scripted", "board/*=onnx_nano", "*=rules"), POOLS)

    def model(game: str, kind: str) -> str:
        return triage.route(an_observation(game=game, kind=kind)).model

    asked = {(game, kind): model(game, kind) for game in ("realm", "board", "other") for kind in ("combat", "chat")}
    assert asked == {
        ("realm", "combat"): "onnx_nano",
        ("realm", "chat"): "",
        ("board", "combat"): "rules_scripted",
        ("board", "chat"): "onnx_nano",
        ("other", "combat"): "rules_scripted",
        ("other", "chat"): "",
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
    assert effect.action.template.startswith("economic@")
    assert (effect.detail.adapter_sha256, effect.detail.cost_usd) == ("ab", 0.5)
    kept = without_answer(effect.detail)
    assert (kept.adapter_sha256, kept.cost_usd) == ("", 0.0)


# ---- once more, where there is time -------------------------------------------------------------------------------------


def test_a_model_that_reads_is_asked_once_more_and_told_why() -> None:
    state, observation = partition(NANO), an_observation()
    first = asked(state.observed(seen(observation), 0.0))
    second = asked(state.replied(reply(observation, "I would rather dance.", tokens_in=5), 0.1))
    assert (first.infer.attempt, second.infer.attempt) == (1, 2)
    assert "could not be used" in "".join(turn.text for turn in second.infer.prompt)
    assert state.replied(reply(observation), 0.2) == []
    effect = acted(state.replied(reply(observation, attempt=2, tokens_in=7), 0.2))
    assert (effect.action.source, effect.action.attempt, effect.detail.tokens_in) == ("model", 1, 12)


def test_it_is_asked_twice_at_most() -> None:
    state, observation = partition(NANO), an_observation()
    state.observed(seen(observation), 0.0)
    asked(state.replied(reply(observation, "no"), 0.1))
    effect = acted(state.replied(reply(observation, "no!", attempt=2), 0.2))
    assert (effect.action.source, effect.detail.answer) == ("fallback", "no!")


def test_there_is_no_second_question_where_time_is_short_or_the_engine_broke() -> None:
    state, slow, broken = partition(NANO), an_observation(npc="a"), an_observation(npc="b")
    state.observed(seen(slow), 0.0)
    state.observed(seen(broken), 0.0)
    assert acted(state.replied(reply(slow, "no"), 0.5)).action.source == "fallback"
    assert acted(state.replied(reply(broken, "", failed="no memory"), 0.1)).action.source == "fallback"


# ---- a pool that is silent ----------------------------------------------------------------------------------------------


def test_a_silent_pool_is_not_waited_for_and_comes_back() -> None:
    state = partition()
    waiting = an_observation(npc="a", answer_within_ms=60_000)
    state.observed(seen(waiting), 0.0)
    assert state.wakes_s == 3.0
    released = acted(state.ticked(3.0))
    assert released.action.why.startswith("the pool is silent: rules")
    act, probe = state.observed(seen(an_observation(npc="b"), 3.1), 3.1)
    assert isinstance(act, Act)
    assert isinstance(probe, Ask)
    assert act.action.why.startswith("the pool is silent")
    other = an_observation(npc="c")
    assert acted(state.observed(seen(other, 3.2), 3.2)).action.source == "fallback"
    assert state.waiting == 0
    assert state.replied(reply(act.detail.observation, attempt=probe.infer.attempt), 3.3) == []
    third, fourth, fifth = (state.observed(seen(an_observation(npc=npc), 3.4), 3.4) for npc in "def")
    assert isinstance(only(third), Ask)
    assert isinstance(only(fourth), Ask)
    assert "is coming back" in acted(fifth).action.why


def test_a_probe_that_is_refused_or_of_no_use_changes_nothing() -> None:
    state = partition()
    state.observed(seen(an_observation(npc="a")), 0.0)
    state.ticked(3.0)
    for at, answer in enumerate(("refused", "failed", "rubbish")):
        now_s = 4.0 + at
        act, probe = state.observed(seen(an_observation(npc="b"), now_s), now_s)
        assert isinstance(act, Act)
        assert isinstance(probe, Ask)
        observation = act.detail.observation
        if answer == "refused":
            key = (observation.game, observation.npc, observation.id)
            assert state.refused(key, probe.infer.attempt, "full", now_s) == []
        else:
            said = reply(observation, "rubbish", failed="no memory" if answer == "failed" else "")
            assert state.replied(said, now_s) == []
        assert acted(state.observed(seen(an_observation(npc="c"), now_s), now_s)).action.source == "fallback"


# ---- policy -------------------------------------------------------------------------------------------------------------


def test_what_the_policy_forbids_is_not_done_and_the_npc_is_frozen() -> None:
    wreck = LegalAction(name="nuke", parameters={"what": Choice(enum=("all",))})
    state, observation = partition(NANO), an_observation(legal_actions=(WAIT, BUILD, wreck))
    ask = asked(state.observed(seen(observation), 0.0))
    assert "nuke" not in ask.infer.answer_schema
    said = reply(observation, '{"action":"nuke","arguments":{"what":"all"}}')
    report, act = state.replied(said, 0.1)
    assert isinstance(report, Report)
    assert isinstance(act, Act)
    assert (report.violated.rule, report.violated.action) == ("wrecks-the-world", "nuke")
    assert report.frozen
    assert (act.action.action, act.action.source) == ("wait", "fallback")
    assert act.action.why.startswith("the policy forbids it: wrecks-the-world")
    assert acted(state.observed(seen(an_observation(), 1.0), 1.0)).action.why.startswith("it is frozen")
    assert isinstance(only(state.observed(seen(an_observation(), 5.2), 5.2)), Ask)
    assert isinstance(only(state.observed(seen(an_observation(npc="other"), 5.2), 5.2)), Ask)


# ---- plans, memory, scenes and things -----------------------------------------------------------------------------------


def test_a_plan_goes_on_without_a_question() -> None:
    state, observation = partition(), an_observation()
    state.observed(seen(observation), 0.0)
    text = '{"action":"wait","steps":[{"action":"build","arguments":{"what":"mill","levels":1}}]}'
    first = acted(state.replied(reply(observation, text), 0.1))
    assert [step.action for step in first.action.steps] == ["build"]
    second = acted(state.observed(seen(an_observation(), 1.0), 1.0))
    assert (second.action.source, second.action.action) == ("plan", "build")
    assert second.detail.related == (observation.id,)
    assert isinstance(only(state.observed(seen(an_observation(), 2.0), 2.0)), Ask)


def test_what_came_of_a_deed_is_remembered_in_the_next_prompt() -> None:
    state, observation = partition(NANO), an_observation()
    state.observed(seen(observation), 0.0)
    state.replied(reply(observation), 0.1)
    outcome = OutcomeObserved(
        decision=observation.id,
        game=observation.game,
        npc=observation.npc,
        kind=observation.kind,
        executed=Executed(action="wait"),
        success=False,
        opponent="p0007",
    )
    state.lives.heard(outcome)
    ask = asked(state.observed(seen(an_observation(), 1.0), 1.0))
    assert "p0007" in "".join(turn.text for turn in ask.infer.prompt)
    detail = acted(state.ticked(2.0)).detail
    assert detail.related == ()
    assert detail.prompt == ()


def test_the_past_of_those_who_are_seen_first_is_asked_for_once() -> None:
    state = Partition(3, 77, House(RULES), Lives(Histories(8)))
    for npc in ("a", "b", "a"):
        state.observed(seen(an_observation(npc=npc)), 0.0)
    assert state.wakes_s == pytest.approx(0.2)
    (remember,) = state.ticked(0.2)
    assert isinstance(remember, Remember)
    assert (remember.recall.npcs, remember.recall.partition) == (("a", "b"), 3)
    state.observed(seen(an_observation(npc="a"), 1.0), 1.0)
    assert state.ticked(2.0) == []


def test_of_two_who_want_the_same_coin_the_second_takes_something_else() -> None:
    grab = LegalAction(name="grab", parameters={"coin": Choice(enum=("left", "right"))}, appeal=1, contends="coin")
    state, observation = partition(RULES), an_observation(legal_actions=(WAIT, grab))
    first = only(state.observed(seen(observation), 0.0))
    assert isinstance(first, Contend)
    assert state.claimed(first.key, first.number + 1, True, 0.1) == []
    second = only(state.claimed(first.key, first.number, False, 0.1))
    assert isinstance(second, Contend)
    act = acted(state.claimed(second.key, second.number, True, 0.2))
    assert (act.action.action, act.action.arguments) == ("grab", {"coin": "right"})
    assert act.action.why == "somebody else took it first: left"


def test_who_hears_nothing_of_its_claim_acts_in_time() -> None:
    grab = LegalAction(name="grab", parameters={"coin": Choice(enum=("left",))}, appeal=1, contends="coin")
    state, observation = partition(RULES), an_observation(legal_actions=(WAIT, grab))
    state.observed(seen(observation), 0.0)
    assert acted(state.ticked(0.96)).action.action == "grab"


def test_of_those_who_hear_the_same_words_one_answers() -> None:
    say = LegalAction(name="say", appeal=1)
    state, heard = partition(RULES), (Heard(speaker="Ann", text="Good day, everybody!"),)
    claims = [
        only(
            state.observed(
                seen(an_observation(npc=npc, kind="chat", scene="inn", texts=heard, legal_actions=(WAIT, say))), 0.0
            )
        )
        for npc in ("a", "b")
    ]
    first, second = claims
    assert isinstance(first, Contend)
    assert isinstance(second, Contend)
    assert first.claims[0].key == second.claims[0].key
    assert acted(state.claimed(first.key, first.number, True, 0.1)).action.action == "say"
    assert acted(state.claimed(second.key, second.number, False, 0.1)).action.action == "wait"


def test_a_player_who_waits_for_words_goes_first() -> None:
    declared, mistakes = read_triage(
        "rules: [{when: {texts: true}, model: onnx_nano, tier: critical, why: talk}]", POOLS
    )
    assert declared, mistakes
    state = partition(parse((), POOLS, declared))
    heard = (Heard(speaker="Ann", text="Good day!"),)
    ask = asked(state.observed(seen(an_observation(kind="chat", texts=heard, priority=6)), 0.0))
    assert (ask.infer.tier, ask.infer.priority) == ("critical", 2)
    assert acted(state.ticked(1.0)).detail.route == "talk"


def test_an_action_that_something_newer_outdated_is_known_to_be_so() -> None:
    state, old, new = partition(RULES), an_observation(snapshot=1), an_observation(snapshot=2)
    acted(state.observed(seen(old), 0.0))
    assert not state.outdated(old)
    acted(state.observed(seen(new), 0.1))
    assert state.outdated(old)
    assert not state.outdated(new)
    assert isinstance(only(state.observed(seen(an_observation(snapshot=1), 0.2), 0.2)), Drop)
    acted(state.observed(seen(an_observation(snapshot=0), 2.0), 2.0))  # the world has begun anew


@pytest.mark.parametrize("part", ["progress", "memories", "plans", "histories"])
def test_whatever_of_ours_breaks_the_npc_has_its_action(part: str) -> None:
    state, observation = partition(NANO), an_observation()
    state.observed(seen(observation), 0.0)
    setattr(state.lives, part, None)
    for effects in (state.replied(reply(observation), 0.1), state.observed(seen(an_observation(), 0.2), 0.2)):
        for effect in effects:
            if isinstance(effect, Act):
                assert effect.action.why.startswith(FAULT)
                assert effect.action.action == "build"
    assert state.waiting <= 1
    assert all(isinstance(effect, Act) for effect in state.ticked(100.0))
    assert state.waiting == 0


# ---- the law ------------------------------------------------------------------------------------------------------------

happenings = st.lists(
    st.tuples(
        st.sampled_from(("see", "again", "reply", "bad reply", "refuse", "claim", "wait")),
        st.integers(0, 5),
        observations(),
    ),
    max_size=40,
)


@given(happenings, st.integers(1, 5), st.sampled_from((MODEL, NANO)))
def test_every_observation_ends_in_one_act_or_drop(
    happenings: list[tuple[str, int, Observation]], pending_max: int, triage: Triage
) -> None:
    state, now_s = partition(triage, pending_max), 0.0
    taken: dict[str, Seen] = {}
    questions: dict[str, int] = {}
    ended: list[Act | Drop] = []
    for what, number, fresh in happenings:
        known = list(taken.values())[number % len(taken)] if taken else seen(fresh, now_s)
        question = questions.get(known.observation.id, 1)
        case = state._waiting.of(known.key)
        if what == "see":
            taken[fresh.id] = seen(fresh, now_s)
            effects = state.observed(taken[fresh.id], now_s)
        elif what == "again" and case:
            taken[known.observation.id] = again = msgspec.structs.replace(known, attempt=known.attempt + 1)
            effects = state.observed(again, now_s)
        elif what == "reply":
            effects = state.replied(reply(known.observation, attempt=question), now_s)
        elif what == "bad reply":
            effects = state.replied(reply(known.observation, "no", attempt=question), now_s)
        elif what == "refuse":
            effects = state.refused(known.key, question, "full", now_s)
        elif what == "claim":
            effects = (
                state.claimed(known.key, case.waits if case else 1, number > 2, now_s) if case and case.deed else []
            )
        else:
            now_s += number / 4
            effects = state.ticked(now_s)
        questions |= {effect.infer.decision: effect.infer.attempt for effect in effects if isinstance(effect, Ask)}
        ended += ends_of(effects)
    ended += ends_of(state.ticked(now_s + 1000))
    assert sorted(effect.ticket[0] for effect in ended) == sorted(taken)  # type: ignore[index]
    assert state.waiting == 0


def ends_of(effects: list[Effect]) -> list[Act | Drop]:
    """What ends an observation; an action among them is legal and an answer to it."""
    ended = [effect for effect in effects if isinstance(effect, Act | Drop)]
    for effect in ended:
        if isinstance(effect, Act):
            chosen, observation = effect.action, effect.detail.observation
            assert legal.problem(observation, chosen.action, chosen.arguments) is None
            assert chosen.snapshot == observation.snapshot
            assert not chosen.why.startswith(FAULT), chosen.why
    return ended
