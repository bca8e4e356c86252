"""What a player sees, as a short sequence of numbers for a transformer; and back.

    players, place and street | two hole cards | the stacks, one's own first, then clockwise | pot | to call |
    actions before the flop | flop | actions | turn | actions | river | actions

Each part has its own numbers, whatever the size of the table, so that one model can play at any. Suits have no names: situations
that differ only in suits are one sequence (`cards.suit_labels`). Amounts are in big blinds, in steps of 9 %; raises are in
pots, in steps of 19 %. Folds have no token: who is passed over has folded, and the stack says so too. Of a long hand the oldest
actions are left out (`history_max`). docs/explanation/poker-tokens.md has an example, token by token.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from hearthmind.errors import Refused
from services.selfplay.cards import suit_labels
from services.selfplay.compiled import compiled
from services.selfplay.rules import CALLED, CHECKED, HISTORY, RAISED, SEATS, Table
from services.selfplay.tables import Int8, Int16, Int64

STREETS = 4
AMOUNTS = 96  # the last one is 938 big blinds and more
AMOUNT_STEPS = 8  # to the doubling
RAISES = 16  # the last one is 6.2 pots and more
RAISE_STEPS = 4
KINDS = 2 + 2 * RAISES  # check, call, raises, raises all-in

HEAD = 1  # ((players - 2) * SEATS + place) * STREETS + street
HOLE = HEAD + (SEATS - 1) * SEATS * STREETS  # 4 * rank + suit's label
BOARD = HOLE + 52
STACK = BOARD + 52  # an amount, or FOLDED
FOLDED = STACK + AMOUNTS
POT = FOLDED + 1
CALL = POT + AMOUNTS
ACTION = CALL + AMOUNTS  # place, counted from one's own * KINDS + kind
VOCABULARY = ACTION + SEATS * KINDS


def history_max(players: int) -> int:
    """How many of the latest actions are told."""
    return min(4 * players + 12, HISTORY)


def lead(players: int) -> int:
    """How many tokens come before what has happened: 7 for two players, 14 for nine."""
    return 1 + 2 + players + 2


def tokens_max(players: int) -> int:
    """The longest sequence: 32 for two players, 67 for nine."""
    return lead(players) + 5 + history_max(players)


@compiled
def amount_level(big_blinds: float) -> int:
    """The step of an amount: eight to the doubling, finer below one big blind."""
    return min(round(AMOUNT_STEPS * math.log2(1 + 4 * big_blinds)), AMOUNTS - 1)


@compiled
def raise_level(pots: float) -> int:
    """The step of a raise: four to the doubling, finer below half a pot."""
    return min(round(RAISE_STEPS * math.log2(1 + 2 * pots)), RAISES - 1)


@compiled
def kind_of(what: int) -> int:
    """How a remembered action is told."""
    if what < RAISED:
        return what
    per_cent, all_in = divmod(what - RAISED, 2)
    return RAISED + 2 * raise_level(per_cent / 100) + all_in


@compiled
def tell(t: Table, history: int, row: Int16) -> int:
    """Writes what the actor sees and returns how many tokens it is; the rest of the row is padding."""
    me, players = t.actor, t.players
    cards = t.cards[2 * players :]
    hole = t.cards[2 * me : 2 * me + 2]
    seen = 0 if t.street == 0 else t.street + 2
    labels = np.empty(4, np.int64)
    suit_labels(hole, cards, seen, labels)
    row[0] = HEAD + ((players - 2) * SEATS + me) * STREETS + t.street
    _tell_cards(hole, HOLE, labels, row[1:3])
    at = 3
    for after in range(players):
        place = (me + after) % players
        live = t.live >> place & 1
        row[at] = STACK + amount_level(t.stack[place] / t.big) if live else FOLDED
        at += 1
    row[at] = POT + amount_level(t.pot / t.big)
    row[at + 1] = CALL + amount_level(min(t.top - t.bet[me], t.stack[me]) / t.big)
    at += 2
    first = max(0, t.remembered - history)
    for street in range(t.street + 1):
        if street:
            begin, end = (0, 3) if street == 1 else (street + 1, street + 2)
            _tell_cards(cards[begin:end], BOARD, labels, row[at : at + end - begin])
            at += end - begin
        last = t.until[street] if street < t.street else t.remembered
        for each in range(first, last):
            after = t.who[each] - me
            row[at] = ACTION + (after if after >= 0 else after + players) * KINDS + kind_of(t.what[each])
            at += 1
        first = max(first, last)
    row[at:] = 0
    return at


@compiled
def _tell_cards(cards: Int8, begin: int, labels: Int64, row: Int16) -> None:
    """Cards by their suits' labels, the highest first."""
    for at in range(len(cards)):
        told = begin + (cards[at] >> 2 << 2) + labels[cards[at] & 3]
        while at > 0 and row[at - 1] < told:
            row[at] = row[at - 1]
            at -= 1
        row[at] = told


