"""Scripted opponents: yardsticks that never change, and sparring partners.

`random` does anything legal, `always_call` checks and calls, `tight_aggressive` plays few hands and those with bets and
raises, by what it holds and the board, `equity` goes by its chances against random hands and the price of calling.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.selfplay.cards import draw, mix
from services.selfplay.compiled import compiled
from services.selfplay.holdem import CALLS, CHECKS, FOLDS, RAISES, Holdem
from services.selfplay.players import Player
from services.selfplay.ranks import FLUSH, PAIR, RANK_BITS, SETS, TWO_PAIR, bit_of, strength
from services.selfplay.rules import Table
from services.selfplay.tables import Bool, Float32, Int16, Int64, Tables

SAMPLES = 48  # drawn boards and hands behind the chances of `equity`
SEEN = (0, 3, 4, 5)  # cards of the board by street
NEVER = -1e9
HALF_POT, POT = 2, 4  # places among the sizes of raises, the least first


class Random:
    """Does anything legal."""

    def weigh(self, tables: Tables, rows: Int64, tokens: Int16, legal: Bool) -> tuple[Float32, Float32]:
        """Everything legal is equally likely."""
        del tables, rows, tokens
        odds = np.where(legal, -np.log(legal.sum(1, keepdims=True)), NEVER)
        return odds.astype(np.float32), np.zeros((len(legal), 1), np.float32)


class AlwaysCall:
    """Checks and calls."""

    def weigh(self, tables: Tables, rows: Int64, tokens: Int16, legal: Bool) -> tuple[Float32, Float32]:
        """A check where it is legal, else a call."""
        del tables, rows, tokens
        return certain(np.where(legal[:, CHECKS], CHECKS, CALLS), legal)


class TightAggressive:
    """Plays few hands, and those with bets and raises."""

    def weigh(self, tables: Tables, rows: Int64, tokens: Int16, legal: Bool) -> tuple[Float32, Float32]:
        """What it holds and the board decide."""
        del tokens
        assert isinstance(tables, Holdem)
        actions = np.empty(len(rows), np.int64)
        _tight_aggressive(tables.records, rows, legal, actions)
        return certain(actions, legal)


class Equity:
    """Goes by its chances against random hands, and by the price."""

    def weigh(self, tables: Tables, rows: Int64, tokens: Int16, legal: Bool) -> tuple[Float32, Float32]:
        """Its chances decide."""
        del tokens
        assert isinstance(tables, Holdem)
        actions = np.empty(len(rows), np.int64)
        _equity(tables.records, rows, legal, actions)
        return certain(actions, legal)


SCRIPTED: dict[str, Player] = {
    "random": Random(), "always_call": AlwaysCall(), "tight_aggressive": TightAggressive(), "equity": Equity(),
}  # fmt: skip


def certain(actions: Int64, legal: Bool) -> tuple[Float32, Float32]:
    """Weights that leave no choice."""
    odds = np.full(legal.shape, NEVER, np.float32)
    odds[np.arange(len(legal)), actions] = 0
    return odds, np.zeros((len(legal), 1), np.float32)


@compiled
def _tight_aggressive(records: npt.NDArray[np.void], rows: Int64, legal: Bool, actions: Int64) -> None:
    for at in range(len(rows)):
        t = records[rows[at]]
        actions[at] = before_flop(t, legal[at]) if t.street == 0 else after_flop(t, legal[at])


@compiled
def before_flop(t: Table, legal: Bool) -> int:
    """By the points of the two cards: fewer are enough at a small table."""
    points = points_of(t.cards[2 * t.actor], t.cards[2 * t.actor + 1])
    opens = 5 if t.players == 2 else 8
    price = t.top / t.big
    if points >= opens + 5 or (points >= opens and price <= 1):
        return bet(legal, POT)
    if points >= opens + 2 and price <= 6:
        return check_or(legal, CALLS)
    return check_or(legal, FOLDS)


@compiled
def points_of(first: int, second: int) -> float:
    """What two hole cards are worth: high ranks, pairs, one suit and neighbours count."""
    high, low = max(first >> 2, second >> 2), min(first >> 2, second >> 2)
    points = (high + 2) / 2
    if high >= 9:  # jack, queen, king, ace
        points = (6, 7, 8, 10)[high - 9]
    if high == low:
        return max(2 * points, 5)
    gap = high - low - 1
    points -= (0, 1, 2, 4, 5)[min(gap, 4)]
    if first & 3 == second & 3:
        points += 2
    if gap <= 1 and high < 10:
        points += 1
    return points


@compiled
def after_flop(t: Table, legal: Bool) -> int:
    """Bets what is likely best, calls small bets with what may be, and gives up the rest."""
    first, second = t.cards[2 * t.actor], t.cards[2 * t.actor + 1]
    board = np.uint64(0)
    top_rank = 0
    for at in range(SEEN[t.street]):
        card = t.cards[2 * t.players + at]
        board |= bit_of(card)
        top_rank = max(top_rank, card >> 2)
    mine, common = strength(board | bit_of(first) | bit_of(second)), strength(board)
    made = mine >> 26 > common >> 26
    owed = t.top - t.bet[t.actor]
    if made and mine >> 26 >= TWO_PAIR:
        return bet(legal, POT)
    if made and mine >> 26 == PAIR and mine >> RANK_BITS & (SETS - 1) >= 1 << top_rank:
        return bet(legal, HALF_POT + 1) if owed == 0 else check_or(legal, CALLS if 2 * owed <= t.pot else FOLDS)
    hopes = made or (t.street < 3 and draws_flush(t, first, second))
    return check_or(legal, CALLS if hopes and 3 * owed <= t.pot else FOLDS)


@compiled
def draws_flush(t: Table, first: int, second: int) -> bool:
    """Whether one card is missing to a flush with both of these."""
    count = 2
    for at in range(SEEN[t.street]):
        count += t.cards[2 * t.players + at] & 3 == first & 3
    return first & 3 == second & 3 and count == FLUSH - 1


@compiled
def _equity(records: npt.NDArray[np.void], rows: Int64, legal: Bool, actions: Int64) -> None:
    for at in range(len(rows)):
        t = records[rows[at]]
        owed = min(t.top - t.bet[t.actor], t.stack[t.actor])
        others = -1
        for place in range(t.players):
            others += t.live >> place & 1
        chance = chance_of(t) ** others
        price = owed / (t.pot + owed)
        fair = 1 / (1 + others)
        if chance > fair + 0.5 * (1 - fair) and (owed == 0 or chance > price + 0.3):
            actions[at] = bet(legal[at], POT)
        elif chance > fair + 0.2 * (1 - fair) and owed == 0:
            actions[at] = bet(legal[at], HALF_POT)
        else:
            actions[at] = check_or(legal[at], CALLS if chance > price + 0.02 else FOLDS)


@compiled
def chance_of(t: Table) -> float:
    """The chance to beat one random hand, from the same draws whenever the same cards are seen."""
    seen = SEEN[t.street]
    cards = np.empty(7, np.int8)
    cards[:2] = t.cards[2 * t.actor : 2 * t.actor + 2]
    cards[2 : 2 + seen] = t.cards[2 * t.players : 2 * t.players + seen]
    used, mine = np.uint64(0), np.uint64(0)
    for at in range(2 + seen):
        used |= np.uint64(1) << np.uint64(cards[at])
        mine |= bit_of(cards[at])
    board = mine ^ bit_of(cards[0]) ^ bit_of(cards[1])
    won = 0.0
    drawn = np.empty(7, np.int8)
    for sample in range(SAMPLES):
        draw(drawn, 7 - seen, used, mix(used ^ np.uint64(sample)))
        rest = np.uint64(0)
        for at in range(2, 7 - seen):
            rest |= bit_of(drawn[at])
        own, theirs = strength(mine | rest), strength(board | rest | bit_of(drawn[0]) | bit_of(drawn[1]))
        won += 1.0 if own > theirs else 0.5 if own == theirs else 0.0
    return won / SAMPLES


@compiled
def bet(legal: Bool, size: int) -> int:
    """A bet or raise of that size, the nearest smaller one, all-in, or else a call or check."""
    for action in range(RAISES + size, RAISES - 1, -1):
        if legal[action]:
            return action
    if legal[len(legal) - 1]:
        return len(legal) - 1
    return check_or(legal, CALLS)


@compiled
def check_or(legal: Bool, action: int) -> int:
    """A check where it is legal, else that."""
    return CHECKS if legal[CHECKS] else action
