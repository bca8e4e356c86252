"""Cards as small numbers, and the deal.

A card is `4 * rank + suit`: ranks from 0, the deuce, to 12, the ace; suits are clubs, diamonds, hearts, spades. A deal is drawn
from a key alone, so that any hand can be dealt again without those before it.
"""

from __future__ import annotations

import numpy as np

from hearthmind.errors import Refused
from services.selfplay.compiled import compiled
from services.selfplay.tables import Int8, Int64

DECK = 52
RANKS = "23456789TJQKA"
SUITS = "cdhs"

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_30, _27, _31, _32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_ONE = np.uint64(1)


class NoSuchCard(Refused):
    """{name!r} is no card: write its rank and its suit, like `Ah` or `Td`."""


def card(name: str) -> int:
    """The number of `Ah`."""
    rank, suit = RANKS.find(name[:1]), SUITS.find(name[1:])
    if len(name) != 2 or rank < 0 or suit < 0:
        raise NoSuchCard(name=name)
    return 4 * rank + suit


def name(number: int) -> str:
    """`Ah` of its number."""
    return RANKS[number >> 2] + SUITS[number & 3]


@compiled
def mix(word: np.uint64) -> np.uint64:
    """The word, thoroughly mixed: splitmix64's last step."""
    word = (word ^ (word >> _30)) * _FIRST
    word = (word ^ (word >> _27)) * _SECOND
    return word ^ (word >> _31)


@compiled
def key_of(seed: int, table: int, deal: int, purpose: int) -> np.uint64:
    """The key of one deal of one table; what is drawn for different purposes has nothing to do with each other."""
    key = mix(np.uint64(seed) + _STEP)
    key = mix(key ^ (np.uint64(table) + _STEP))
    key = mix(key ^ (np.uint64(deal) + _STEP))
    return mix(key ^ (np.uint64(purpose) + _STEP))


@compiled
def below(key: np.uint64, count: int, bound: int) -> int:
    """The `count`-th number from 0 up to `bound`, which may be up to 2^31."""
    word = mix(key + np.uint64(count) * _STEP)
    return int(np.int64(((word >> _32) * np.uint64(bound)) >> _32))


@compiled
def draw(cards: Int8, count: int, used: np.uint64, key: np.uint64) -> None:
    """Fills the first `count` places with cards that are not among the used ones (a bit each) and all different."""
    drawn = 0
    while drawn < count:
        key += _STEP
        word = mix(key)
        for half in (word >> _32, word & _LOW):
            number = (half * np.uint64(DECK)) >> _32
            bit = _ONE << number
            if not used & bit and drawn < count:
                used |= bit
                cards[drawn] = number
                drawn += 1


@compiled
def suit_labels(hole: Int8, board: Int8, seen: int, labels: Int64) -> None:
    """Names the four suits by what is seen of them, so that situations which differ only in suits get the same names.

    A suit's signature is its ranks among the hole cards, on the flop, the turn and the river; the highest signature is 0. Suits
    of the same signature could change places without a difference, so it doesn't matter which of them comes first.
    """
    signature = np.zeros(4, np.int64)
    for number in hole:
        signature[number & 3] |= 1 << (39 + (number >> 2))
    for place in range(seen):
        shift = 26 if place < 3 else 52 - 13 * place  # the flop, then 13 for the turn, 0 for the river
        signature[board[place] & 3] |= 1 << (shift + (board[place] >> 2))
    for suit in range(4):
        labels[suit] = 0
        for other in range(4):
            if signature[other] > signature[suit] or (signature[other] == signature[suit] and other < suit):
                labels[suit] += 1
