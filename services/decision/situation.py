"""What a situation is like, in a few bits: whether nothing has changed, whether it is like an earlier one, who is in it.

Pure, and the same in every process: nothing here depends on Python's own hashes. A state is read no further than its first
level: what lies deeper counts as a whole. What only tells the time counts for nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from zlib import crc32

import msgspec

from hearthmind.contracts.observation import Choice, Observation

BITS = 128
"""Of a signature. With some 30 features few share a bit, and comparing two costs less than a microsecond."""
FACTS_MAX = 64
"""Of a state's first level."""
PLAIN_MAX_BYTES = 40
"""A fact that is longer than this is a detail: it may change, and the situation is still like it was."""
NAMES_MAX = 10_000
"""Of so many names of facts it is known what they are; the games of a process have fewer."""

CLOCKS = re.compile("(?:.*_)?(?:time|turn|tick|hour|minute|second|day|night|date|clock|frame|step|now|ago)s?", re.I)
"""Names of facts that only tell the time."""
FOES = re.compile("(?:.*_)?(?:opponent|enemy|attacker|foe|target|threat|rival|visitor)", re.I)
"""Names of facts that say with whom one has to do."""
_NAME = re.compile(rb'"name"\s*:\s*("[^"\\]*")')
_PLAIN, _CLOCK, _FOE = range(3)

_facts = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Situation(msgspec.Struct, frozen=True):
    """What is known of one."""

    fingerprint: int
    """Of all that the state says but for the time; 0 where it says nothing, and then nothing can be told from it."""
    signature: int
    """What it is like, a bit for each of its features; see `likeness`."""
    foes: frozenset[bytes]
    """Whom the state calls an opponent, a target, a threat or the like, as it is written there."""


_newest: tuple[Observation, Situation] | None = None


def of(observation: Observation) -> Situation:
    """The situation that an NPC sees. Several parts of a mind ask for the same one in a row, and it is read once for them."""
    global _newest
    if _newest is None or _newest[0] is not observation:
        _newest = (observation, _read(observation))
    return _newest[1]


def _read(observation: Observation) -> Situation:
    kind = crc32(observation.kind.encode())
    bits = _bit(kind) | _bit(crc32(b"2", kind)) | _bit(crc32(b"3", kind))
    if observation.scene:
        bits |= _bit(crc32(observation.scene.encode(), 1))
    for text in observation.texts[-3:]:
        speaker = crc32(text.speaker.encode(), 2)
        bits |= _bit(speaker) | _bit(crc32(b"2", speaker)) | _bit(crc32(b"3", speaker))
    fingerprint = 0
    foes: list[bytes] = []
    for name, raw in _first_level(observation.state):
        sort, called, called_bytes = _read_name(name)
        if sort == _CLOCK:
            continue
        value = bytes(raw)
        fingerprint = crc32(value, crc32(called_bytes, fingerprint)) or 1
        if sort == _FOE:
            foes.append(_named(value))
        if len(value) <= PLAIN_MAX_BYTES:
            bits |= _bit(crc32(_about(value), called))
    return Situation(fingerprint, bits, frozenset(foes))


def likeness(one: int, other: int) -> float:
    """How much of what two situations are like they share, by their signatures, from 0 to 1."""
    either = (one | other).bit_count()
    return (one & other).bit_count() / either if either else 0.0


def is_there(who: str, observation: Observation) -> bool:
    """Whether somebody has to do with a situation: they spoke, the state names them, or something can be done to them."""
    if any(text.speaker == who for text in observation.texts):
        return True
    if msgspec.json.encode(who) in bytes(observation.state):
        return True
    return any(
        isinstance(parameter, Choice) and who in parameter.enum
        for legal in observation.legal_actions
        for parameter in legal.parameters.values()
    )


def _first_level(state: msgspec.Raw) -> list[tuple[str, msgspec.Raw]]:
    try:
        return list(_facts.decode(state).items())[:FACTS_MAX]
    except msgspec.MsgspecError:  # a list, a word
        return [("", state)] if bytes(state).strip(b"[]nul \t\r\n") else []


@lru_cache(NAMES_MAX)
def _read_name(name: str) -> tuple[int, int, bytes]:
    """Its sort and its sum, also as bytes."""
    sort = _CLOCK if CLOCKS.fullmatch(name) else _FOE if FOES.fullmatch(name) else _PLAIN
    called = crc32(name.encode())
    return sort, called, called.to_bytes(4, "big")


def _named(value: bytes) -> bytes:
    """Somebody by name, where more is told of them."""
    found = _NAME.search(value) if value.startswith(b"{") else None
    return found[1] if found else value[:PLAIN_MAX_BYTES]


def _about(value: bytes) -> bytes:
    """A fact, where a number is as good as another of its size: 12 is like 9, and not like 90."""
    if value[:1] not in b"-0123456789":
        return value
    number = float(value)
    size = int(min(abs(number), 1e18)).bit_length()
    return b"-%d" % size if number < 0 else b"%d" % size


def _bit(feature: int) -> int:
    return 1 << feature % BITS
