"""JSON as models write it when they do not write JSON: one pass over bounded text, and never an error.

It takes fences and words around it, single quotes, bare words, trailing commas, quotes inside of strings, comments, and text that
ends too early. Of a key that is said twice the first counts: a mind that repeats somebody's words later on does not change
what it said before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

DEPTH_MAX = 8
VALUES_MAX = 512
"""More values than the largest answer has; what comes after them is left out."""
KEY_MAX = 80
"""Characters; a longer name is none, and the text is not read to its end to find out."""
STRING_MAX = 8_192
"""Characters; four times as many as anything that is kept of an answer."""
STARTS_MAX = 8
"""How many opening braces are tried before the text counts as words only."""

Value: TypeAlias = "str | int | float | bool | Cut | list[Value] | dict[str, Value] | None"
Said: TypeAlias = dict[str, Value]

_BLANK = re.compile(r"(?:[\s,;]++|//[^\n]*+|/\*[^*]*+\*/)*+")
_PART = re.compile(r'[^"\'\\]++|\\u[0-9a-fA-F]{4}|\\.|["\'\\]', re.DOTALL)
_AFTER = re.compile(r"\s*+(?:[,:}\]]|\Z)")
_BARE = re.compile(r"[^\s,:{}\[\]\"']++(?:[ \t]++[^\s,:{}\[\]\"']++)*+")
_WHOLE = re.compile(r"[+-]?\d{1,18}")
_NUMBER = re.compile(r"[+-]?(?:\d{1,18}(?:\.\d{0,32})?|\.\d{1,32})(?:[eE][+-]?\d{1,2})?")
_CURLY = str.maketrans({"\u201c": '"', "\u201d": '"', "\u201e": '"', "\u2018": "'", "\u2019": "'"})
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": " ", "f": " "}
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "none": None}


@dataclass(frozen=True)
class Cut:
    """A text that ended before it was whole: words that may be said, and nothing to act on."""

    text: str


def objects(text: str) -> list[tuple[Said, bool]]:
    """The objects in a text, the first one first, each with whether it was cut off."""
    found: list[tuple[Said, bool]] = []
    at = text.find("{")
    for _ in range(STARTS_MAX):
        if at < 0:
            break
        reading = _Reading(text, at)
        said = reading.value(0)
        if isinstance(said, dict) and said:
            found.append((said, reading.is_cut))
            if reading.is_cut:
                break  # what begins inside of it is a part of it
        at = text.find("{", at + 1 if reading.is_cut else reading.at)
    return found


def straight(text: str) -> str:
    """The same with straight quotes, for keys and values in curly ones."""
    return text.translate(_CURLY)


def number(text: str) -> int | float | None:
    """The number that a text is, where it is one."""
    text = text.strip()
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else None


class _Reading:
    def __init__(self, text: str, at: int) -> None:
        self.at = at
        self.is_cut = False
        self._text = text
        self._values = 0

    def value(self, depth: int) -> Value:
        """The value that begins here."""
        self._values += 1
        here = self._next()
        if depth > DEPTH_MAX or self._values > VALUES_MAX:
            self.is_cut = True
        if self.is_cut or not here:
            self.is_cut = True
            return Cut("")
        if here == "{":
            return self._object(depth)
        if here == "[":
            return self._list(depth)
        return self._string(here) if here in "\"'" else self._bare()

    def _next(self) -> str:
        """The next character that is none of blank, comma or comment; empty at the end."""
        blank = _BLANK.match(self._text, self.at)
        self.at = blank.end() if blank else self.at
        return self._text[self.at : self.at + 1]

    def _object(self, depth: int) -> Value:
        found: Said = {}
        self.at += 1
        while not self.is_cut:
            here = self._next()
            if here in ("}", "]"):
                self.at += 1
                return found
            key = self._key(here)
            if key is None or self._next() != ":":
                self.is_cut = True  # no key and value: nothing after it can be trusted
                break
            self.at += 1
            value = self.value(depth + 1)
            found.setdefault(key.strip().casefold(), value)
        return found

    def _key(self, here: str) -> str | None:
        if here and here in "\"'":
            key = self._string(here, KEY_MAX)
            return key if isinstance(key, str) else None
        word = _BARE.match(self._text, self.at)
        if word is None:
            return None
        self.at = word.end()
        return word[0]

    def _list(self, depth: int) -> Value:
        found: list[Value] = []
        self.at += 1
        while not self.is_cut:
            here = self._next()
            if here in ("]", "}"):
                self.at += 1
                break
            if here == ":":
                self.is_cut = True
                break
            found.append(self.value(depth + 1))
        return found

    def _string(self, quote: str, length_max: int = STRING_MAX) -> str | Cut:
        """Up to the quote that something follows which may follow a string; others stand for themselves."""
        parts: list[str] = []
        self.at += 1
        end = self.at + length_max
        while self.at < end and (part := _PART.match(self._text, self.at)):
            self.at = part.end()
            said = part[0]
            if said == quote and _AFTER.match(self._text, self.at):
                return "".join(parts)
            parts.append(_unescaped(said) if said[0] == "\\" else said)
        self.is_cut = True
        return Cut("".join(parts))

    def _bare(self) -> Value:
        word = _BARE.match(self._text, self.at)
        if word is None:  # a colon where a value should be
            self.is_cut = True
            return Cut("")
        self.at = word.end()
        said = word[0]
        if self.at >= len(self._text):
            self.is_cut = True
            return Cut(said)
        if said.casefold() in _WORDS:
            return _WORDS[said.casefold()]
        counted = number(said)
        return said if counted is None else counted


def _unescaped(said: str) -> str:
    if len(said) == 6:
        return chr(int(said[2:], 16))
    return _ESCAPED.get(said[1:], said[1:])
