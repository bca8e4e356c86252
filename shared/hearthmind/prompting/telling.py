"""A game's facts as short text: what models read of a state, of legal actions and of what players said.

A name or word that could be taken for anything but data (for the end of a line, a mark of a chat template, an instruction) is
put in quotes and escaped, so that a state can't speak for the house.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from jinja2 import Undefined

from hearthmind.contracts.observation import Choice, Heard, LegalAction, Parameter
from hearthmind.persona import Behaviour, Persona


class Told(str):
    """Text that may stand in a prompt as it is: what in it is a game's or a player's has been made safe."""

    __slots__ = ()


DEEPEST = 6
"""Levels of a state that are told; what lies deeper is only counted."""
LONG_CHOICE = 30
"""Characters of a parameter's range from which on it is told once."""
SHOWN_CHARS_MAX = 2_000
"""Of a state or a list that a template prints as it is."""
_WORD = re.compile(r"[\w.:' +-]{1,64}\Z")
_MARKS = {
    ord("<"): "\\u003c",
    ord("["): "\\u005b",
    ord("\x7f"): "\\u007f",
    0x85: "\\u0085",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
    **{unseen: f"\\u{unseen:04x}" for unseen in (0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0xFEFF)},
    **{unseen: f"\\u{unseen:04x}" for unseen in range(0x2060, 0x2070)},
    **dict.fromkeys(range(0xE0000, 0xE0080), ""),
}
"""What chat templates begin their marks with, ends of lines that JSON leaves as they are, and letters that nobody sees."""


def plain(value: Any) -> str:
    """A single fact: a word as it is, anything else that is text in quotes."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return value if _WORD.match(value) else quoted(value)
    if value is None:
        return "none"
    return str(value) if isinstance(value, int) else quoted(str(value))


def shown(value: Any) -> Any:
    """Whatever a template prints: as it is where it was told, otherwise as data."""
    if isinstance(value, Told | Undefined):
        return value
    if isinstance(value, str):
        return plain(value) if value else ""
    if isinstance(value, dict | list | tuple):
        return told(list(value) if isinstance(value, tuple) else value, SHOWN_CHARS_MAX)
    return plain(value) if value is None or isinstance(value, int | float) else quoted(str(value))


def word(value: Any) -> Told:
    """A single fact, for templates."""
    return Told(plain(value))


def quoted(text: str) -> str:
    """As a JSON string in which no mark of a chat template can stand."""
    return msgspec.json.encode(text).decode().translate(_MARKS)


def standing(state: Any, chars_max: int) -> Told:
    """How things stand: the plain facts and small records of a state, a line each; its lists are details and left out."""
    if not isinstance(state, dict):
        return told(state, chars_max)
    return _fitting((line for key, value in state.items() if (line := _fact(key, value))), chars_max)


def told(state: Any, chars_max: int) -> Told:
    """A whole state: a line for each plain fact, and a table for each list of like things."""
    return _fitting(_lines(state, 0), chars_max)


def menu(actions: Sequence[LegalAction], chars_max: int) -> Told:
    """The legal actions with their parameters and bounds, a line each; long choices that come again are said once."""
    said: dict[str, tuple[str, str]] = {}
    bare = [_offered(action, said) for action in actions]
    full = [
        line + (f": {_line(action.description)}" if action.description else "")
        for line, action in zip(bare, actions, strict=True)
    ]
    return _fitting(full if sum(map(len, full)) + len(full) <= chars_max else bare, chars_max)


def heard(texts: Sequence[Heard], chars_max: int) -> Told:
    """What players said, a line each, the newest as far as there is room."""
    kept: list[str] = []
    for text in reversed(texts):
        line = f"- {quoted(text.speaker)}: {quoted(text.text)}"
        chars_max -= len(line) + 1
        if chars_max < 0:
            kept.append(f"- (earlier words left out: {len(texts) - len(kept)})")
            break
        kept.append(line)
    return Told("\n".join(reversed(kept)))


# ---- the mind ----------------------------------------------------------------------------------------------------------


def character(persona: Persona, chars_max: int) -> Told:
    """Who somebody is, a line for each thing that is known; in the words of the house's own files, so not as data."""
    about = {
        "You are called": persona.called,
        "Traits": ", ".join(persona.traits),
        "Nature": nature(persona.behaviour),
        "Way of speaking": persona.voice,
        "Goals": "; ".join(persona.goals),
        "You know": "; ".join(persona.knowledge),
    }
    return _fitting([f"{what}: {_line(says)}" for what, says in about.items() if says], chars_max)


def nature(behaviour: Behaviour) -> str:
    """The genes in words; those near the middle say nothing."""
    words = []
    for gene, (low, high) in _NATURE.items():
        off = getattr(behaviour, gene) - 0.5
        if abs(off) >= _NOTABLE:
            words.append(("very " if abs(off) >= _STRONG else "") + (high if off > 0 else low))
    return ", ".join(words)


