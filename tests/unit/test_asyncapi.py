"""What other languages are told: the schemas agree with our decoder, and the AsyncAPI document with itself and the flow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from hearthmind import flow, scripted
from hearthmind.acting import action_of
from hearthmind.bus.wire import OBSERVATION_BYTES_MAX, decode_any, encode
from hearthmind.contracts.action import FALLBACK, ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.observation import Observation
from hearthmind.contracts.outcome import Executed, OutcomeObserved, ReplyRated
from hearthmind.contracts.policy import PolicyViolated
from hearthmind.contracts.wire import Fact, Message
from hearthmind.errors import HearthmindError
from hearthmind.testing.observations import an_observation, observations
from services.command.asyncapi import GAME, document, pages
from services.command.schemas import MESSAGES, SEEN_BY_GAMES, of_message, tag_of

ROOT = Path(__file__).parents[2]
PAGES = pages()
DOCUMENT = document()
BY_TAG = {tag_of(message): message for message in SEEN_BY_GAMES}
CHECKS = {message: Draft202012Validator(of_message(message)) for message in SEEN_BY_GAMES}
SAMPLES = [path for path in sorted(ROOT.glob("tests/samples/*/*.json")) if path.stem.partition(".")[0] in BY_TAG]


def accepts(message: type[Message], said: object) -> bool:
    return CHECKS[message].is_valid(said)


def is_read(message: type[Message], said: object) -> bool:
    """Whether a service takes it, or a game: by what travels in its stream."""
    together = (ActionChosen, DecisionMade, PolicyViolated, OutcomeObserved, ReplyRated)
    kinds = together if message in (OutcomeObserved, ReplyRated) else (message,)
    try:
        return isinstance(decode_any(json.dumps(said).encode(), *kinds), message)
    except HearthmindError:
        return False


# ---- schemas -----------------------------------------------------------------------------------------------------------


def test_every_message_of_a_game_has_a_schema() -> None:
    there = {path.stem for path in (ROOT / "docs/reference/schemas").iterdir()}
    assert (
        there
        == set(BY_TAG)
        == {"observation", "event", "action_chosen", "outcome_observed", "outcomes_stored", "reply_rated"}
    )


@pytest.mark.parametrize("message", SEEN_BY_GAMES, ids=tag_of)
def test_a_schema_is_one_and_stands_alone(message: type[Message]) -> None:
    schema = of_message(message)
    Draft202012Validator.check_schema(schema)
    assert all(resolved(schema, reference) for reference in references(schema))
    assert schema["properties"]["type"]["const"] == tag_of(message)
    assert schema["description"]
    assert "additionalProperties" not in schema


@pytest.mark.parametrize("path", SAMPLES, ids=[f"{path.parent.name}/{path.stem}" for path in SAMPLES])
def test_every_archived_message_fits_its_schema(path: Path) -> None:
    CHECKS[BY_TAG[path.stem.partition(".")[0]]].validate(json.loads(path.read_text()))


@given(
    observations(), st.dictionaries(st.sampled_from(("gold", "won", "mood")), st.integers() | st.booleans() | st.text())
)
def test_what_is_written_fits_the_schemas(observation: Observation, facts: dict[str, Fact]) -> None:
    action = action_of(observation, scripted.choose(observation), FALLBACK, why="no engine")
    outcome = OutcomeObserved(
        decision=observation.id,
        game=observation.game,
        npc=observation.npc,
        kind=observation.kind,
        executed=Executed(action=action.action, arguments=action.arguments),
        success=True,
        facts=facts,
        observation=observation,
    )
    for message in (observation, action, outcome):
        assert accepts(type(message), json.loads(encode(message)))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
def test_what_is_read_fits_the_schemas_whatever_was_changed_in_it(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(SAMPLES))
    message, said = BY_TAG[path.stem.partition(".")[0]], json.loads(path.read_text())
    place, key = data.draw(st.sampled_from(list(places(said))))
    if data.draw(st.booleans()):
        place[key] = data.draw(_JSON)
    else:
        del place[key]
    assert accepts(message, said) or not is_read(message, said)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a JSON value, as what it is in and its key or number there."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in pairs:
        yield value, key
        yield from places(part)


GUIDE = ROOT / "docs/how-to/connect-your-game.md"
SHOWN = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", GUIDE.read_text(), re.DOTALL)]


@pytest.mark.parametrize("said", SHOWN, ids=lambda said: str(said["type"]))
def test_what_the_guide_shows_fits_the_schemas(said: dict[str, Any]) -> None:
    CHECKS[BY_TAG[said["type"]]].validate(said)
    assert is_read(BY_TAG[said["type"]], said)


SEEN = json.loads(encode(an_observation()))
DONE = json.loads((ROOT / "tests/samples/past/outcome_observed.1.json").read_text())
CHOSEN = json.loads((ROOT / "tests/samples/past/action_chosen.1.json").read_text())


def without(said: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in said.items() if key != name}


def may(parameter: object) -> dict[str, Any]:
    return {**SEEN, "legal_actions": [{"name": "wait", "parameters": {"n": parameter}}]}


MISTAKES: list[tuple[str, type[Message], object]] = [
    ("a list", Observation, []),
    ("another message", Observation, {**SEEN, "type": "event"}),
    ("another version", Observation, {**SEEN, "v": 2}),
    ("a dot in an id", Observation, {**SEEN, "npc": "a.b"}),
    ("an id too long", Observation, {**SEEN, "game": "x" * 65}),
    ("an empty id", Observation, {**SEEN, "id": ""}),
    ("a number as an id", Observation, {**SEEN, "id": 7}),
    ("no legal actions", Observation, {**SEEN, "legal_actions": []}),
    ("legal actions missing", Observation, without(SEEN, "legal_actions")),
    ("a deadline missing", Observation, without(SEEN, "answer_within_ms")),
    ("no time", Observation, {**SEEN, "answer_within_ms": 0}),
    ("too much time", Observation, {**SEEN, "answer_within_ms": 300_001}),
    ("seconds", Observation, {**SEEN, "answer_within_ms": 0.5}),
    ("priority 11", Observation, {**SEEN, "priority": 11}),
    ("a snapshot before the first", Observation, {**SEEN, "snapshot": -1}),
    ("null for a number", Observation, {**SEEN, "game_time": None}),
    ("an empty enumeration", Observation, may({"type": "string", "enum": []})),
    ("numbers as words", Observation, may({"type": "string", "enum": [1, 2]})),
    ("no bounds", Observation, may({"type": "integer"})),
    ("half a bound", Observation, may({"type": "integer", "minimum": 0.5, "maximum": 2})),
    ("an unknown parameter", Observation, may({"type": "boolean"})),
    ("a parameter without a type", Observation, may({"enum": ["a"]})),
    ("a player without a name", Observation, {**SEEN, "texts": [{"speaker": "", "text": "hello"}]}),
    ("an outcome without a type", OutcomeObserved, without(DONE, "type")),
    ("success missing", OutcomeObserved, without(DONE, "success")),
    ("success as a word", OutcomeObserved, {**DONE, "success": "yes"}),
    ("null as a fact", OutcomeObserved, {**DONE, "facts": {"gold": None}}),
    ("a list as a fact", OutcomeObserved, {**DONE, "facts": {"gold": [1]}}),
    ("a fact with blanks in its name", OutcomeObserved, {**DONE, "facts": {"own losses": 1}}),
    ("nothing executed", OutcomeObserved, {**DONE, "executed": {}}),
    ("an observation without a type", OutcomeObserved, {**DONE, "observation": without(SEEN, "type")}),
    ("no source", ActionChosen, without(CHOSEN, "source")),
    ("a list as an argument", ActionChosen, {**CHOSEN, "arguments": {"to": []}}),
]


@pytest.mark.parametrize(("message", "said"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_a_mistake_is_refused_by_the_schema_and_by_the_decoder(message: type[Message], said: object) -> None:
    assert not accepts(message, said)
    assert not is_read(message, said)


WAIT = {"name": "wait"}
BEYOND = [
    ("same name", {**SEEN, "legal_actions": [WAIT, WAIT]}),
    ("not above the maximum", may({"type": "integer", "minimum": 2, "maximum": 1})),
    ("not above the maximum", may({"type": "number", "minimum": 2, "maximum": 1})),
    ("without a decimal point", may({"type": "integer", "minimum": 1.0, "maximum": 2})),
    ("128 KiB", {**SEEN, "state": "x" * OBSERVATION_BYTES_MAX}),
]


@pytest.mark.parametrize(("words", "said"), BEYOND)
def test_what_a_schema_cannot_say_it_says_in_words(words: str, said: object) -> None:
    assert accepts(Observation, said)
    assert not is_read(Observation, said)
    assert words in PAGES["docs/reference/schemas/observation.json"]


# ---- the AsyncAPI document -----------------------------------------------------------------------------------------------

ALLOWED = {
    "": "asyncapi id info servers defaultContentType channels operations components",
    "info": "title version description termsOfService contact license tags externalDocs",
    "servers": "host protocol protocolVersion pathname description title summary variables security tags externalDocs bindings",
    "channels": "address messages title summary description servers parameters tags externalDocs bindings",
    "operations": "action channel title summary description security tags externalDocs bindings traits messages reply",
    "messages": "headers payload correlationId contentType name title summary description tags externalDocs bindings examples "
    "traits",
    "parameters": "enum default description examples location",
    "components": "schemas servers channels operations messages securitySchemes serverVariables parameters correlationIds "
    "replies replyAddresses externalDocs tags operationTraits messageTraits serverBindings channelBindings operationBindings "
    "messageBindings",
}
"""The fields that AsyncAPI 3.0 knows; others begin with `x-`."""
COMPONENTS = DOCUMENT["components"]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def resolved(root: Any, reference: str) -> Any:
    assert reference.startswith("#/")
    for part in reference[2:].split("/"):
        root = root[part]
    return root


@pytest.mark.parametrize("part", ALLOWED)
def test_no_field_that_the_standard_does_not_know(part: str) -> None:
    found = {"": [DOCUMENT], "info": [DOCUMENT["info"]], "components": [COMPONENTS]}.get(part)
    for each in found or {**DOCUMENT, **COMPONENTS}[part].values():
        assert {key for key in each if not key.startswith("x-")} <= set(ALLOWED[part].split())


def test_every_reference_leads_somewhere() -> None:
    assert all(resolved(DOCUMENT, reference) for reference in references(DOCUMENT))
    names = [name for group in COMPONENTS.values() for name in group]
    assert all(re.fullmatch(r"[a-zA-Z0-9.\-_]+", name) for name in names)


def test_every_hop_is_a_channel_with_its_parameters() -> None:
    channels = DOCUMENT["channels"].values()
    assert len(channels) == len(flow.HOPS)
    for hop, channel in zip(flow.HOPS, channels, strict=True):
        in_address = re.findall(r"\{(\w+)\}", channel["address"])
        assert list(channel.get("parameters", {})) == in_address
        assert channel["address"].format(**{name: f"<{name}>" for name in in_address}) == hop.subject


def test_an_operation_has_a_channel_and_messages_of_it() -> None:
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in {"send", "receive"}
        channel = resolved(DOCUMENT, operation["channel"]["$ref"])
        of_channel = [{"$ref": f"{operation['channel']['$ref']}/messages/{name}"} for name in channel["messages"]]
        assert operation["messages"] == of_channel


def test_a_game_is_told_what_the_broker_allows_it() -> None:
    may: dict[str, set[str]] = {"send": set(), "receive": set()}
    for operation in DOCUMENT["operations"].values():
        if {"name": GAME} in operation["tags"]:
            address = resolved(DOCUMENT, operation["channel"]["$ref"])["address"]
            may[operation["action"]].add(re.sub(r"\{\w+\}", "*", address.replace("{game}", "castle")))
    allowed = flow.game_permissions("castle")
    assert may["send"] == set(allowed.publish)
    assert may["receive"] == {subject for subject in allowed.subscribe if not subject.startswith("_INBOX")}


@pytest.mark.parametrize("name", [message.__name__ for message in MESSAGES])
def test_the_examples_fit_the_payload(name: str) -> None:
    message = COMPONENTS["messages"][name]
    check = Draft202012Validator({"$ref": message["payload"]["$ref"], "components": COMPONENTS})
    assert message["examples"]
    for example in message["examples"]:
        check.validate(example["payload"])
    Draft202012Validator.check_schema(message.get("headers", {}))


def test_the_page_has_what_the_document_has() -> None:
    page = PAGES["docs/reference/asyncapi.md"]
    assert all(f"`{channel['address']}`" in page for channel in DOCUMENT["channels"].values())
    assert all(f"### {message.__name__}\n" in page for message in SEEN_BY_GAMES)
