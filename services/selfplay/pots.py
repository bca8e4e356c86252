"""Who gets the pot: side pots, split pots, odd chips, and what an all-in is worth before its cards have fallen.

A pot goes to the best hand among those who paid for it. What doesn't divide goes to the first winner left of the button. Those
who win nothing make no side pot of their own, so that the chips of side pots with the same winners are divided together.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.selfplay.cards import DECK, draw, mix
from services.selfplay.compiled import compiled
from services.selfplay.ranks import bit_of, strength
from services.selfplay.rules import SEATS, Table
from services.selfplay.tables import Int64

SAMPLES = 400  # boards that are drawn for an all-in before the flop
COUNTED = 45 * 44 // 2  # as many or fewer boards are counted out: all that can come after a flop
BOARD = 5

Words = npt.NDArray[np.uint64]


@compiled
def settle(t: Table, won: Int64) -> None:
    """What each place gets of a hand that is over, its own uncalled bet too."""
    give_back(t, won)
    if t.live & (t.live - 1) == 0:
        for place in range(t.players):
            if t.live >> place & 1:
                won[place] += t.pot
        return
    strengths = np.empty(SEATS, np.int64)
    board = np.uint64(0)
    for at in range(BOARD):
        board |= bit_of(t.cards[2 * t.players + at])
    rank_all(t, board, strengths)
    divide(t, strengths, won)


@compiled
def give_back(t: Table, won: Int64) -> None:
    """Returns what nobody called of the highest bet."""
    most = second = owner = 0
    for place in range(t.players):
        won[place] = 0
        if t.paid[place] > most:
            second, most, owner = most, t.paid[place], place
        else:
            second = max(second, t.paid[place])
    t.paid[owner] -= most - second
    t.pot -= most - second
    won[owner] = most - second


@compiled
def rank_all(t: Table, board: np.uint64, strengths: Int64) -> None:
    """The strengths of all who have not folded, on that board; 0 for the others."""
    for place in range(t.players):
        strengths[place] = 0
        if t.live >> place & 1:
            strengths[place] = strength(board | bit_of(t.cards[2 * place]) | bit_of(t.cards[2 * place + 1]))


@compiled
def divide(t: Table, strengths: Int64, won: Int64) -> None:
    """Adds to each place what it wins."""
    winners = winning(t, strengths)
    levels, amounts = np.empty(SEATS, np.int64), np.empty(SEATS, np.int64)
    for pot in range(side_pots(t, winners, levels, amounts)):
        best = count = 0
        for place in range(t.players):
            if winners >> place & 1 and t.paid[place] >= levels[pot]:
                if strengths[place] > best:
                    best, count = strengths[place], 0
                count += strengths[place] == best
        odd = amounts[pot] % count
        for place in range(t.players):
            if winners >> place & 1 and t.paid[place] >= levels[pot] and strengths[place] == best:
                won[place] += amounts[pot] // count + odd
                odd = 0


@compiled
def side_pots(t: Table, places: int, levels: Int64, amounts: Int64) -> int:
    """Fills what each pot takes of everybody and what is in it, by what these places paid; says how many there are."""
    below = count = 0
    while True:
        level = next_level(t, places, below)
        if not level:
            return count
        levels[count], amounts[count] = level, 0
        for place in range(t.players):
            amounts[count] += min(t.paid[place], level) - min(t.paid[place], below)
        below = level
        count += 1


@compiled
def winning(t: Table, strengths: Int64) -> int:
    """The bits of those who win a part of any pot."""
    winners = level = 0
    while True:
        level = next_level(t, t.live, level)
        if not level:
            return winners
        best = bits = 0
        for place in range(t.players):
            if t.live >> place & 1 and t.paid[place] >= level:
                if strengths[place] > best:
                    best, bits = strengths[place], 0
                if strengths[place] == best:
                    bits |= 1 << place
        winners |= bits


@compiled
def next_level(t: Table, places: int, below: int) -> int:
    """The least that one of these places paid and that is more than `below`, or 0."""
    level = 0
    for place in range(t.players):
        if places >> place & 1 and t.paid[place] > below and (not level or t.paid[place] < level):
            level = t.paid[place]
    return level


@compiled
def expect(t: Table, key: np.uint64, total: Int64, samples: int = SAMPLES, counted: int = COUNTED) -> int:
    """Sums what each place gets over the boards that can still come if nobody bets any more, and says over how many.

    Where that are no more than `counted`, it is over all of them; else `samples` are drawn. Folded cards can't come, as they
    have been dealt.
    """
    seen = (0, 3, 4, 5)[t.street]
    won = np.empty(SEATS, np.int64)
    strengths = np.empty(SEATS, np.int64)
    total[:] = 0
    if t.live & (t.live - 1) == 0 or seen == BOARD:
        settle(t, total)
        return 1
    give_back(t, won)
    returned = won.copy()
    dealt = np.uint64(0)
    for at in range(2 * t.players):
        dealt |= np.uint64(1) << np.uint64(t.cards[at])
    board = np.uint64(0)
    for at in range(2 * t.players, 2 * t.players + seen):
        dealt |= np.uint64(1) << np.uint64(t.cards[at])
        board |= bit_of(t.cards[at])
    boards = boards_after(board, dealt, BOARD - seen, key, samples, counted)
    for each in boards:
        won[:] = returned
        rank_all(t, each, strengths)
        divide(t, strengths, won)
        total += won
    return len(boards)


@compiled
def boards_after(board: np.uint64, dealt: np.uint64, missing: int, key: np.uint64, samples: int, counted: int) -> Words:
    """The boards that this one can become: all of them where one or two cards are missing and they are few, else a sample."""
    left = np.empty(DECK, np.int8)
    count = 0
    for card in range(DECK):
        if not dealt >> np.uint64(card) & np.uint64(1):
            left[count] = card
            count += 1
    if missing == 1 and count <= counted:
        boards = np.empty(count, np.uint64)
        for first in range(count):
            boards[first] = board | bit_of(left[first])
    elif missing == 2 and count * (count - 1) // 2 <= counted:
        boards = np.empty(count * (count - 1) // 2, np.uint64)
        at = 0
        for first in range(count):
            for second in range(first):
                boards[at] = board | bit_of(left[first]) | bit_of(left[second])
                at += 1
    else:
        boards = np.empty(samples, np.uint64)
        drawn = np.empty(BOARD, np.int8)
        for at in range(samples):
            draw(drawn, missing, dealt, mix(key ^ np.uint64(at)))
            boards[at] = board
            for place in range(missing):
                boards[at] |= bit_of(drawn[place])
    return boards
