"""The policy: each sort of rule, the file and its mistakes, and what is done where something is forbidden."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearthmind import legal
from hearthmind.bus.wire import decode, encode
from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Choice, Event, LegalAction, Observation, Whole
from hearthmind.contracts.policy import CheckPolicy, PolicyViolated
from hearthmind.contracts.wire import Fact
from hearthmind.minds import Ban, Freeze, key_of
from hearthmind.testing.observations import an_observation, observations
from services.decision.checking import checked
from services.decision.policy import BadPolicy, Histories, History, Policy, parse_policy, read_policy
from services.decision.standing import Standing

ACTIONS = (
    LegalAction(name="wait"),
    LegalAction(name="attack", parameters={"target": Choice(enum=("p7", "p9"))}, appeal=0.9),
    LegalAction(
        name="give",
        parameters={"item": Choice(enum=("gold", "wood")), "amount": Whole(minimum=0, maximum=100, default=50)},
        appeal=0.5,
    ),
    LegalAction(name="dig", appeal=0.3),
    LegalAction(name="nuke", appeal=1.0),
)
STATE: dict[str, object] = {
    "inventory": {"gold": 20},
    "allies": ["p7"],
    "treaties": [{"with": "p8", "until": 9}],
    "nearby": [{"name": "v1", "friendly": True}, {"name": "v2", "friendly": False}],
    "members": {"p3": 1},
}


def policy(rules: str, top: str = "") -> Policy:
    file, mistakes = parse_policy(f"{top}\nrules:\n{rules}")
    assert mistakes == []
    return Policy(file)


def seen(**changes: object) -> Observation:
    return an_observation(**{"legal_actions": ACTIONS, "state": msgspec.Raw(msgspec.json.encode(STATE)), **changes})


def does(action: str, **arguments: Fact) -> Answer:
    return Answer(action=action, arguments=arguments)


def why(rules: Policy, answer: Answer, history: History | None = None, now_s: float = 0.0, **changes: object) -> str:
    broken = rules.check(seen(**changes), answer, history or History(64), now_s)
    return broken.why if broken else ""


ONE: list[tuple[str, Answer, str]] = [
    ("forbidden: true", does("nuke"), "nuke is forbidden"),
    ("values: {target: [p9]}", does("attack", target="p9"), "target is p9"),
    ("values: {target: ['P*']}", does("attack", target="p7"), "target is p7"),
    ("values: {amount: ['-1']}", does("give", item="gold", amount=-1), "amount is -1"),
    ("caps: {amount: 30}", does("give", item="gold", amount=31), "amount is 31 and may be 30"),
    ("caps: {amount: 30}", does("give", item="gold", amount=30), ""),
    ("within: {amount: {of: 'inventory.{item}'}}", does("give", item="gold", amount=21), "inventory.{item} has 20"),
    ("within: {amount: {of: 'inventory.{item}'}}", does("give", item="gold", amount=20), ""),
    ("within: {amount: {of: 'inventory.{item}', share: 0.5}}", does("give", item="gold", amount=11), "has 20"),
    ("within: {amount: {of: 'inventory.{item}'}}", does("give", item="wood", amount=1), "has 0"),
    ("within: {amount: {of: 'inventory.{what}'}}", does("give", item="wood", amount=1), ""),
    ("within: {amount: {of: 'purse.{item}'}}", does("give", item="wood", amount=1), ""),
    ("hoard: {fact: inventory.gold, above: 19}", does("dig"), "inventory.gold is 20 already"),
    ("hoard: {fact: inventory.gold, above: 20}", does("dig"), ""),
    ("treaty: {targets: [target], partners: [allies]}", does("attack", target="p7"), "there is a treaty with p7"),
    ("treaty: {targets: [target], partners: [allies]}", does("attack", target="p9"), ""),
    ("treaty: {targets: [target], partners: [treaties.with]}", does("attack", target="p8"), "a treaty with p8"),
    ("treaty: {targets: [target], partners: [members]}", does("attack", target="p3"), "a treaty with p3"),
    ("treaty: {targets: [target], partners: ['nearby?friendly.name']}", does("attack", target="v1"), "with v1"),
    ("treaty: {targets: [target], partners: ['nearby?friendly.name']}", does("attack", target="v2"), ""),
    ("treaty: {targets: [target], partners: [nothing.of.it]}", does("attack", target="v2"), ""),
]


@pytest.mark.parametrize(("demand", "answer", "expected"), ONE)
def test_what_breaks_a_rule(demand: str, answer: Answer, expected: str) -> None:
    found = why(policy(f"  one: {{says: No., {demand}}}"), answer)
    assert expected in found if expected else found == ""


def test_a_rule_speaks_of_its_games_kinds_and_actions() -> None:
    rules = policy("  one: {says: No., games: ['real?'], kinds: [eco*], actions: [d*, nuke], forbidden: true}")
    assert why(rules, does("dig"))
    assert not why(rules, does("wait"))
    assert not why(rules, does("dig"), game="castle")
    assert not why(rules, does("dig"), kind="combat")


def after(answers: list[Answer], states: list[Mapping[str, int]] | None = None) -> History:
    history = History(64)
    for at, answer in enumerate(answers):
        state = states[at % len(states)] if states else STATE
        history.did(seen(state=msgspec.Raw(msgspec.json.encode(state))), answer, float(at))
    return history


def test_rates_count_what_their_rule_speaks_of_within_the_time() -> None:
    rules = policy("  one: {says: No., actions: [dig, nuke], rate: {most: 3, within_s: 10}}")
    history = after([does("dig"), does("nuke"), does("wait"), does("dig")])
    assert "3 times within 10 s" in why(rules, does("dig"), history, 4.0)
    assert not why(rules, does("dig"), history, 10.5)
    assert not why(rules, does("wait"), history, 4.0)


def test_the_same_with_other_arguments_is_no_repetition() -> None:
    rules = policy("  one: {says: No., repeats: {most: 2, within_s: 10}}")
    history = after([does("attack", target="p9"), does("attack", target="p7"), does("attack", target="p9")])
    assert why(rules, does("attack", target="p9"), history, 3.0)
    assert not why(rules, does("attack", target="p7"), history, 3.0)


def test_a_streak_ends_with_another_action() -> None:
    rules = policy("  one: {says: No., streak: {most: 3}}")
    assert why(rules, does("dig"), after([does("dig")] * 3), 3.0)
    assert not why(rules, does("dig"), after([does("dig")] * 2), 3.0)
    assert not why(rules, does("dig"), after([does("dig"), does("wait"), does("dig"), does("dig")]), 4.0)


def test_a_loop_is_one_while_nothing_changes() -> None:
    rules = policy("  one: {says: No., loop: {actions_max: 3, times: 2}}")
    anyhow = policy("  one: {says: No., loop: {actions_max: 3, times: 2, any_state: true}}")
    circle = [does("dig"), does("attack", target="p9"), does("give", item="gold", amount=1)]
    history = after([*circle, *circle[:2]])
    assert "the same 3 deeds 2 times" in why(rules, circle[2], history, 6.0)
    assert not why(rules, does("dig"), history, 6.0)
    moved = after([*circle, *circle[:2]], [{"n": number} for number in range(5)])
    assert not why(rules, circle[2], moved, 6.0)
    assert why(anyhow, circle[2], moved, 6.0)
    assert not why(rules, does("dig"), after([does("dig")] * 9), 9.0), "one deed again and again is a streak"


def test_who_idles_breaks_no_rule_about_how_often() -> None:
    rules = policy("  one: {says: No., rate: {most: 1, within_s: 99}}\n  two: {says: No., games: [x], forbidden: true}")
    history = after([does("wait"), does("dig")])
    assert not why(rules, does("wait"), history, 2.0)
    assert why(rules, does("wait"), history, 2.0, game="x")


def test_what_is_permitted_leaves_out_what_cannot_pass() -> None:
    rules = policy(
        "  one: {says: No., actions: [nuke], forbidden: true}\n"
        "  two: {says: No., treaty: {targets: [target], partners: [allies]}}\n"
        "  three: {says: No., actions: [dig], rate: {most: 1, within_s: 10}}"
    )
    observation = seen()
    fresh, tired = History(64), after([does("dig")])
    assert [each.name for each in rules.permitted(observation, fresh, 1.0).legal_actions] == [
        "wait",
        "attack",
        "give",
        "dig",
    ]
    assert [each.name for each in rules.permitted(observation, tired, 1.0).legal_actions] == ["wait", "attack", "give"]
    plain = seen(legal_actions=ACTIONS[:3])
    assert rules.permitted(plain, fresh, 1.0) is plain
    nothing = seen(legal_actions=ACTIONS[4:])
    assert rules.permitted(nothing, fresh, 1.0) is nothing


def test_what_is_harmless_idles_where_it_can() -> None:
    rules = policy("  one: {says: No., actions: [nuke], forbidden: true}", "idle: [hold, wait]")
    assert rules.harmless(seen(), History(1), 0.0) == does("wait")


def test_what_is_harmless_passes_where_anything_does() -> None:
    rules = policy(
        "  one: {says: No., actions: [nuke, dig], forbidden: true}\n"
        "  two: {says: No., treaty: {targets: [target], partners: [allies]}}\n"
        "  three: {says: No., actions: [give], within: {amount: {of: 'inventory.{item}'}}}"
    )
    assert rules.harmless(seen(legal_actions=ACTIONS[1:]), History(1), 0.0) == does("attack", target="p9")
    giving = seen(legal_actions=(ACTIONS[2], ACTIONS[4]))
    assert rules.harmless(giving, History(1), 0.0) == does("give", item="gold", amount=0)
    assert rules.harmless(seen(legal_actions=ACTIONS[4:]), History(1), 0.0) == does("nuke"), "nothing else is legal"


def test_of_what_breaks_rules_the_mild_is_done() -> None:
    rules = policy(
        "  one: {says: No., actions: [nuke], forbidden: true}\n  two: {says: No., actions: [dig], streak: {most: 1}}"
    )
    observation = seen(legal_actions=ACTIONS[3:])
    assert rules.harmless(observation, after([does("dig")]), 1.0) == does("dig")


@given(observations(), st.integers(0, 5))
def test_with_the_policy_of_the_house_what_is_harmless_is_legal_and_passes(
    observation: Observation, deeds: int
) -> None:
    history = HOUSE_HISTORIES.of("g", str(deeds))
    answer = HOUSE.harmless(observation, history, float(deeds))
    assert legal.problem(observation, answer.action, answer.arguments) is None
    assert HOUSE.check(observation, answer, history, float(deeds)) is None
    assert HOUSE.permitted(observation, history, 0.0).legal_actions
    assert HOUSE.harmless(observation, history, float(deeds)) == answer


HOUSE = read_policy()
HOUSE_HISTORIES = Histories(HOUSE.remembers)


def test_histories_are_bounded() -> None:
    histories = Histories(remembered=4, npcs_max=3)
    for number in range(9):
        for _ in range(9):
            histories.of("realm", f"p{number}").did(seen(), does("dig"), 0.0)
        histories.of("realm", "p0")
    assert len(histories) == 3
    assert len(histories.of("realm", "p0").deeds) == 4
    assert histories.of("realm", "p0").in_a_row == 9
    assert not histories.of("realm", "p4").deeds


# ---- the file ---------------------------------------------------------------------------------------------------------

WRONG = """\
freeze: 5
idle: []
speech: {chars_max: 0}
rules:
  one: {forbidden: true}
  two words: {says: No., forbidden: true}
  three: {says: No.}
  four: {says: No., forbidden: true, caps: {amount: 3}}
  five: {says: No., rate: {most: 900, within_s: 1}}
  six: {says: No., treaty: {targets: [target]}}
  seven: {says: No., forbiden: true}
  eight: {says: No., within: {amount: {off: gold}}}
  one: {says: No., forbidden: true}
