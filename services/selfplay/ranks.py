"""What seven cards are worth: a number that is higher for the better hand and equal for hands that split the pot.

A hand is a word with 16 bits for each suit, of which 13 are ranks; hands are put together by `|`. Counting how often each rank
occurs is then a few operations on whole suits, and the only tables are those of flushes and straights by the ranks present.
A strength is `category << 26 | ranks that make it << 13 | kickers`, both as bits of ranks: of as many ranks, the higher bits win.
"""

from __future__ import annotations

import numpy as np

from services.selfplay.compiled import compiled
from services.selfplay.tables import Int8, Int32

CATEGORIES = (
    "high card", "pair", "two pair", "three of a kind", "straight", "flush", "full house", "four of a kind", "straight flush",
)  # fmt: skip
PAIR, TWO_PAIR, THREE, STRAIGHT, FLUSH, FULL_HOUSE, FOUR, STRAIGHT_FLUSH = range(1, 9)
RANK_BITS = 13
SETS = 1 << RANK_BITS  # of ranks

_ALL = np.uint64(SETS - 1)
_16, _32, _48 = np.uint64(16), np.uint64(32), np.uint64(48)


def _straights() -> Int32:
    """By the ranks present: the bit of the rank that a straight ends on, or 0."""
    present = np.arange(SETS, dtype=np.int32)
    with_low_ace = present << 1 | present >> 12
    runs = with_low_ace
    for step in range(1, 5):
        runs = runs & with_low_ace << step
    return _highest(runs >> 1)


def _highest(sets: Int32) -> Int32:
    for step in (1, 2, 4, 8):
        sets = sets | sets >> step
    return np.asarray(sets ^ sets >> 1, np.int32)


def _flushes(straights: Int32) -> Int32:
    """By the ranks of one suit: the strength of the flush or straight flush, or 0."""
    present = np.arange(SETS, dtype=np.int32)
    count = sum(present >> rank & 1 for rank in range(RANK_BITS))
    five = present.copy()
    for more in range(5, RANK_BITS):
        five = np.where(count > more, five & (five - 1), five)
    strength = np.where(straights > 0, STRAIGHT_FLUSH << 26 | straights << 13, FLUSH << 26 | five)
    return np.asarray(np.where(count >= 5, strength, 0), np.int32)


STRAIGHTS = _straights()
FLUSHES = _flushes(STRAIGHTS)
HIGHEST = _highest(np.arange(SETS, dtype=np.int32))


@compiled
def bit_of(card: int) -> np.uint64:
    """The hand of one card."""
    return np.uint64(1) << np.uint64(16 * (card & 3) + (card >> 2))


@compiled
def hand_of(cards: Int8) -> np.uint64:
    """The hand of several cards."""
    hand = np.uint64(0)
    for card in cards:
        hand |= bit_of(card)
    return hand


@compiled
def strength(hand: np.uint64) -> int:
    """What seven cards are worth; of fewer, only the category is right."""
    clubs, diamonds = np.int64(hand & _ALL), np.int64(hand >> _16 & _ALL)
    hearts, spades = np.int64(hand >> _32 & _ALL), np.int64(hand >> _48)
    flush = FLUSHES[clubs] | FLUSHES[diamonds] | FLUSHES[hearts] | FLUSHES[spades]
    if flush:  # seven cards with five of a suit can't hold four of a kind or a full house
        return int(flush)
    black, red = clubs | spades, hearts | diamonds
    both_black, both_red = clubs & spades, hearts & diamonds
    once = black | red
    twice = both_black | both_red | black & red
    thrice = both_black & red | both_red & black
    straight = STRAIGHTS[once]
    if not twice:
        if straight:
            return int(STRAIGHT << 26 | straight << 13)
        once &= once - 1  # five of seven ranks
        return int(once & (once - 1))
    return _with_pairs(once, twice, thrice, both_black & both_red, straight)


@compiled
def _with_pairs(once: np.int64, twice: np.int64, thrice: np.int64, four: np.int64, straight: np.int32) -> int:
    """What seven cards without a flush are worth of which some have the same rank."""
    if four:
        return int(FOUR << 26 | four << 13 | HIGHEST[once ^ four])
    if thrice:
        three = HIGHEST[thrice]
        pairs = twice ^ three
        if pairs:
            return int(FULL_HOUSE << 26 | three << 13 | HIGHEST[pairs])
        if straight:
            return int(STRAIGHT << 26 | straight << 13)
        kickers = once ^ three  # four ranks, of which two count
        kickers &= kickers - 1
        return int(THREE << 26 | three << 13 | kickers & (kickers - 1))
    if straight:
        return int(STRAIGHT << 26 | straight << 13)
    high = HIGHEST[twice]
    low = HIGHEST[twice ^ high]
    if low:
        return int(TWO_PAIR << 26 | (high | low) << 13 | HIGHEST[once ^ high ^ low])
    kickers = once ^ high  # five ranks, of which three count
    kickers &= kickers - 1
    return int(PAIR << 26 | high << 13 | kickers & (kickers - 1))


@compiled
def best(cards: Int8) -> int:
    """What seven cards are worth."""
    return strength(hand_of(cards))


def category(strength: int) -> str:
    """What a strength is called."""
    return CATEGORIES[strength >> 26]
