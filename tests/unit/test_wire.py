"""Bytes at the edge: what is read, what is refused and with which words, what the past and the future look like."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given

from hearthmind.bus.wire import OBSERVATION_BYTES_MAX, decode, decode_any, encode, refuse_non_finite
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.inference import Infer, Inferred, Withdraw
from hearthmind.contracts.memory import Recall, Recalled
from hearthmind.contracts.observation import Event, Observation
from hearthmind.contracts.outcome import OutcomeObserved, OutcomesStored, ReplyRated
from hearthmind.contracts.policy import CheckPolicy, PolicyChecked, PolicyViolated
from hearthmind.contracts.wire import Message, Unknown
from hearthmind.errors import HearthmindError, Malformed, TooLarge, UnknownVersion
from hearthmind.testing.observations import an_observation, observations

SAMPLES = Path(__file__).parents[1] / "samples"
KINDS: dict[str, type[Message]] = {
    "observation": Observation,
    "event": Event,
    "infer": Infer,
    "inferred": Inferred,
    "withdraw": Withdraw,
    "action_chosen": ActionChosen,
    "decision_made": DecisionMade,
    "outcome_observed": OutcomeObserved,
    "outcomes_stored": OutcomesStored,
    "reply_rated": ReplyRated,
    "recall": Recall,
    "recalled": Recalled,
    "check_policy": CheckPolicy,
    "policy_checked": PolicyChecked,
    "policy_violated": PolicyViolated,
}
ARCHIVED = sorted(SAMPLES.glob("*/*.json"))


@pytest.mark.parametrize("path", ARCHIVED, ids=[f"{path.parent.name}/{path.stem}" for path in ARCHIVED])
def test_archived_messages_are_read_for_ever(path: Path) -> None:
    kind = KINDS[path.stem.partition(".")[0]]
    message = decode(path.read_bytes(), kind)
    assert_agree(json.loads(path.read_bytes()), json.loads(encode(message)))


def assert_agree(said: object, read: object) -> None:
    """What both know is the same; what only one knows is a newer field or a default."""
    if isinstance(said, dict) and isinstance(read, dict):
        for key in said.keys() & read.keys():
            assert_agree(said[key], read[key])
    elif isinstance(said, list) and isinstance(read, list):
        assert len(said) == len(read)
        for one, other in zip(said, read, strict=True):
            assert_agree(one, other)
    else:
        assert said == read


def test_every_message_is_archived() -> None:
    for folder in ("past", "future"):
        archived = {path.stem.partition(".")[0] for path in (SAMPLES / folder).glob("*.json")}
        assert archived == set(KINDS)


@given(observations())
def test_what_is_written_is_read(observation: Observation) -> None:
    assert encode(decode(encode(observation), Observation)) == encode(observation)


def _with(**changes: object) -> bytes:
    fields = json.loads(encode(an_observation()))
    return json.dumps({**fields, **changes}).encode()


def _without(*names: str) -> bytes:
    fields = json.loads(encode(an_observation()))
    return json.dumps({key: value for key, value in fields.items() if key not in names}).encode()


WAIT = {"name": "wait"}
REFUSED = [
    ("no JSON", b"hello", Malformed, "malformed"),
    ("cut short", encode(an_observation())[:-20], Malformed, ""),
    ("not UTF-8", b'{"id": "\xff"}', Malformed, ""),
    ("nothing", b"", Malformed, ""),
    ("a list", b"[]", Malformed, "Expected `object`"),
    ("too deep", b'{"state":' + b"[" * 50_000, Malformed, "recursion"),
    ("too large", _with(state="x" * OBSERVATION_BYTES_MAX), TooLarge, "limit"),
    ("bad id", _with(npc="a.b"), Malformed, "$.npc"),
    ("wildcard", _with(npc="*"), Malformed, "$.npc"),
    ("newline after an id", _with(npc="p1\n"), Malformed, "$.npc"),
    ("long id", _with(game="x" * 65), Malformed, "$.game"),
    ("empty id", _with(id=""), Malformed, "$.id"),
    ("no legal actions", _with(legal_actions=[]), Malformed, "$.legal_actions"),
    ("legal actions missing", _without("legal_actions"), Malformed, "legal_actions"),
    ("two of a name", _with(legal_actions=[WAIT, WAIT]), Malformed, "same name"),
    (
        "bounds the wrong way",
        _with(legal_actions=[{"name": "a", "parameters": {"n": {"type": "integer", "minimum": 2, "maximum": 1}}}]),
        Malformed,
        "above maximum",
    ),
    ("no bounds", _with(legal_actions=[{"name": "a", "parameters": {"n": {"type": "integer"}}}]), Malformed, "minimum"),
    (
        "bounds beyond 2^53",
        _with(
            legal_actions=[{"name": "a", "parameters": {"n": {"type": "integer", "minimum": 0, "maximum": 2**53 + 1}}}]
        ),
        Malformed,
        "maximum",
    ),
    (
        "empty enumeration",
        _with(legal_actions=[{"name": "a", "parameters": {"n": {"type": "string", "enum": []}}}]),
        Malformed,
        "enum",
    ),
    ("not a number", b'{"id":"a","game_time":NaN}', Malformed, ""),
    ("null for a number", _with(game_time=None), Malformed, "$.game_time"),
    ("infinite", _with(game_time=1).replace(b'"game_time": 1', b'"game_time": 1e999'), Malformed, ""),
    ("no time to answer", _with(answer_within_ms=0), Malformed, "$.answer_within_ms"),
    ("priority 11", _with(priority=11), Malformed, "$.priority"),
    ("unknown version", _with(v=2), UnknownVersion, "major version 2"),
    ("unknown version, otherwise unreadable", b'{"type":"observation","v":7,"id":5}', UnknownVersion, "7"),
    ("another message", b'{"type":"event"}', Malformed, "event"),
]


@pytest.mark.parametrize(("data", "error", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_wrong_is_said(data: bytes, error: type[HearthmindError], words: str) -> None:
    with pytest.raises(error) as raised:
        decode(data, Observation)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_unknown_tag_is_passed_over() -> None:
    message = decode_any(b'{"type":"prophecy","v":1,"about":"p1"}', ActionChosen, OutcomeObserved)
    assert message == Unknown(said="prophecy")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_numbers_are_refused_with_their_place(value: float) -> None:
    with pytest.raises(Malformed, match=r"\$\.troops\[1\]\.speed"):
        refuse_non_finite({"troops": [{}, {"speed": value}]}, "state")


def test_the_state_is_passed_through_untouched() -> None:
    observation = decode(_with(state={"big": 2**60, "deep": [[[1]]]}), Observation)
    assert json.loads(msgspec.json.encode(observation.state)) == {"big": 2**60, "deep": [[[1]]]}
