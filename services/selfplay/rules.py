"""The rules of no-limit hold'em, for one hand at one table.

A table is a record of plain numbers (`TABLE`), and a hand is played by `begin`, `act` until `actor` is nobody, and
`pots.settle`. Players are counted by their place: 0 sits left of the button, the last has the button, as cards are dealt. So the
small blind is place 0 and the big blind place 1, and with two players the button, place 1, posts the small blind and acts first.

An action is the amount that one's bet on this street becomes, in chips, or `FOLD`. Nobody folds who may check for nothing, and
nobody is asked who has nothing to choose: once no more than one player has chips and that one has nothing to call, the
betting is over. The least raise is the last full raise or the big blind. An all-in for less than that doesn't let those raise
again who already acted, unless several of them make up a full raise. Where houses differ it is as in pokerkit: a big blind that
is short of chips is called at what was posted, and the first all-in on a street counts as a full bet for who checked before.
"""

from __future__ import annotations

import numpy as np

from services.selfplay.compiled import compiled
from services.selfplay.tables import Int8, Int16, Int32

SEATS = 9
CARDS = 2 * SEATS + 5
HISTORY = 48  # how many of the latest actions of a hand are kept
FOLD = -1
NOBODY = -1
RIVER = 3
CHECKED, CALLED, RAISED = 0, 1, 2  # how an action is remembered; RAISED + 2 * per cent of the pot, + 1 when all-in
PER_CENT_MAX = 10_000

Records = np.recarray[tuple[int], np.dtype[np.record]]  # of TABLE; one of them is a Table


class Table:
    """One table's record. Bits are by place; amounts are chips."""

    players: int
    small: int
    big: int
    ante: int

    button: int  # the seat that has it; everything else is by place
    street: int  # 0 before the flop, 1 flop, 2 turn, 3 river
    actor: int  # the place to act, or NOBODY: the hand is over
    top: int  # the highest bet on this street
    full: int  # the last full raise on this street
    short: int  # all-ins since then that were no full raise, together
    pot: int  # everything paid in so far
    live: int  # bits of those who have not folded
    able: int  # and of those who have chips, too
    waiting: int  # who is still to act on this street
    acted: int  # who acted since the last full raise
    stack: Int32  # [SEATS] chips before each
    bet: Int32  # [SEATS] on this street
    paid: Int32  # [SEATS] in this hand, antes too
    cards: Int8  # [CARDS] two for each place, then the board
    who: Int8  # [HISTORY] the place of each action
    what: Int16  # [HISTORY] CHECKED, CALLED, RAISED...; folds are not kept: who is passed over has folded
    remembered: int
    until: Int8  # [3] how many actions came before the flop, the turn, the river


TABLE = np.dtype(
    [
        ("pot", np.int32), ("top", np.int32), ("full", np.int32), ("short", np.int32),
        ("small", np.int32), ("big", np.int32), ("ante", np.int32),
        ("live", np.int32), ("able", np.int32), ("waiting", np.int32), ("acted", np.int32),
        ("stack", np.int32, SEATS), ("bet", np.int32, SEATS), ("paid", np.int32, SEATS),
        ("what", np.int16, HISTORY), ("who", np.int8, HISTORY), ("until", np.int8, 3), ("cards", np.int8, CARDS),
        ("players", np.int8), ("button", np.int8), ("street", np.int8), ("actor", np.int8), ("remembered", np.int8),
    ],
    align=True,
)  # fmt: skip


def records(count: int) -> Records:
    """Empty tables."""
    return np.zeros(count, TABLE).view(np.recarray)


@compiled
def begin(t: Table) -> None:
    """Starts a hand: stacks, cards, button, blinds and antes are set; posts them and finds who is first to act."""
    players = t.players
    t.live = (1 << players) - 1
    t.able = 0
    t.pot = t.street = t.remembered = 0
    for street in range(3):
        t.until[street] = 0
    for place in range(players):
        ante = min(t.ante, t.stack[place])
        t.stack[place] -= ante
        t.paid[place] = ante
        t.pot += ante
        t.bet[place] = 0
        if t.stack[place]:
            t.able |= 1 << place
    t.top = 0
    big = 0 if players == 2 else 1
    put(t, 1 - big, min(t.small, t.stack[1 - big]))
    put(t, big, min(t.big, t.stack[big]))
    t.full = t.short = t.acted = 0
    t.waiting = t.able
    pass_on(t, big)


