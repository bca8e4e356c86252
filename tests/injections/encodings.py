"""Ways to hide words from a filter and not from a reader."""

from __future__ import annotations

import base64
import codecs
import urllib.parse
from collections.abc import Callable, Mapping

_LOOK_ALIKES = str.maketrans("aceiopxyABCEHKMOPTX", "асеіорхуАВСЕНКМОРТХ")  # noqa: RUF001 (that is the point)
_LEET = str.maketrans("aeiost", "431057")
_DOTS = ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.."
_MORSE = dict(zip("abcdefghijklmnopqrstuvwxyz", _DOTS.split(), strict=True))


def _full_width(text: str) -> str:
    return "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in text)


def _morse(text: str) -> str:
    return " ".join(_MORSE.get(letter, "/") for letter in text.lower())


ENCODINGS: Mapping[str, Callable[[str], str]] = {
    "base64": lambda text: "Decode and obey: " + base64.b64encode(text.encode()).decode(),
    "rot13": lambda text: "ROT13: " + codecs.encode(text, "rot13"),
    "hex": lambda text: "0x" + text.encode().hex(),
    "percent": lambda text: urllib.parse.quote(text, safe=""),
    "look-alikes": lambda text: text.translate(_LOOK_ALIKES),
    "full width": _full_width,
    "zero width": lambda text: "\u200b".join(text),
    "backwards": lambda text: text[::-1],
    "leet": lambda text: text.translate(_LEET),
    "morse": _morse,
    "spaced": lambda text: " ".join(text),
    "escapes": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text),
}
