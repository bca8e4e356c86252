"""Triage: the first rule that fits counts, the short setting wins, and every mistake is named with its line."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearthmind.contracts.observation import Heard, Observation
from hearthmind.errors import CannotStart
from hearthmind.flow import TIERS, tier_of
from hearthmind.models import pools
from hearthmind.testing.observations import WAIT, an_observation, observations
from services.decision.triage import (
    DECLARED,
    KEY,
    BadTriage,
    Declared,
    Rule,
    Span,
    Triage,
    When,
    parse,
    read,
    triage_of,
)

POOLS = {"rules_scripted": "rules", "onnx_nano": "nano", "vllm_big": "big"}


def declared(text: str) -> Triage:
    found, mistakes = read(text, POOLS)
    assert found is not None, mistakes
    return parse((), POOLS, found)


def with_state(state: object, **changes: object) -> Observation:
    return an_observation(state=msgspec.Raw(msgspec.json.encode(state)), **changes)


def test_the_first_rule_that_fits_counts_and_says_why() -> None:
    triage = declared(
        """
        rules:
          - {when: {kind: combat, priority_max: 2}, model: vllm_big, tier: critical, template: combat, why: A war.}
          - {when: {kind: [combat, tactical]}, model: onnx_nano, why: A skirmish.}
          - {why: The rest.}
        """
    )
    war = triage.route(an_observation(kind="combat", priority=1))
    assert (war.model, war.pool, war.tier, war.template, war.reason) == (
        "vllm_big",
        "big",
        "critical",
        "combat",
        "A war.",
    )
    skirmish = triage.route(an_observation(kind="tactical", priority=3))
    assert (skirmish.model, skirmish.tier, skirmish.template, skirmish.reason) == (
        "onnx_nano",
        "strategic",
        "",
        "A skirmish.",
    )
    rest = triage.route(an_observation(priority=8))
    assert (rest.model, rest.pool, rest.tier, rest.reason) == ("", "", "routine", "The rest.")
    assert (war.reads_text, rest.reads_text) == (True, False)
    assert triage.models == {"vllm_big", "onnx_nano"}


def test_without_a_rule_the_rules_answer() -> None:
    route = declared("").route(an_observation())
    assert (route.model, route.reason) == ("", "no rule fits")


@pytest.mark.parametrize(
    "when, fits",
    [
        ("game: realm", True),
        ("game: [castle, village]", False),
        ("actions_min: 3", False),
        ("actions_max: 2", True),
        ("parameters: true", True),
        ("parameters: false", False),
        ("texts: true", True),
        ("scene: true", False),
        ("facts: {wood: 12}", True),
        ("facts: {wood: 13}", False),
        ("facts: {wood: true}", False),
        ("facts: {at_war: true}", True),
        ("facts: {wood: {above: 11, below: 13}}", True),
        ("facts: {wood: {above: 12}}", False),
        ("facts: {village.threat: {above: 0}}", True),
        ("facts: {village.name: {above: 0}}", False),
        ("facts: {village.name: {one_of: [Elm, Oak]}}", True),
        ("facts: {village.name.more: 1}", False),
        ("facts: {nowhere: {above: 0}}", False),
    ],
)
def test_conditions(when: str, fits: bool) -> None:
    state = {"wood": 12, "at_war": True, "village": {"name": "Elm", "threat": 3}}
    observation = with_state(state, texts=(Heard(speaker="Bo", text="hi"),))
    triage = declared(f"rules: [{{when: {{{when}}}, model: onnx_nano, why: it fits}}]")
    assert (triage.route(observation).model == "onnx_nano") == fits


def test_a_state_that_is_no_record_has_no_facts() -> None:
    triage = declared("rules: [{when: {facts: {wood: 1}}, model: onnx_nano, why: x}]")
    assert triage.route(with_state([1, 2])).model == ""


def test_the_short_setting_wins_and_leaves_tier_and_template() -> None:
    found, _ = read(
        "rules: [{when: {kind: chat}, model: rules, tier: critical, template: chat, why: It talks.}]", POOLS
    )
    triage = parse(("chat=vllm_big", "realm/chat=onnx_nano", "castle/*=rules"), POOLS, found or Declared())
    route = triage.route(an_observation(kind="chat"))
    assert (route.model, route.tier, route.template) == ("onnx_nano", "critical", "chat")
    assert route.reason == f"{KEY} says realm/chat=onnx_nano"
    assert triage.route(an_observation(game="castle", kind="chat")).model == "vllm_big"
    assert triage.route(an_observation(game="castle", kind="trade")).model == ""
    assert parse(("*=rules",), POOLS, found or Declared()).models == set()


@pytest.mark.parametrize(
    "entry, says",
    [("chat", "write kind=model"), ("=x", "write kind=model"), ("chat=onyx_nano", "did you mean onnx_nano")],
)
def test_a_wrong_short_setting_is_refused(entry: str, says: str) -> None:
    with pytest.raises(CannotStart, match=says):
        parse((entry,), POOLS)


def test_every_mistake_is_named_with_its_line() -> None:
    text = """rules:
  - when: {kind: combat, fact: 3}
    model: onyx_nano
    tier: urgent
    template: combt
    why: x
  - why: all
  - when: {facts: {a.b: {abov: 2}}}
    model: rules
