"""Whether a `.env` is one that compose reads as it is meant: its form, names that somebody knows, values that fit, no secret."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from hearthmind.settings import BadSetting, load

LINE = re.compile(r"^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$")
SETTING = re.compile(r"HEARTHMIND_([A-Z_]+?)__([A-Z_]+)")
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|API_KEY")
FILE_MAX_BYTES = 1024 * 1024
Sections = Mapping[str, type[msgspec.Struct]]


def mistakes_in(file: Path, known: frozenset[str], sections: Sections) -> Iterator[tuple[int, str]]:
    """What is wrong with the file, by line; `known` are the names that compose.yaml uses."""
    try:
        text = file.read_bytes()[:FILE_MAX_BYTES].decode()
    except (OSError, UnicodeDecodeError) as error:
        yield 0, f"it can't be read: {error}"
        return
    seen: dict[str, int] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        found = LINE.match(line)
        if found is None:
            yield number, "this is no NAME=value: no blanks around `=`, and comments begin with `#`"
            continue
        name, value = found[1], found[2]
        if name in seen:
            yield number, f"{name} stands in line {seen[name]}, too; only the last one counts"
        seen[name] = number
        yield from ((number, what) for what in _wrong(name, value, known, sections))


def names_in(compose: Path) -> frozenset[str]:
    """The names that a compose.yaml takes from `.env`."""
    if not compose.is_file():
        return frozenset()
    return frozenset(re.findall(r"\$\{(\w+)", compose.read_text()))


def _wrong(name: str, value: str, known: frozenset[str], sections: Sections) -> Iterator[str]:
    quote = value[:1] if value[:1] in {"'", '"'} else ""
    if quote and (len(value) == 1 or not value.endswith(quote)):
        yield f"the value of {name} begins with a quote that does not end"
    elif not quote and " #" in value:
        yield f"the value of {name} has a comment behind it; give the comment a line of its own"
    if SECRET.search(name) and value and not name.endswith("_FILE"):
        yield f"{name} is a secret: those are files in secrets/, or variables of the shell that needs them"
    elif name.startswith("HEARTHMIND_") and known and name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        yield f"nobody reads {name}{f'; is it {near[0]}?' if near else ''}"
    elif (setting := SETTING.fullmatch(name)) and (section := setting[1].lower()) in sections and value:
        try:
            load(section, sections[section], {name: value.strip("'\"")})
        except BadSetting as error:
            yield str(error)
