"""Reads a model's words as an answer to one observation: strictly first, then repaired towards what is legal.

The law: what `read` returns is legal in answer to this observation, whatever the words are; otherwise it raises `Unreadable`, and
nothing else. Time and memory are bounded by `TEXT_MAX`. A repair changes how something is said and never what: a number is
neither moved into its bounds nor made up, and an argument that is missing is the game's own default or missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import msgspec

from hearthmind import legal
from hearthmind.contracts.inference import Answer, Step
from hearthmind.contracts.observation import Choice, LegalAction, Observation, Parameter, Whole
from hearthmind.contracts.wire import Fact
from hearthmind.errors import Refused
from services.decision.lenient import Cut, Said, Value, number, objects, straight

TEXT_MAX = 32 * 1024
"""Characters; the longest legal answer is a quarter of that."""
LINE_MAX = 2_000
STEPS_MAX = 8
WRAPPED_MAX = 3
"""Levels of `{"answer": {...}}` around an answer."""
CALL_MAX = 300
"""The longest text that may be a call such as `build(what=mill)`, and the longest payload of a mark."""

_MARK = re.compile(r"\[\[\s{0,8}+ACTION\s{0,8}+:([^\[\]]{1,300}+)\]\]", re.IGNORECASE)
_LEFT = re.compile(r"\[\[\s{0,8}+ACTION[^\[\]]{0,300}+\]{0,2}+", re.IGNORECASE)
"""A mark, or what is left of one."""
_CALL = re.compile(r"\s*+([^:(=,{}\"]{1,80})(?:[:(](.*))?\Z", re.DOTALL)
_APART = re.compile(r"[\s\-.]++")
_SURROGATES = re.compile("[\ud800-\udfff]")

_ACTION = ("action", "name", "tool", "function", "tool_name")
_ARGUMENTS = ("arguments", "args", "parameters", "params", "input")
_OF_ANSWER = frozenset((*_ACTION, *_ARGUMENTS, "speech", "reasoning", "confidence", "steps"))


class Unreadable(Refused):
    """{why}"""


def read(text: str, observation: Observation) -> Answer:
    """The legal answer that these words say; raises `Unreadable` with the reason where they say none."""
    if len(text) > TEXT_MAX:
        raise Unreadable(why=f"it is longer than {TEXT_MAX} characters")
    answer, why = _strict(text, observation)
    if answer is None:
        answer = _repaired(_SURROGATES.sub("\ufffd", text), observation, why)
    return _without_marks(answer, observation)


def _strict(text: str, observation: Observation) -> tuple[Answer | None, str]:
    """What obeys the schema; or why not. A key that is said twice is left to the repair: there the first counts."""
    try:
        answer = _answers.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        return None, str(error)[:200]
    if wrong := legal.problem(observation, answer.action, answer.arguments):
        return None, f"it is not legal: {wrong[:200]}"
    said_twice = text.count('"action"') > 1 + len(answer.steps)
    return (None, "it says its action twice") if said_twice else (answer, "")


_answers = msgspec.json.Decoder(Answer)


def _repaired(text: str, observation: Observation, why: str) -> Answer:
    """The first object in the text that is a legal answer, or a call or mark that is one."""
    text = text.rpartition("</think>")[2]
    whys = []
    for said, is_cut in [*objects(text), *(objects(straight(text)) if "\u201c" in text else ())]:
        try:
            return _of_object(said, observation, is_cut=is_cut)
        except Unreadable as error:
            whys.append(str(error))
    if whys:
        raise Unreadable(why=whys[0])
    if len(text) <= CALL_MAX and (called := _called(text.strip().strip("`\"'"), observation)):
        return called
    marked = [called for payload in _payloads(text, observation) if (called := _called(payload, observation))]
    if not marked:
        raise Unreadable(why=why)
    first, *others = marked
    speech = " ".join([*_LEFT.sub(" ", text).split(), *first.speech.split()])[:LINE_MAX]
    steps = tuple(Step(action=each.action, arguments=each.arguments) for each in others)
    return msgspec.structs.replace(first, speech=speech, steps=steps[:STEPS_MAX])


# ---- objects ----------------------------------------------------------------------------------------------------------


def _of_object(said: Said, observation: Observation, *, is_cut: bool) -> Answer:
    said, action, called = _action_in(said, observation)
    given = {**_named(called, action), **_arguments_in(said, action)}
    arguments = _fitting(action, given, is_cut=is_cut)
    if wrong := legal.problem(observation, action.name, arguments):
        raise Unreadable(why=f"it is not legal: {wrong[:200]}")
    return Answer(
        action=action.name,
        arguments=arguments,
        steps=tuple(_steps_in(said.get("steps")))[:STEPS_MAX],
        speech=_words(said.get("speech")),
        reasoning=_words(said.get("reasoning")),
        confidence=_confidence(said.get("confidence")),
    )


def _action_in(said: Said, observation: Observation) -> tuple[Said, LegalAction, str]:
    """Where the answer is in what was said, its action, and what stands behind its name as in `build(what=mill)`."""
    for _ in range(WRAPPED_MAX):
        word = next((said[key] for key in _ACTION if key in said), None)
        if isinstance(word, str):
            if action := _find(observation, word):
                return said, action, ""
            if (call := _CALL.match(word[:CALL_MAX])) and (action := _find(observation, call[1])):
                return said, action, call[2] or ""
            raise Unreadable(why=f"it is not legal: {word[:64]!r} is not among the legal actions")
        inner = [(key, value) for key, value in said.items() if isinstance(value, dict)]
        if len(inner) != 1:
            break
        key, value = inner[0]
        if action := _find(observation, key):  # {"build": {"what": "mill"}}
            return {**said, "arguments": value}, action, ""
        said = value
    raise Unreadable(why="it names no action")


def _arguments_in(said: Said, action: LegalAction) -> Said:
    """The arguments where they belong, and those at the top."""
    given: Said = {}
    inner = next((said[key] for key in _ARGUMENTS if key in said), None)
    if isinstance(inner, str):  # JSON in JSON, as tool calls have it
        inner = next((each for each, is_cut in objects(inner) if not is_cut), None)
    if isinstance(inner, dict):
        given |= inner
    for name in action.parameters:
        if (key := name.casefold()) not in _OF_ANSWER and key in said:
            given.setdefault(key, said[key])
    return given


def _fitting(action: LegalAction, given: Said, *, is_cut: bool) -> dict[str, Fact]:
    """What was given, in the parameters' own names and types. What does not fit stays as it is, to be named as illegal."""
    keys = {_plain(key): value for key, value in reversed(given.items())}
    arguments: dict[str, Fact] = {}
    for name, parameter in action.parameters.items():
        value = keys.pop(_plain(name), None)
        if value is not None and not isinstance(value, Cut):
            arguments[name] = _fit(parameter, value)
    is_whole = not is_cut and not any(value is not None for value in keys.values())
    for name, parameter in action.parameters.items():
        if name not in arguments and (default := _only_or_default(parameter, is_whole=is_whole)) is not None:
            arguments[name] = default
    return arguments


