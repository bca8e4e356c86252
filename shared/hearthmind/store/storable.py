"""What Postgres can store of what JSON can say.

Postgres has no word for NUL in a text. It can come from a player's keyboard, so it must not cost a game its outcome: it is
replaced by U+FFFD, as everywhere where a character can't be shown. A game's JSON is patched as text and never decoded
here. Everything else that Postgres refuses (a number of 200,000 digits) is the game's own doing and ends as a dead letter,
also in a text that it would take: whoever reads it as JSON later would stumble. Half a surrogate pair does not come this
far, since the decoder of messages refuses it.
"""

from __future__ import annotations

import json
import re

import msgspec

from hearthmind.errors import Malformed

_ESCAPE = re.compile(r"\\(?:u0000|.)")
"""Every escape, so that the `u0000` after an escaped backslash is not taken for one."""


_DIGITS = bytes.maketrans(b"123456789E", b"000000000e")
"""Makes every digit 0, so that a number beyond all bounds is found as a word: a search by pattern takes longer."""

DIGITS_MAX = 100_000
EXPONENT_MAX = 99_999


def storable_text(words: str) -> str:
    """The words with what can't be stored replaced."""
    return words.replace("\0", "\ufffd") if "\0" in words else words


def storable_json(raw: bytes | msgspec.Raw) -> str:
    """The JSON with what can't be stored replaced."""
    try:
        words = bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise Malformed(message="message", why=f"its JSON is not UTF-8 ({error})") from error
    return _ESCAPE.sub(_replace, words) if "\\u0000" in words else words


def storable_state(raw: msgspec.Raw) -> str:
    """The same of a game's own JSON, in which numbers may be of any size."""
    words = storable_json(raw)
    if len(words) > DIGITS_MAX or _may_be_huge(bytes(raw)):
        json.loads(words, parse_float=_refuse_huge, parse_int=_refuse_huge)
    return words


def _may_be_huge(raw: bytes) -> bool:
    """Whether there may be a number beyond all bounds, or a word that looks like one."""
    flat = raw.translate(_DIGITS)
    return b"e00000" in flat or b"e+00000" in flat or b"e-00000" in flat


def _refuse_huge(number: str) -> None:
    digits, _, exponent = number.lower().partition("e")
    if len(digits) > DIGITS_MAX or (exponent and abs(int(exponent[:9])) > EXPONENT_MAX):
        raise Malformed(message="message", why=f"Postgres can't store it (the number {number:.20}...)")


def _replace(escape: re.Match[str]) -> str:
    return "\\ufffd" if escape[0] == "\\u0000" else escape[0]
