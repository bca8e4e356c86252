"""No-limit hold'em for 2 to 9 players as `Tables`: many hands in lockstep, each a function of seed, table and number.

The button moves on by a seat with each hand of a table, and stacks start anew, so that hands have nothing to do with each other
and no blind is ever missed.
With `duplicate`, a deal is played once from each seat: the hands k * P to k * P + P - 1 of a table have the same cards and
stacks by place, while the seats move on through the places. With `equity`, an all-in is paid what it is worth on average over the
boards that can still come, instead of by the one that came.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hearthmind.errors import Refused
from services.selfplay import tokens
from services.selfplay.cards import DECK, below, draw, key_of
from services.selfplay.compiled import compiled
from services.selfplay.pots import expect, settle
from services.selfplay.rules import (
    FOLD,
    NOBODY,
    SEATS,
    Records,
    Table,
    act,
    begin,
    raise_max,
    raise_min,
    records,
    to_call,
)
from services.selfplay.tables import Bool, Float32, Int8, Int16, Int64

FOLDS, CHECKS, CALLS, RAISES = 0, 1, 2, 3  # actions; from RAISES on by size, and the last one is all-in
ILLEGAL = -2
CARDS_KEY, STACKS_KEY, EQUITY_KEY, OUTLOOK_KEY = 0, 1, 2, 3
GUESSED = 16  # boards behind an outlook


class BadGame(Refused):
    """This is no game of hold'em: {why}."""


class IllegalAction(Refused):
    """Action {action} is not legal at table {table}: take one whose mask is true. The tables before it have played theirs."""


@dataclass(frozen=True, kw_only=True)
class Game:
    """What is played. Amounts are chips; stacks are drawn for each place and hand where least and most differ."""

    players: int = 2
    small: int = 50
    big: int = 100
    ante: int = 0
    stack_min: int = 10_000
    stack_max: int = 10_000
    raises: tuple[int, ...] = (0, 33, 50, 75, 100, 150)  # per cent of the pot after calling; 0 is the least raise
    duplicate: bool = False
    equity: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.players <= SEATS:
            raise BadGame(why=f"players is {self.players}, of 2 to {SEATS}")
        if not 0 < self.small <= self.big or self.ante < 0:
            raise BadGame(why="blinds must be 0 < small <= big, and the ante not negative")
        if not self.ante + self.big < self.stack_min <= self.stack_max < 1 << 24:
            raise BadGame(
                why="stacks must be ante + big < stack_min <= stack_max < 2^24, so that everybody has a choice"
            )
        if list(self.raises) != sorted(set(self.raises)) or self.raises[:1] != (0,):
            raise BadGame(why="raises must rise and begin with 0, the least one")


class Holdem:
    """`count` tables of a game, dealt and ready."""

    def __init__(self, count: int, game: Game | None = None, *, seed: int = 0) -> None:
        self.game = game or Game()
        self.count, self.players, self.seed = count, self.game.players, seed
        self.actions = RAISES + len(self.game.raises) + 1
        self.tokens_max = tokens.tokens_max(self.players)
        self.lead = tokens.lead(self.players)
        self.vocabulary = tokens.VOCABULARY
        self.outlooks = 2
        self.raises = np.array(self.game.raises, np.int64)
        self.number = np.zeros(count, np.int64)
        self.finished = np.zeros(count, np.bool_)
        self.payoff = np.zeros((count, self.players), np.float32)
        self.records = records(count)
        for field in ("players", "small", "big", "ante"):
            self.records[field] = getattr(self.game, field)
        self._stacks = (self.game.stack_min, self.game.stack_max)
        _deal_all(self.records, self.number, seed, self.game.duplicate, self._stacks)

    def observe(self, tokens: Int16, mask: Bool, actor: Int8) -> None:
        """Fills tokens, legal actions and the seat to act."""
        _tell_all(self.records, self._history, tokens)
        self.legal(mask, actor)

    def legal(self, mask: Bool, actor: Int8) -> None:
        """Fills legal actions and the seat to act, for players who need no tokens."""
        _legal_all(self.records, self.raises, mask, actor)

    def foresee(self, outlook: Float32) -> None:
        """Fills in what whoever is to act wins if nobody bets any more: by the board that will come, and on average."""
        _foresee_all(self.records, records(1), self.number, self.seed, outlook)

    def step(self, action: Int8) -> None:
        """Plays one action at every table; a finished hand is paid out and the next one dealt."""
        wrong = _step_all(
            self.records, self.raises, action, self.number, self.finished, self.payoff,
            self.seed, self.game.duplicate, self.game.equity, self._stacks,
        )  # fmt: skip
        if wrong >= 0:
            raise IllegalAction(action=action[wrong], table=wrong)

    @property
    def _history(self) -> int:
        return tokens.history_max(self.players)