def _only_or_default(parameter: Parameter, *, is_whole: bool) -> Fact | None:
    """The one value that a parameter can have, or what the game takes where a mind that finished said nothing about it."""
    if isinstance(parameter, Choice):
        if len(parameter.enum) == 1:
            return parameter.enum[0]
    elif parameter.minimum == parameter.maximum:
        return parameter.minimum
    return parameter.default if is_whole else None


def _fit(parameter: Parameter, value: Value) -> Fact:
    if isinstance(parameter, Choice):
        return _choice(parameter, value)
    if isinstance(value, str):
        counted = number(value)
        value = value if counted is None else counted
    if isinstance(value, float) and math.isfinite(value) and value.is_integer() and isinstance(parameter, Whole):
        return int(value)
    return value if isinstance(value, bool | int | float | str) else str(value)[:64]


def _choice(parameter: Choice, value: Value) -> str:
    word = value if isinstance(value, str) else str(value)[:200]
    if word in parameter.enum:
        return word
    alike = [each for each in parameter.enum if _plain(each) == _plain(word)]
    return alike[0] if len(alike) == 1 else word


def _find(observation: Observation, word: str) -> LegalAction | None:
    """The legal action of that name, in whatever way it is written, where just one is."""
    word = word.strip()
    if found := legal.find(observation, word):
        return found
    alike = [each for each in observation.legal_actions if _plain(each.name) == _plain(word)] if len(word) <= 80 else []
    return alike[0] if len(alike) == 1 else None


