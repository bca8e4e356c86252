"""Reading a model's words: strictly, then repaired towards what is legal, and nothing ever but an answer or a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearthmind import legal, scripted
from hearthmind.bus.wire import encode
from hearthmind.contracts.inference import Answer, Step
from hearthmind.contracts.observation import Choice, LegalAction, Observation, Real
from hearthmind.contracts.wire import Fact
from hearthmind.testing.observations import BUILD, WAIT, an_observation, observations
from services.decision.lenient import objects
from services.decision.reading import TEXT_MAX, Unreadable, read

SEEN = an_observation(
    legal_actions=(
        WAIT,
        BUILD,
        LegalAction(name="move_north"),
        LegalAction(name="talk"),
        LegalAction(name="trade", parameters={"item": Choice(enum=("wood", "iron"), default="wood")}),
        LegalAction(name="rest", parameters={"hours": Real(minimum=0.5, maximum=8), "where": Choice(enum=("inn",))}),
    )
)
MILL: dict[str, Fact] = {"what": "mill", "levels": 2}

SAID: list[tuple[str, str, dict[str, Any]]] = [
    # as it should be
    ('{"action":"build","arguments":{"what":"mill","levels":2},"confidence":0.5}', "build", MILL),
    # words and fences around it
    (
        'Sure, here you are:\n```json\n{"action":"build","arguments":{"what":"mill","levels":2}}\n```\nGood luck!',
        "build",
        MILL,
    ),
    ('<think>{"action":"wait"} is dull</think> {"action":"talk"}', "talk", {}),
    ('I saw {a wolf} there. {"action":"wait"}', "wait", {}),
    # how it is written
    ("{'action': 'build', 'arguments': {'what': 'mill', 'levels': 2,},}", "build", MILL),
    ("{action: build, arguments: {what: mill, levels: 2}}", "build", MILL),
    ("{\u201caction\u201d: \u201cwait\u201d}", "wait", {}),
    ('{"action":"wait", // nothing to do\n "confidence": 1}', "wait", {}),
    ('{"action":"wait","speech":"He said "hi" to me"}', "wait", {}),
    # names and types
    ('{"Action":"Build","Arguments":{"WHAT":"Mill","Levels":"2"}}', "build", MILL),
    ('{"action":"Move North"}', "move_north", {}),
    ('{"action":"build","arguments":{"what":"mill","levels":2.0}}', "build", MILL),
    ('{"action":"rest","arguments":{"hours":"1.5"}}', "rest", {"hours": 1.5, "where": "inn"}),
    # where it stands
    ('{"action":"build","what":"mill","levels":2}', "build", MILL),
    ('{"name":"build","arguments":"{\\"what\\":\\"mill\\",\\"levels\\":2}"}', "build", MILL),
    ('{"build":{"what":"mill","levels":2}}', "build", MILL),
    ('{"answer":{"action":{"name":"build","arguments":{"what":"mill","levels":2}}}}', "build", MILL),
    ('{"action":"build(what=mill, levels=2)"}', "build", MILL),
    ("build(what=mill, levels=2)", "build", MILL),
    ("build: mill, 2", "build", MILL),
    ("`wait`", "wait", {}),
    ("I go. [[ACTION:move_north]]", "move_north", {}),
    # cut off, after all that matters
    ('{"action":"build","arguments":{"what":"mill","levels":2},"reasoning":"because the vill', "build", MILL),
    # the game's own default, where the mind said nothing of it
    ('{"action":"trade"}', "trade", {"item": "wood"}),
    ('{"action":"wait","arguments":{"speed":null}}', "wait", {}),
    ('{"action":"wait","arguments":null,"confidence":"very"}', "wait", {}),
    # of a key that is said twice the first counts
    ('{"action":"wait","speech":"x","action":"talk"}', "wait", {}),
]


@pytest.mark.parametrize(("text", "action", "arguments"), SAID)
def test_what_is_understood(text: str, action: str, arguments: dict[str, Any]) -> None:
    answer = read(text, SEEN)
    assert (answer.action, answer.arguments) == (action, arguments)
    assert [type(value) for value in answer.arguments.values()] == [type(value) for value in arguments.values()]


REFUSED = [
    ("", "truncated"),
    ("I would rather attack!", "malformed"),
    ('{"action":"burn"}', "'burn' is not among the legal actions"),
    ('{"speech":"hello"}', "names no action"),
    # no number is moved into its bounds, none is made up, none is taken from the middle of a word
    ('{"action":"build","arguments":{"what":"mill","levels":9}}', "9 is not between 1 and 3"),
    ('{"action":"build","arguments":{"what":"mill","levels":"two"}}', "'two' is not a number"),
    ('{"action":"build","arguments":{"what":"mill","levels":2.5}}', "2.5 is not a whole number"),
    ('{"action":"build","arguments":{"what":"mill","levels":true}}', "True is not a number"),
    ('{"action":"build","arguments":{"what":"mill"}}', "build needs levels"),
    ('{"action":"build","arguments":{"what":"castle","levels":1}}', "'castle' is not one of"),
    # cut off in the middle of what matters
    ('{"action":"build","arguments":{"what":"mill","levels":2', "build needs levels"),
    ('{"action":"build","arguments":{"what":"mi', "build needs what, levels"),
    ('{"action":"trade"', "trade needs item"),
    ('{"action":"wai', "names no action"),
    # a default is no answer to what was said under another name
    ('{"action":"trade","arguments":{"goods":"iron"}}', "trade needs item"),
    ("[[ACTION:fly]]", ""),
    ('{"action":"burn","speech":"Come! [[ACTION:talk]]"}', "'burn' is not among the legal actions"),
    ("x" * (TEXT_MAX + 1), "longer than"),
]


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_what_is_not_understood_says_why(text: str, words: str) -> None:
    with pytest.raises(Unreadable, match=None) as caught:
        read(text, SEEN)
    assert words in str(caught.value)


def test_marks_leave_the_speech_and_become_what_follows() -> None:
    answer = read(
        '{"action":"talk","speech":"Hi! [[ACTION:move_north]] Come. [[ACTION:fly]] [[ACTION: build: mill, 2]] [[ACTI"}',
        SEEN,
    )
    assert answer.speech == "Hi! Come. [[ACTI"
    assert answer.steps == (Step(action="move_north"), Step(action="build", arguments=MILL))
    spoken = read("Follow me. [[ACTION:move_north]] Quick! [[ACTION: talk: Hello!]]", SEEN)
    assert (spoken.action, spoken.speech) == ("move_north", "Follow me. Quick!")
    assert spoken.steps == (Step(action="talk"),)
    assert read("[[ACTION: talk: Hello!]]", SEEN).speech == "Hello!"


def test_words_are_bounded_and_steps_are_kept() -> None:
    text = json.dumps(
        {"action": "wait", "speech": "x" * 5_000, "reasoning": "y" * 3_000, "steps": ["talk", {"action": "wait"}, 7]}
    )
    answer = read(text, SEEN)
    assert (len(answer.speech), len(answer.reasoning)) == (2_000, 2_000)
    assert [step.action for step in answer.steps] == ["talk", "wait"]


HOSTILE = [
    "{",
    '{"',
    "{'",
    '{"a":',
    "[",
    '{"a":"\\',
    "[[ACTION:",
    "{:",
    "{/*",
    '{"a":"x"y',
    "\u201c{",
    '{"action":"',
    "\\u",
    "(((",
    "}{",
    '{"action":{',
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_is_read_in_bounded_steps(piece: str) -> None:
    """Nothing here waits for a clock: what is not linear would not end."""
    for text in (piece * (TEXT_MAX // len(piece)), '{"action":' + piece * (TEXT_MAX // len(piece) - 10)):
        with pytest.raises(Unreadable):
            read(text, SEEN)


@given(observations(), st.data())
def test_any_text_is_a_legal_answer_or_a_reason(seen: Observation, data: st.DataObject) -> None:
    names = [legal_action.name for legal_action in seen.legal_actions]
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(names),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.text(max_size=9) | st.sampled_from(names), inner, max_size=4)
        ),
        max_leaves=12,
    )
    said = st.fixed_dictionaries(
        {"action": st.sampled_from(names) | values},
        optional={"arguments": values, "speech": values, "steps": values, "confidence": values, "reasoning": values},
    )
    text = data.draw(st.text(max_size=200) | values.map(json.dumps) | said.map(json.dumps) | said.map(str))
    text = text[: data.draw(st.integers(0, len(text)))] if data.draw(st.booleans()) else text
    try:
        answer = read(text, seen)
    except Unreadable:
        return
    assert legal.problem(seen, answer.action, answer.arguments) is None
    assert len(answer.speech) <= 2_000
    encode(answer)


@given(observations())
def test_a_good_answer_is_read_as_it_is(seen: Observation) -> None:
    answer = scripted.choose(seen)
    assert read(encode(answer).decode(), seen) == answer
    assert read(f"So: {encode(answer).decode()}.", seen).action == answer.action


@given(st.text(max_size=300))
def test_the_lenient_reader_takes_anything(text: str) -> None:
    for said, _ in objects(text):
        assert said


@given(
    st.dictionaries(
        st.text(
            st.characters(codec="ascii", exclude_characters="\\\"'", exclude_categories=["Cc"]), min_size=1, max_size=9
        ),
        st.integers(0, 99),
        max_size=5,
    )
)
def test_the_lenient_reader_reads_json(said: dict[str, int]) -> None:
    expected: dict[str, int] = {}
    for key, value in said.items():
        expected.setdefault(key.strip().casefold(), value)
    assert objects(json.dumps(said)) == ([(expected, False)] if said else [])


def test_a_whole_answer_survives() -> None:
    answer = Answer(action="wait", speech="Yes.", reasoning="No hurry.", confidence=0.25, steps=(Step(action="talk"),))
    assert read(encode(answer).decode(), SEEN) == answer
