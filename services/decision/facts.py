"""What a game's state says, by paths such as `inventory.gold`, `treaties.with` or `nearby?friendly.name`.

A path goes down by names; through a list it goes by itself, and `?flag` keeps the records in which `flag` is true. `{item}` in a
path is what the answer says for that argument. What a state does not say is unknown, and no rule is broken by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from hearthmind.contracts.wire import Fact

FOUND_MAX = 4_096
_NAMED = re.compile(r"\{([A-Za-z0-9_-]{1,64})\}")


class Facts:
    """A state that is read when it is asked for."""

    __slots__ = ("_raw", "_state")

    def __init__(self, raw: msgspec.Raw) -> None:
        self._raw = raw
        self._state: Any = None

    def number(self, path: str, arguments: Mapping[str, Fact]) -> float | None:
        """The number there; 0 where only its last name is missing, as in an inventory without gold; None where unknown."""
        if any(name not in arguments for name in _NAMED.findall(path)):
            return None
        *above, last = _filled(path, arguments).split(".")
        found = list(_down([self._read()], above))
        if len(found) != 1 or not isinstance(found[0], dict):
            return None
        value = found[0].get(last, 0 if above else None)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def names(self, path: str, arguments: Mapping[str, Fact]) -> set[str]:
        """The words there: those of a list, the keys of a record, or the one."""
        names: set[str] = set()
        for value in _down([self._read()], _filled(path, arguments).split(".")):
            for each in value if isinstance(value, list | dict) else (value,):
                if isinstance(each, str) and each:
                    names.add(each)
        return names

    def _read(self) -> Any:
        if self._state is None:
            self._state = msgspec.json.decode(self._raw)
        return self._state


def _filled(path: str, arguments: Mapping[str, Fact]) -> str:
    return _NAMED.sub(lambda match: str(arguments.get(match[1], "")).replace(".", "_"), path) if "{" in path else path


def _down(values: list[Any], names: list[str]) -> Iterator[Any]:
    for name in names:
        name, _, flag = name.partition("?")
        found = [value[name] for value in _records(values) if name in value]
        values = [value for value in _records(found) if value.get(flag) is True] if flag else found
    yield from values[:FOUND_MAX]


def _records(values: list[Any]) -> Iterator[dict[str, Any]]:
    for value in values:
        if isinstance(value, dict):
            yield value
        elif isinstance(value, list):
            yield from (each for each in value if isinstance(each, dict))