def remembered(lines: Sequence[str], chars_max: int) -> Told:
    """What somebody remembers, a line each, as data: others' words may be in it."""
    return _fitting([f"- {quoted(line)}" for line in lines], chars_max)


def noted(lines: Sequence[str], chars_max: int) -> Told:
    """What the house says, a line each."""
    return _fitting([_line(line) for line in lines], chars_max)


_NATURE = {
    "aggression": ("peaceful", "aggressive"),
    "economy": ("careless of goods", "thrifty"),
    "diplomacy": ("unsociable", "sociable"),
    "risk_tolerance": ("cautious", "bold"),
    "patience": ("impatient", "patient"),
    "adaptability": ("set in your ways", "quick to change"),
}
_NOTABLE, _STRONG = 0.1, 0.3

# ---- states and actions ------------------------------------------------------------------------------------------------


def _fact(key: str, value: Any) -> str:
    if isinstance(value, dict):
        return f"{_label(key)}: {_record(value)}" if _is_flat(value) else ""
    return "" if isinstance(value, list) else f"{_label(key)}: {plain(value)}"


def _lines(value: Any, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(inner, dict | list):
                yield f"{indent}{_label(key)}: {plain(inner)}"
            elif short := _short(inner):
                yield f"{indent}{_label(key)}: {short}"
            elif depth >= DEEPEST:
                yield f"{indent}{_label(key)}: ({len(inner)} more)"
            else:
                yield f"{indent}{_label(key)}{_heading(inner)}:"
                yield from _lines(inner, depth + 1)
    elif isinstance(value, list):
        yield from _rows(value, depth)
    else:
        yield f"{indent}{plain(value)}"


def _rows(values: list[Any], depth: int) -> Iterator[str]:
    indent, columns = "  " * depth, _columns(values)
    for value in values:
        if columns:
            yield indent + ", ".join(_cell(cell) for cell in value.values())
        elif not isinstance(value, dict | list):
            yield f"{indent}{plain(value)}"
        elif short := _short(value):
            yield f"{indent}{short}"
        elif depth >= DEEPEST:
            yield f"{indent}({len(value)} more)"
        else:
            yield f"{indent}-"
            yield from _lines(value, depth + 1)


def _heading(value: Any) -> str:
    columns = _columns(value)
    return f" ({', '.join(map(_label, columns))})" if columns else ""


def _columns(values: Any) -> tuple[str, ...]:
    """The keys that all these records have in the same order, where each cell is short."""
    if not isinstance(values, list) or not values or not isinstance(values[0], dict):
        return ()
    columns = tuple(values[0])
    alike = all(isinstance(value, dict) and tuple(value) == columns for value in values)
    return columns if alike and all(_is_cell(cell) for value in values for cell in value.values()) else ()


def _is_cell(value: Any) -> bool:
    return not isinstance(value, dict | list) or bool(_short(value))


def _cell(value: Any) -> str:
    return f"({_short(value)})" if isinstance(value, dict | list) else plain(value)


def _short(value: Any) -> str:
    """A record or list of plain facts in one line; empty where it holds more than that."""
    if isinstance(value, dict):
        return _record(value) if _is_flat(value) else ""
    return (", ".join(map(plain, value)) or "none") if not any(isinstance(one, dict | list) for one in value) else ""


def _record(record: dict[str, Any]) -> str:
    return ", ".join(f"{_label(key)} {plain(value)}" for key, value in record.items()) or "none"


def _is_flat(record: dict[str, Any]) -> bool:
    return not any(isinstance(value, dict | list) for value in record.values())


def _label(key: str) -> str:
    return plain(key.replace("_", " "))


def _offered(action: LegalAction, said: dict[str, tuple[str, str]]) -> str:
    """An action with the ranges of its parameters; a long one that an action before had under this name is not said again."""
    parts = []
    for name, value in action.parameters.items():
        span = _range(value)
        before, where = said.get(name, ("", ""))
        if span == before and len(span) > LONG_CHOICE:
            span = f"as in {where}"
        else:
            said[name] = (span, action.name)
        parts.append(f"{name}: {span}")
    return f"- {action.name}({', '.join(parts)})" if parts else f"- {action.name}"


def _range(parameter: Parameter) -> str:
    if isinstance(parameter, Choice):
        return " | ".join(map(plain, parameter.enum))
    return f"{plain(parameter.minimum)} to {plain(parameter.maximum)}"


def _line(text: str) -> str:
    """In one line, without a mark of a chat template."""
    return " ".join(text.split()).translate(_MARKS)


def _fitting(lines: Iterator[str] | Sequence[str], chars_max: int) -> Told:
    """As many whole lines as there is room for, and a word where some are missing."""
    kept: list[str] = []
    for line in lines:
        chars_max -= len(line) + 1
        if chars_max < 0:
            kept.append("(the rest is left out)")
            break
        kept.append(line)
    return Told("\n".join(kept))
