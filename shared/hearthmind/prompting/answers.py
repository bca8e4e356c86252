"""The form of an answer: the JSON schema that decoding is held to, made of what is legal now, and an answer written so.

Each key stands where `Answer` has it, none may be left out and none added, so that there is one way to write an answer and an
engine never chooses between forms. What obeys the schema is legal, but for a whole number written as 2.0.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hearthmind.contracts.inference import Answer, Step
from hearthmind.contracts.observation import Choice, LegalAction, Observation, Parameter, Whole

SPEAKING = ("chat", "diplomacy")
"""Kinds in which the character says something; elsewhere it does when somebody spoke to it."""
PLANNING = ("economic", "tactical")
"""Kinds in which the answer says what is to follow; it is done without another question while the world stays as expected."""
STEPS_MAX = 3
"""Further actions: the world seldom stays as expected for longer."""
REASONING_MAX = 400
"""Characters: one or two sentences."""
SPEECH_MAX = 1_200
"""Characters: about 200 words."""

_Schema = dict[str, Any]
_JSON = msgspec.json.Encoder()


def answer_schema(observation: Observation) -> str:
    """The JSON schema of an answer to this observation, without white space."""
    choices = _choices(observation)
    rest: _Schema = {}
    if is_planning(observation):
        steps = [_object(choice) for choice in choices]
        rest["steps"] = {"type": "array", "items": _any_of(steps), "maxItems": STEPS_MAX}
    if is_speaking(observation):
        rest["speech"] = {"type": "string", "maxLength": SPEECH_MAX}
    rest["reasoning"] = {"type": "string", "maxLength": REASONING_MAX}
    rest["confidence"] = {"type": "number", "minimum": 0, "maximum": 1}
    return _JSON.encode(_any_of([_object(choice | rest) for choice in choices])).decode()


def answer_text(observation: Observation, answer: Answer) -> str:
    """A legal answer in that form."""
    written: _Schema = {"action": answer.action}
    if answer.arguments:
        written["arguments"] = answer.arguments
    if is_planning(observation):
        written["steps"] = [_step(step) for step in answer.steps[:STEPS_MAX]]
    if is_speaking(observation):
        written["speech"] = answer.speech[:SPEECH_MAX]
    written["reasoning"] = answer.reasoning[:REASONING_MAX]
    written["confidence"] = 0.5 if answer.confidence is None else answer.confidence
    return _JSON.encode(written).decode()


def is_speaking(observation: Observation) -> bool:
    """Whether the answer has words for others to hear."""
    return observation.kind in SPEAKING or bool(observation.texts)


def is_planning(observation: Observation) -> bool:
    """Whether the answer has steps that are to follow."""
    return observation.kind in PLANNING


def _choices(observation: Observation) -> list[_Schema]:
    """What may be done: the actions without parameters together, each of the others for itself."""
    bare = [legal.name for legal in observation.legal_actions if not legal.parameters]
    choices: list[_Schema] = [{"action": {"type": "string", "enum": bare}}] if bare else []
    choices += [
        {"action": {"type": "string", "enum": [legal.name]}, "arguments": _arguments(legal)}
        for legal in observation.legal_actions
        if legal.parameters
    ]
    return choices


def _any_of(forms: list[_Schema]) -> _Schema:
    return forms[0] if len(forms) == 1 else {"anyOf": forms}


def _step(step: Step) -> _Schema:
    return {"action": step.action, "arguments": step.arguments} if step.arguments else {"action": step.action}


def _arguments(legal: LegalAction) -> _Schema:
    return _object({name: _bounds(parameter) for name, parameter in legal.parameters.items()})


def _object(properties: _Schema) -> _Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _bounds(parameter: Parameter) -> _Schema:
    if isinstance(parameter, Choice):
        return {"type": "string", "enum": list(parameter.enum)}
    sort = "integer" if isinstance(parameter, Whole) else "number"
    return {"type": sort, "minimum": parameter.minimum, "maximum": parameter.maximum}
