"""What was found, by name: how often, and the first example."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from services.command.conformance.mistakes import ERROR, MISTAKES, Level

EXAMPLE_SHOWN_MAX = 400


class Noted(NamedTuple):
    """Something is wrong: the name of the mistake, and what about it."""

    mistake: str
    says: str


class Finding(msgspec.Struct):
    """A mistake that was found; `says` and `example` are of the first time."""

    name: str
    level: Level
    count: int
    says: str
    example: str
    means: str
    do: str


class Findings:
    """Bounded by the number of mistakes there are."""

    def __init__(self) -> None:
        self._found: dict[str, Finding] = {}

    def add(self, noted: Noted, example: str = "", level: Level | None = None, times: int = 1) -> None:
        """Counts it; the first gives the example."""
        mistake = MISTAKES[noted.mistake]
        found = self._found.get(noted.mistake)
        if found is None:
            level = level or mistake.level
            shown = cut(example, EXAMPLE_SHOWN_MAX)
            found = Finding(
                mistake.name, level, 0, cut(noted.says, EXAMPLE_SHOWN_MAX), shown, mistake.means, mistake.do
            )
            self._found[mistake.name] = found
        found.count += times

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def __len__(self) -> int:
        return len(self._found)

    def all(self) -> list[Finding]:
        """Errors first, each level in the order of the table."""
        order = list(MISTAKES)
        return sorted(self._found.values(), key=lambda each: (each.level != ERROR, order.index(each.name)))


def cut(words: str, most: int) -> str:
    """The beginning of what is too long to be shown."""
    return words if len(words) <= most else f"{words[:most]} …"
