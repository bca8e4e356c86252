"""Reads what a game says as the services do at their edge, and names what is wrong with it. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from hearthmind.bus.wire import decode, decode_any, encode
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.observation import Choice, Event, Observation, Parameter
from hearthmind.contracts.outcome import OutcomeObserved
from hearthmind.contracts.wire import INTEGER_MAX, Message, Unknown
from hearthmind.errors import HearthmindError, Malformed, TooLarge, UnknownVersion
from services.command.conformance.findings import Noted

DEADLINE_SENSIBLE_MIN_MS = 50
"""An answer by rules takes a few milliseconds, one by a model tens; the rest is the way there and back."""

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Said:
    """A message of the game as it came; no message id is an empty one."""

    subject: str
    data: bytes
    message_id: str = ""

    @property
    def shown(self) -> str:
        """It as an example."""
        return f"{self.subject} {self.data.decode(errors='replace')}"


@dataclass(frozen=True, slots=True)
class Read(Generic[M]):
    """The message, where it can be read, and what is wrong with it."""

    message: M | None
    noted: tuple[Noted, ...]


def observation(said: Said) -> Read[Observation]:
    """Reads an observation or event, as the decision service does."""
    what = said.subject.split(".")[2]
    try:
        seen = decode(said.data, Event if what == "event" else Observation)
    except HearthmindError as error:
        return Read(None, (_why(said.data, error),))
    noted = [*_body(said.data, seen), *_legal_actions(seen)]
    if misplaced := _misplaced(said.subject, [seen.game, what, seen.npc, seen.kind]):
        noted.append(misplaced)
    if seen.answer_within_ms < DEADLINE_SENSIBLE_MIN_MS:
        noted.append(Noted("deadline-too-short", f"answer_within_ms is {seen.answer_within_ms}"))
    return Read(None if misplaced or _stops(noted) else seen, tuple(noted))


def outcome(said: Said) -> Read[OutcomeObserved]:
    """Reads an outcome, as the reward service does: from among all that its stream holds, so that it must say its type."""
    try:
        told = decode_any(said.data, ActionChosen, DecisionMade, OutcomeObserved)
    except HearthmindError as error:
        return Read(None, (_why(said.data, error),))
    if not isinstance(told, OutcomeObserved):
        what = told.said if isinstance(told, Unknown) else told.__struct_config__.tag
        return Read(None, (Noted("wrong-message", f"an outcome is expected, and its type is {what!r}"),))
    noted = list(_body(said.data, told))
    if misplaced := _misplaced(said.subject, [told.game, "outcome", told.npc]):
        noted.append(misplaced)
    if told.success and not told.facts:
        noted.append(Noted("no-facts", f"{told.executed.action} of {told.npc} succeeded"))
    return Read(None if misplaced or _stops(noted) else told, tuple(noted))


def id_in(data: bytes, field: str) -> str:
    """The id in a message that can't be read otherwise, where there is one."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    found = body.get(field) if isinstance(body, dict) else None
    return found if isinstance(found, str) else ""


def _stops(noted: list[Noted]) -> bool:
    """Whether the services could not go on with it, though our own decoder passed over it."""
    return any(each.mistake in {"invalid-json", "non-finite"} for each in noted)


def _misplaced(subject: str, said: list[str]) -> Noted | None:
    expected = ".".join(["game", *said])
    return None if subject == expected else Noted("misplaced", f"the subject is {subject}, the body is of {expected}")


# ---- why it can't be read ---------------------------------------------------------------------------------------------

_CAUSES = (
    (
        re.compile(
            r"its type is|Invalid value .* at `\$\.type`|missing required field `type`(?! - at `\$\.(?!observation`))"
        ),
        "wrong-message",
    ),
    (re.compile(r"missing required field"), "missing-field"),
    (re.compile(r"matching regex"), "bad-id"),
    (re.compile(r"length >= 1 - at `\$\.(observation\.)?legal_actions`"), "nothing-legal"),
    (re.compile(r"[<>]= \d+ - at `\$\.(observation\.)?answer_within_ms`"), "deadline-out-of-range"),
    (re.compile(r"two legal actions have the same name"), "same-action-twice"),
    (re.compile(r"is above maximum"), "bounds-upside-down"),
)
"""The decoder's words, and which mistake they mean; whatever else it says is a wrong type."""


def _why(data: bytes, error: HearthmindError) -> Noted:
    if isinstance(error, TooLarge):
        return Noted("too-large", str(error))
    if isinstance(error, UnknownVersion):
        return Noted("unknown-version", str(error))
    assert isinstance(error, Malformed)
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as cause:
        return Noted("invalid-json", str(cause))
    for noted in _numbers(body):
        return noted
    why = str(error.facts["why"])
    return next((Noted(name, why) for words, name in _CAUSES if words.search(why)), Noted("wrong-type", why))


# ---- what is wrong with what can be read ------------------------------------------------------------------------------


def _body(data: bytes, message: Message) -> Iterator[Noted]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as cause:  # in a part that our decoder passes through as it is
        yield Noted("invalid-json", str(cause))
        return
    yield from _numbers(body)
    for path in _unknown(body, json.loads(encode(message)), "$"):
        yield Noted("unknown-field", f"nobody reads {path}")


def _numbers(value: Any, path: str = "$") -> Iterator[Noted]:
    """Numbers that not every reader reads alike."""
    if isinstance(value, float):
        if not math.isfinite(value):
            yield Noted("non-finite", f"{path} is {value}")
    elif isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            yield Noted("number-too-large", f"{path} is {value}")
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _numbers(part, f"{path}.{key}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _numbers(part, f"{path}[{index}]")


def _unknown(said: Any, understood: Any, path: str) -> Iterator[str]:
    """What was said and is not there any more once it was understood."""
    if isinstance(said, dict) and isinstance(understood, dict):
        for key, part in said.items():
            if key in understood:
                yield from _unknown(part, understood[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(said, list) and isinstance(understood, list):
        for index, (part, its) in enumerate(zip(said, understood, strict=False)):
            yield from _unknown(part, its, f"{path}[{index}]")


def _legal_actions(seen: Observation) -> Iterator[Noted]:
    for legal in seen.legal_actions:
        for name, parameter in legal.parameters.items():
            if not _is_legal_default(parameter):
                yield Noted("default-not-legal", f"{legal.name}.{name}: {parameter.default!r} is not possible")


def _is_legal_default(parameter: Parameter) -> bool:
    if parameter.default is None:
        return True
    if isinstance(parameter, Choice):
        return parameter.default in parameter.enum
    return parameter.minimum <= parameter.default <= parameter.maximum