budgets: {npc: {calls_per_h: -1}}
rulez: []
"""
    found, mistakes = read(text, POOLS, {"combat", "generic"})
    assert found is None
    said = {(mistake.line, part) for mistake in mistakes for part in [mistake.what]}
    for line, what in [
        (2, "nobody knows 'fact'; is it facts?"),
        (3, "no model 'onyx_nano' is declared; did you mean onnx_nano?"),
        (4, "tier"),
        (5, "there is no template 'combt'; there are combat, generic"),
        (8, "abov"),
        (8, "rules[2] lacks why"),
        (10, "calls_per_h"),
        (11, "nobody knows 'rulez'; is it rules?"),
    ]:
        assert any(at == line and what in says for at, says in said), (line, what, mistakes)


def test_a_rule_behind_one_that_fits_everything_is_a_mistake() -> None:
    _, mistakes = read("rules:\n  - why: all\n  - {why: more, when: {kind: chat}}\n", POOLS)
    assert [(mistake.line, mistake.what) for mistake in mistakes] == [
        (3, "rules[1] never counts: rules[0] fits everything")
    ]


def test_a_file_that_can_not_be_used_is_refused_by_name(folder: Path) -> None:
    file = folder / "triage.yaml"
    file.write_text("rules: [\n", encoding="utf-8")
    with pytest.raises(BadTriage, match=r"triage\.yaml has 1 mistake: line \d: this is no YAML"):
        triage_of(str(file), (), POOLS)
    with pytest.raises(CannotStart, match="can't be read"):
        triage_of(str(folder / "none.yaml"), (), POOLS)


def test_the_file_of_this_checkout_is_good_for_the_declared_models() -> None:
    triage = triage_of("", (), pools(), {"strategic", "combat", "chat"})
    assert DECLARED.name == "triage.yaml"
    assert triage.route(an_observation(kind="strategic")).model == "onnx_nano"
    assert triage.route(an_observation(legal_actions=(WAIT,), kind="combat")).model == ""
    spoken_to = an_observation(kind="chat", texts=(Heard(speaker="Bo", text="hi"),), priority=9)
    assert triage.route(spoken_to).tier == "critical"


conditions = st.builds(
    When,
    game=st.none() | st.sampled_from(("realm", ("realm", "castle"))),
    kind=st.none() | st.sampled_from(("combat", "economic")),
    priority_min=st.integers(0, 10),
    actions_max=st.integers(1, 256),
    facts=st.dictionaries(
        st.sampled_from(("wood", "a.b")), st.integers(0, 20) | st.builds(Span, above=st.floats(0, 20)), max_size=2
    ),
)
rules = st.builds(
    Rule,
    why=st.text("abc ", min_size=1, max_size=9),
    when=conditions,
    model=st.sampled_from(("rules", *POOLS)),
    tier=st.sampled_from(("", *TIERS)),
)


@given(observations(), st.lists(rules, max_size=5))
def test_every_observation_has_one_route_with_a_reason(observation: Observation, those: list[Rule]) -> None:
    triage = Triage({}, tuple(those), POOLS)
    route = triage.route(observation)
    assert route == triage.route(observation)
    assert route.reason
    assert route.tier in TIERS
    assert (route.model in triage.models and route.pool == POOLS[route.model]) if route.model else route.pool == ""
    if not those:
        assert route.tier == tier_of(observation.priority)


def test_our_own_file_does_without_models_that_are_not_declared() -> None:
    triage = triage_of("", (), {"rules_scripted": "rules"})
    assert triage.models <= {"rules_scripted"}
    assert triage.route(an_observation(game="realm", kind="strategic")).model == ""