def _plain(word: str) -> str:
    return _APART.sub("_", word.strip().casefold()).strip("_()")


def _words(value: Value) -> str:
    text = value.text if isinstance(value, Cut) else value
    return _SURROGATES.sub("\ufffd", text)[:LINE_MAX] if isinstance(text, str) else ""


def _confidence(value: Value) -> float | None:
    counted = number(value) if isinstance(value, str) else value
    if isinstance(counted, bool) or not isinstance(counted, int | float) or not 0 <= counted <= 1:
        return None
    return float(counted)


def _steps_in(value: Value) -> Iterator[Step]:
    for each in value if isinstance(value, list) else ():
        said = {"action": each} if isinstance(each, str) else each
        if isinstance(said, dict):
            facts = said.get("arguments") or {}
            try:
                yield msgspec.convert({"action": said.get("action"), "arguments": facts}, Step)
            except (msgspec.ValidationError, TypeError):
                return  # what comes after a step that can't be read is no plan any more


# ---- calls and marks --------------------------------------------------------------------------------------------------


def _called(text: str, observation: Observation) -> Answer | None:
    """`wait`, `talk: Hello!`, `build(what=mill, levels=2)`, `build: mill, 2` as a legal answer, where it is one."""
    if action := _find(observation, text):
        rest = ""
    elif (call := _CALL.match(text)) and (action := _find(observation, call[1])):
        rest = (call[2] or "").strip().removesuffix(")").strip()
    else:
        return None
    speech = "" if action.parameters else rest.strip("\"' ")
    arguments = _fitting(action, _named(rest, action), is_cut=False)
    if legal.problem(observation, action.name, arguments):
        return None
    return Answer(action=action.name, arguments=arguments, speech=speech[:LINE_MAX])


def _named(rest: str, action: LegalAction) -> Said:
    """The parts of `what=mill, levels=2` by name; without names, in the order in which the game lists its parameters."""
    rest = rest.strip().removesuffix(")")
    parts = [part.strip() for part in rest.split(",")] if rest and action.parameters else []
    given: Said = {}
    for part, name in zip(parts, action.parameters, strict=False):
        key, mark, value = part.partition("=" if "=" in part else ":")
        given[key.strip() if mark else name] = (value if mark else part).strip().strip("\"'")
    return given


def _payloads(text: str, observation: Observation) -> list[str]:
    """What stands in marks, but for those that a player wrote: whoever repeats them wants nothing by it."""
    echoed = {_plain(mark) for heard in observation.texts for mark in _MARK.findall(heard.text)}
    return [mark for mark in _MARK.findall(text)[: STEPS_MAX + 1] if _plain(mark) not in echoed]


def _without_marks(answer: Answer, observation: Observation) -> Answer:
    """Marks leave the speech; those that are legal are what is to follow."""
    if "[[" not in answer.speech:
        return answer
    steps = list(answer.steps)
    for payload in _payloads(answer.speech, observation):
        called = _called(payload, observation)
        if called and (called.action, called.arguments) != (answer.action, answer.arguments):
            steps.append(Step(action=called.action, arguments=called.arguments))
    speech = " ".join(_LEFT.sub(" ", answer.speech).split())
    return msgspec.structs.replace(answer, speech=speech, steps=tuple(steps[:STEPS_MAX]))