@compiled
def size_of(t: Table, raises: Int64, size: int, least: int) -> int:
    """The bet that a raise of that size comes to, which may be too little or more than there is."""
    if size == 0:
        return least
    return int(t.top + (t.pot + t.top - t.bet[t.actor]) * raises[size] // 100)


@compiled
def amount_of(t: Table, raises: Int64, action: int) -> int:
    """The bet that an action stands for, `FOLD` or `ILLEGAL`; sizes below the least raise or not below all-in are illegal."""
    owed = t.top - t.bet[t.actor]
    if action == FOLDS:
        return FOLD if owed else ILLEGAL
    if action in (CHECKS, CALLS):
        return to_call(t) if (owed > 0) == (action == CALLS) else ILLEGAL
    most = raise_max(t)
    size = action - RAISES
    if not most or size > len(raises) or size < 0:
        return ILLEGAL
    if size == len(raises):
        return most
    least = raise_min(t)
    to = size_of(t, raises, size, least)
    return to if least <= to < most else ILLEGAL


@compiled
def legal_at(t: Table, raises: Int64, mask: Bool) -> None:
    """Which actions are legal; of sizes that come to the same amount, the first."""
    owed = t.top > t.bet[t.actor]
    mask[FOLDS] = mask[CALLS] = owed
    mask[CHECKS] = not owed
    most = raise_max(t)
    mask[RAISES + len(raises)] = most > 0
    least = before = raise_min(t)
    for size in range(len(raises)):
        to = size_of(t, raises, size, least)
        mask[RAISES + size] = least <= to < most and (size == 0 or to > before)
        before = max(to, least)


@compiled
def deal_of(number: int, players: int, duplicate: bool) -> int:
    """Which deal a hand of a table is played with."""
    return number // players if duplicate else number


@compiled
def deal_at(t: Table, seed: int, table: int, number: int, duplicate: bool, stacks: tuple[int, int]) -> None:
    """Deals a hand of a table."""
    players = t.players
    deal = deal_of(number, players, duplicate)
    t.button = number % players
    draw(t.cards, 2 * players + 5, np.uint64(0), key_of(seed, table, deal, CARDS_KEY))
    least, most = stacks
    key = key_of(seed, table, deal, STACKS_KEY)
    for place in range(players):
        t.stack[place] = least if least == most else least + below(key, place, most - least + 1)
    begin(t)


@compiled
def pay_at(t: Table, key: np.uint64, equity: bool, payoff: Float32) -> None:
    """Pays out a hand that is over: what each seat won, in big blinds."""
    paid, won = t.paid.copy(), np.empty(SEATS, np.int64)
    boards = 1
    if equity:
        boards = expect(t, key, won)
    else:
        settle(t, won)
    for place in range(t.players):
        seat = (t.button + 1 + place) % t.players
        payoff[seat] = (won[place] / boards - paid[place]) / t.big


@compiled
def _deal_all(records: Records, number: Int64, seed: int, duplicate: bool, stacks: tuple[int, int]) -> None:
    for at in range(len(records)):
        deal_at(records[at], seed, at, number[at], duplicate, stacks)


@compiled
def _tell_all(records: Records, history: int, rows: Int16) -> None:
    for at in range(len(records)):
        tokens.tell(records[at], history, rows[at])


@compiled
def _legal_all(records: Records, raises: Int64, mask: Bool, actor: Int8) -> None:
    for at in range(len(records)):
        t = records[at]
        legal_at(t, raises, mask[at])
        actor[at] = (t.button + 1 + t.actor) % t.players


@compiled
def _foresee_all(records: Records, scratch: Records, number: Int64, seed: int, outlook: Float32) -> None:
    won = np.empty(SEATS, np.int64)
    for at in range(len(records)):
        place, paid = records[at].actor, records[at].paid[records[at].actor]
        scratch[0] = records[at]
        settle(scratch[0], won)
        outlook[at, 0] = (won[place] - paid) / records[at].big
        scratch[0] = records[at]
        boards = expect(scratch[0], key_of(seed, at, number[at], OUTLOOK_KEY), won, GUESSED, DECK)
        outlook[at, 1] = (won[place] / boards - paid) / records[at].big


@compiled
def _step_all(
    records: Records, raises: Int64, action: Int8, number: Int64, finished: Bool, payoff: Float32,
    seed: int, duplicate: bool, equity: bool, stacks: tuple[int, int],
) -> int:  # fmt: skip
    """One action at every table; the first table whose action is illegal, where nothing is played any more, or -1."""
    for at in range(len(records)):
        t = records[at]
        to = amount_of(t, raises, action[at])
        if to == ILLEGAL:
            return at
        act(t, to)
        finished[at] = t.actor == NOBODY
        payoff[at] = 0
        if finished[at]:
            deal = deal_of(number[at], t.players, duplicate)
            pay_at(t, key_of(seed, at, deal, EQUITY_KEY), equity, payoff[at])
            number[at] += 1
            deal_at(t, seed, at, number[at], duplicate, stacks)
    return -1