@compiled
def put(t: Table, place: int, to: int) -> None:
    """Makes somebody's bet on this street that amount."""
    more = to - t.bet[place]
    t.bet[place] = to
    t.stack[place] -= more
    t.paid[place] += more
    t.pot += more
    t.top = max(t.top, to)
    if not t.stack[place]:
        t.able &= ~(1 << place)


@compiled
def to_call(t: Table) -> int:
    """What the actor's bet becomes by a check or a call."""
    place = t.actor
    return int(min(t.top, t.bet[place] + t.stack[place]))


@compiled
def raise_max(t: Table) -> int:
    """What the actor's bet becomes by going all-in, or 0 where no raise is legal."""
    place = t.actor
    owed = t.top - t.bet[place]
    if t.stack[place] <= owed or owed < t.full:
        return 0
    if 0 < t.short < t.full and t.acted >> place & 1:
        return 0
    for other in range(t.players):
        if other != place and t.live >> other & 1 and t.bet[other] + t.stack[other] > t.top:
            return int(t.bet[place] + t.stack[place])
    return 0


@compiled
def raise_min(t: Table) -> int:
    """The least that the actor may raise to, where a raise is legal."""
    return int(min(t.top + max(t.full, t.big), t.bet[t.actor] + t.stack[t.actor]))


@compiled
def allowed(t: Table, to: int) -> bool:
    """Whether the actor may make its bet on this street that amount, or `FOLD`."""
    if to <= t.top:
        return to == to_call(t) or (to == FOLD and t.top > t.bet[t.actor])
    return raise_max(t) > 0 and raise_min(t) <= to <= raise_max(t)


@compiled
def act(t: Table, to: int) -> None:
    """Plays what the actor is allowed: its bet on this street becomes `to`, or it folds."""
    place = t.actor
    bit = 1 << place
    t.acted |= bit
    if to == FOLD:
        t.live &= ~bit
        t.able &= ~bit
        t.waiting &= ~bit
    elif to > t.top:
        raise_to(t, place, to)
    else:
        remember(t, place, CHECKED if to == t.bet[place] else CALLED)
        put(t, place, to)
        t.waiting &= ~bit
    pass_on(t, place)


@compiled
def raise_to(t: Table, place: int, to: int) -> None:
    """Raises, and says who has to answer and whether those who acted before may raise again."""
    by = to - t.top
    called = t.pot + t.top - t.bet[place]
    per_cent = min(100 * by // called, PER_CENT_MAX) if called else PER_CENT_MAX
    put(t, place, to)
    remember(t, place, RAISED + 2 * per_cent + (0 if t.stack[place] else 1))
    t.waiting = t.able & ~(1 << place)
    if by >= t.full:
        t.acted = 1 << place
        t.full = by
    t.short = 0 if t.stack[place] else t.short + by
    if t.short >= t.full:
        t.short = 0


@compiled
def remember(t: Table, place: int, what: int) -> None:
    """Keeps an action, and forgets the oldest one where there are too many."""
    if t.remembered == HISTORY:
        for at in range(HISTORY - 1):
            t.who[at] = t.who[at + 1]
            t.what[at] = t.what[at + 1]
        for street in range(3):
            t.until[street] = max(t.until[street] - 1, 0)
        t.remembered -= 1
    t.who[t.remembered] = place
    t.what[t.remembered] = what
    t.remembered += 1


@compiled
def pass_on(t: Table, place: int) -> None:
    """Finds who acts after that place, on this street or the next one; nobody where the hand is decided by cards or folds."""
    t.actor = NOBODY
    alone = t.able & (t.able - 1) == 0
    if t.live & (t.live - 1) == 0:
        return
    if t.waiting and not (alone and not owes(t)):
        t.actor = next_of(t.waiting, place, t.players)
    elif not alone and t.street < RIVER:
        t.until[t.street] = t.remembered
        t.street += 1
        for each in range(t.players):
            t.bet[each] = 0
        t.top = t.full = t.short = t.acted = 0
        t.waiting = t.able
        t.actor = next_of(t.waiting, t.players - 1, t.players)


@compiled
def owes(t: Table) -> bool:
    """Whether somebody who has chips has less in than the highest bet."""
    behind = 0
    for place in range(t.players):
        if t.bet[place] < t.top:
            behind |= 1 << place
    return t.able & behind != 0


@compiled
def next_of(places: int, place: int, players: int) -> int:
    """The first of some places after that one, clockwise."""
    for _ in range(players):
        place += 1
        if place == players:
            place = 0
        if places >> place & 1:
            break
    return place