@dataclass(frozen=True)
class Action:
    """What somebody did: `place` is counted clockwise from oneself, `pots` is a raise over what it had to call, in pots."""

    place: int
    kind: str  # check, call, raise
    pots: float = 0.0
    all_in: bool = False


@dataclass(frozen=True)
class Situation:
    """What a sequence of tokens says. Amounts are in big blinds, the middle of their step; suits are labels 0 to 3."""

    players: int
    place: int  # 0 is left of the button
    street: int
    hole: tuple[int, ...]
    board: tuple[int, ...]
    stacks: tuple[float | None, ...]  # one's own first, then clockwise; None has folded
    pot: float
    to_call: float
    actions: tuple[tuple[Action, ...], ...]  # by street


class Unreadable(Refused):
    """These tokens tell no situation: {why}. Give what `observe` wrote, with its padding or without."""


def read(tokens: Iterable[int]) -> Situation:
    """The situation that a sequence tells, up to the steps of amounts and the names of suits."""
    left = iter([int(token) for token in tokens if token])
    try:
        head, street = divmod(_number(left, HEAD, HOLE), STREETS)
        players, place = divmod(head, SEATS)
        hole = (_number(left, HOLE, BOARD), _number(left, HOLE, BOARD))
        stacks = tuple(_stack(_number(left, STACK, POT)) for _ in range(players + 2))
        pot, to_call = _amount(_number(left, POT, CALL)), _amount(_number(left, CALL, ACTION))
    except StopIteration:
        raise Unreadable(why="they end too early") from None
    board: list[int] = []
    actions: list[list[Action]] = [[]]
    for token in left:
        if token >= ACTION:
            actions[-1].append(_action(token - ACTION))
            continue
        if len(board) in (0, 3, 4):
            actions.append([])
        board.append(_number(iter([token]), BOARD, STACK))
    if len(board) != (0, 3, 4, 5)[street]:
        raise Unreadable(why=f"the board has {len(board)} cards on street {street}")
    by_street = tuple(tuple(each) for each in actions)
    return Situation(players + 2, place, street, hole, tuple(board), stacks, pot, to_call, by_street)


def write(situation: Situation) -> list[int]:
    """The sequence that tells a situation; `write(read(tokens))` is the tokens again."""
    head = ((situation.players - 2) * SEATS + situation.place) * STREETS + situation.street
    tokens = [HEAD + head, *(HOLE + card for card in situation.hole)]
    tokens += [FOLDED if stack is None else STACK + amount_level(stack) for stack in situation.stacks]
    tokens += [POT + amount_level(situation.pot), CALL + amount_level(situation.to_call)]
    shown = (0, 0, 3, 4, 5)
    for street, actions in enumerate(situation.actions):
        tokens += [BOARD + card for card in situation.board[shown[street] : shown[street + 1]]]
        tokens += [ACTION + action.place * KINDS + _kind(action) for action in actions]
    return tokens


def _number(left: Iterator[int], begin: int, end: int) -> int:
    token = next(left)
    if not begin <= token < end:
        raise Unreadable(why=f"{token} stands where {begin} to {end - 1} are known")
    return token - begin


def _amount(level: int) -> float:
    return (2 ** (level / AMOUNT_STEPS) - 1) / 4


def _stack(level: int) -> float | None:
    return None if level == AMOUNTS else _amount(level)


def _action(number: int) -> Action:
    place, kind = divmod(number, KINDS)
    if kind < RAISED:
        return Action(place, "check" if kind == CHECKED else "call")
    level, all_in = divmod(kind - RAISED, 2)
    return Action(place, "raise", (2 ** (level / RAISE_STEPS) - 1) / 2, bool(all_in))


def _kind(action: Action) -> int:
    if action.kind == "raise":
        return RAISED + 2 * raise_level(action.pots) + action.all_in
    return CHECKED if action.kind == "check" else CALLED
