"""What Postgres can store of what JSON can say.

Postgres has no word for NUL in a text. It can come from a player's keyboard, so it must not cost a game its outcome: it is
replaced by U+FFFD, as everywhere where a character can't be shown. A game's JSON is patched as text and never decoded
here. Everything else that Postgres refuses (a number of 200,000 digits) is the game's own doing and ends as a dead letter;
half a surrogate pair does not come this far, since the decoder of messages refuses it.
"""

from __future__ import annotations

import re

import msgspec

from hearthmind.errors import Malformed

_ESCAPE = re.compile(r"\\(?:u0000|.)")
"""Every escape, so that the `u0000` after an escaped backslash is not taken for one."""


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


def _replace(escape: re.Match[str]) -> str:
    return "\\ufffd" if escape[0] == "\\u0000" else escape[0]
