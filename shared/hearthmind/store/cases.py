"""States as short vectors, so that cases like this one are near it: signed feature hashing, and the column's type.

The law: the same facts give the same features, whatever their order, on every machine and in every release: rows are
compared with rows of long ago. A state's shape decides: `stocks.wood = 120` speaks for a place and, by its size, how much;
a word speaks for a place of its own. Whole numbers travel as text and become half-precision floats in Postgres; nearness
is the angle between two.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from itertools import islice
from math import log1p
from typing import Any

import msgspec
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import UserDefinedType

DIMENSIONS = 64
FACTS_MAX = 256
"""So many facts of a state count; the rest of a huge one adds little and would take its time."""
SCALE = 16
"""A fact of size 1 counts so much: whole numbers are short to write down."""
SUM_MAX = 60_000
"""Half-precision floats end there."""
WORD_MAX = 64
HUGE = 1e18

_NESTED = (dict, list)
_MASK, _SHIFT, _SIGN = 0xFFFF_FFFF, 26, 1 << 25
_DOWN, _SPREAD = 0x0100_0193, 0x9E37_79B1
"""Odd numbers that mix well: a step down into a state, and all bits of a place into its highest, of which six say where."""


class Features(UserDefinedType[str]):
    """pgvector's `halfvec`, written and read as text."""

    cache_ok = True

    def __init__(self, dimensions: int = DIMENSIONS) -> None:
        self.dimensions = dimensions

    def get_col_spec(self, **_: object) -> str:
        """The type in Postgres."""
        return f"HALFVEC({self.dimensions})"


ischema_names["halfvec"] = Features


def features_of(state: bytes | msgspec.Raw) -> str | None:
    """The features of a game's own JSON, as pgvector reads them; None where there is nothing in it."""
    try:
        decoded = msgspec.json.decode(state)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    sums = [0] * DIMENSIONS
    level, left = [(1, decoded if type(decoded) in _NESTED else [decoded])], FACTS_MAX
    while level and left > 0:
        level, left = _add(level, sums, left)
    if max(sums) > SUM_MAX or min(sums) < -SUM_MAX:
        sums = [max(-SUM_MAX, min(each, SUM_MAX)) for each in sums]
    return msgspec.json.encode(sums).decode() if any(sums) else None


def _add(level: list[tuple[int, Any]], sums: list[int], left: int) -> tuple[list[tuple[int, Any]], int]:
    """Adds the plain values of a level; returns the next one and how many may follow: of a huge state the outline counts."""
    deeper: list[tuple[int, Any]] = []
    for place, whole in level:
        below = place * _DOWN & _MASK
        from_there = below * _SPREAD & _MASK
        for key, value in islice(whole.items() if type(whole) is dict else enumerate(whole), left):
            kind = type(value)
            if kind is int and 0 <= value < _SMALL:
                size, at = _LOGS[value], from_there + _SPREADS[key] & _MASK
            elif kind in _NESTED:
                deeper.append((below + _hash(key) & _MASK, value))
                continue
            elif kind is str:
                here = (below + _hash(key)) * _DOWN + _hash(value[:WORD_MAX])
                size, at = SCALE, here * _SPREAD & _MASK
            elif value is None:
                continue
            else:
                size, at = _size(value), from_there + _SPREADS[key] & _MASK
            if at & _SIGN:
                sums[at >> _SHIFT] += size
            else:
                sums[at >> _SHIFT] -= size
            left -= 1
        if left <= 0:
            break
    return deeper, left - len(deeper)


def _size(fact: float | bool) -> int:
    """How much a number says: 10 instead of 5 as much as 1,000 instead of 500."""
    if fact is True or fact is False:
        return SCALE if fact else -SCALE
    size = round(SCALE * log1p(min(abs(fact), HUGE)))
    return size if fact > 0 else -size


_SMALL = 4_096
_LOGS = [_size(number) for number in range(_SMALL)]


def _hash(word: str | int) -> int:
    """The number of an item is as good a hash as any. Long keys are not remembered, so that what is stays small."""
    if isinstance(word, int):
        return word
    return _crc(word) if len(word) <= WORD_MAX else _crc.__wrapped__(word)


@lru_cache(maxsize=65_536)
def _crc(word: str) -> int:
    return zlib.crc32(word.encode(errors="replace"))


class _Spreads(dict[str | int, int]):
    """What the hash of an item comes to when it is spread, of those seen lately."""

    def __missing__(self, key: str | int) -> int:
        if len(self) >= _SPREADS_MAX:
            self.clear()
        found = _hash(key) * _SPREAD & _MASK
        if isinstance(key, int) or len(key) <= WORD_MAX:
            self[key] = found
        return found


_SPREADS_MAX = 65_536
_SPREADS = _Spreads()