"""


def test_every_mistake_in_the_file_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(WRONG)
    with pytest.raises(BadPolicy) as caught:
        read_policy(str(file))
    said = str(caught.value)
    assert "12 mistakes" in said
    for line, words in (
        (1, "nobody knows 'freeze'; is it freeze_s?"),
        (2, "idle"),
        (3, "chars_max"),
        (5, "lacks says"),
        (6, "two words"),
        (7, "three demands nothing"),
        (8, "four demands several things"),
        (9, "five.rate"),
        (10, "partners"),
        (11, "is it forbidden?"),
        (12, "eight.within"),
        (13, "stands on line 5 already"),
    ):
        assert any(f":{line}: " in each and words in each for each in said.splitlines()), (line, words, said)


@pytest.mark.parametrize("text", ["", "rules:", "rules: []", "- a", "{", "rules: {a: 1}", "7"])
def test_any_text_is_a_policy_or_has_mistakes(text: str) -> None:
    file, mistakes = parse_policy(text)
    assert not file.rules
    assert mistakes or text == ""


def test_the_file_of_the_house_knows_every_sort_that_the_issue_names() -> None:
    sorts = {type(rule.demand).__name__ for rule in HOUSE.file.rules.values()}
    assert sorts >= {"Forbidden", "Values", "Within", "Hoard", "Treaty", "Rate", "Loop"}
    assert HOUSE.freeze_s == 5


# ---- asking, freezing -------------------------------------------------------------------------------------------------


def test_whoever_asks_learns_whether_it_is_legal_and_whether_it_passes() -> None:
    def asked(action: str) -> CheckPolicy:
        return CheckPolicy(asker="me", observation=seen(), action=action)

    rules = policy("  one: {says: Not that., actions: [nuke], forbidden: true}")
    fly, nuke, dig = (checked(asked(name), rules, History(1), 0.0) for name in ("fly", "nuke", "dig"))
    assert (fly.passes, fly.rule) == (False, "illegal")
    assert (nuke.passes, nuke.rule, nuke.why) == (False, "one", "Not that. (nuke is forbidden)")
    assert (dig.passes, dig.rule, dig.why) == (True, None, "")


def test_a_freeze_ends_and_a_ban_does_not() -> None:
    standing = Standing()
    assert standing.why_still("g", "n", 0.0) == ""
    key, value = standing.freeze("g", "n", Freeze(until_s=5.0, rule="one", decision="d"))
    assert key == "freeze.g.n"
    assert standing.why_still("g", "n", 4.9) == "it is frozen: one"
    assert standing.why_still("g", "m", 4.9) == ""
    assert standing.why_still("g", "n", 5.0) == ""
    elsewhere = Standing()
    elsewhere.heard_all({key: value, key_of("ban", "g", "m"): msgspec.json.encode(Ban(why="enough", by="me"))}, 1.0)
    assert elsewhere.why_still("g", "n", 2.0) == "it is frozen: one"
    assert elsewhere.why_still("g", "m", 1e12) == "it is banned: enough"
    elsewhere.heard(key_of("ban", "g", "m"), b"", 2.0)
    assert elsewhere.why_still("g", "m", 2.0) == ""


@given(st.text(max_size=30), st.binary(max_size=30))
def test_what_the_bucket_says_never_breaks_it(key: str, value: bytes) -> None:
    standing = Standing()
    standing.heard(key, value, 0.0)
    standing.heard(f"ban.{key}", value, 0.0)
    assert isinstance(standing.why_still("g", "n", 0.0), str)


def test_an_event_can_violate_as_well() -> None:
    event = Event(id="e", game="g", npc="n", kind="raid", legal_actions=ACTIONS, answer_within_ms=9, snapshot=1)
    violated = PolicyViolated(
        decision="e", game="g", npc="n", kind="raid", rule="one", why="No.", action="nuke", observation=event
    )
    assert decode(encode(violated), PolicyViolated) == violated
