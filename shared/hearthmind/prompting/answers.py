"""The form of an answer: the JSON schema that decoding is held to, made of what is legal now, and an answer written so.

Each key stands where `Answer` has it, none may be left out and none added, so that there is one way to write an answer and an
engine never chooses between forms. What obeys the schema is legal, but for a whole number written as 2.0.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Choice, LegalAction, Observation, Parameter, Whole

SPEAKING = ("chat", "diplomacy")
"""Kinds in which the character says something; elsewhere it does when somebody spoke to it."""
REASONING_MAX = 400
"""Characters: one or two sentences."""
SPEECH_MAX = 1_200
"""Characters: about 200 words."""

_Schema = dict[str, Any]
_JSON = msgspec.json.Encoder()


def answer_schema(observation: Observation) -> str:
    """The JSON schema of an answer to this observation, without white space."""
    speaks = is_speaking(observation)
    bare = [legal.name for legal in observation.legal_actions if not legal.parameters]
    forms = [_form({"type": "string", "enum": bare}, None, speaks)] if bare else []
    forms += [
        _form({"type": "string", "enum": [legal.name]}, _arguments(legal), speaks)
        for legal in observation.legal_actions
        if legal.parameters
    ]
    return _JSON.encode(forms[0] if len(forms) == 1 else {"anyOf": forms}).decode()


def answer_text(observation: Observation, answer: Answer) -> str:
    """A legal answer in that form."""
    written: _Schema = {"action": answer.action}
    if answer.arguments:
        written["arguments"] = answer.arguments
    if is_speaking(observation):
        written["speech"] = answer.speech[:SPEECH_MAX]
    written["reasoning"] = answer.reasoning[:REASONING_MAX]
    written["confidence"] = 0.5 if answer.confidence is None else answer.confidence
    return _JSON.encode(written).decode()


def is_speaking(observation: Observation) -> bool:
    """Whether the answer has words for others to hear."""
    return observation.kind in SPEAKING or bool(observation.texts)


def _form(action: _Schema, arguments: _Schema | None, speaks: bool) -> _Schema:
    properties = {"action": action}
    if arguments:
        properties["arguments"] = arguments
    if speaks:
        properties["speech"] = {"type": "string", "maxLength": SPEECH_MAX}
    properties["reasoning"] = {"type": "string", "maxLength": REASONING_MAX}
    properties["confidence"] = {"type": "number", "minimum": 0, "maximum": 1}
    return _object(properties)


def _arguments(legal: LegalAction) -> _Schema:
    return _object({name: _bounds(parameter) for name, parameter in legal.parameters.items()})


def _object(properties: _Schema) -> _Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _bounds(parameter: Parameter) -> _Schema:
    if isinstance(parameter, Choice):
        return {"type": "string", "enum": list(parameter.enum)}
    sort = "integer" if isinstance(parameter, Whole) else "number"
    return {"type": sort, "minimum": parameter.minimum, "maximum": parameter.maximum}
