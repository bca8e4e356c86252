"""A hand of hold'em as a game on the bus tells it, and as our own tables know it.

A game tells what the player to act has seen of the hand from its start: the stacks, its cards, the board, and what everybody did.
The hand is played again by our own rules, so that a network sees exactly what it learned from, and a game whose rules are others
is noticed. docs/how-to/let-an-agent-play.md has an example.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
import numpy as np

from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Choice, LegalAction, Whole
from hearthmind.errors import Refused
from services.selfplay import tokens
from services.selfplay.cards import card
from services.selfplay.holdem import CALLS, CHECKS, FOLDS, RAISES, Game, amount_of, legal_at
from services.selfplay.rules import FOLD, NOBODY, SEATS, Table, act, allowed, begin, records, to_call
from services.selfplay.tables import Bool, Int16

Word = Literal["fold", "check", "call", "raise"]
CHIPS_MAX = (1 << 24) - 1
SIZES = np.array(Game().raises, np.int64)
SHOWN = (0, 3, 4, 5)
"""Cards on the board, by street."""
WORDS: dict[int, Word] = {FOLDS: "fold", CHECKS: "check", CALLS: "call"}
RAISE: Final = "raise"
AMOUNT = "amount"

Chips = Annotated[int, msgspec.Meta(ge=0, le=CHIPS_MAX)]
Some = Annotated[int, msgspec.Meta(ge=1, le=CHIPS_MAX)]
CardName = Annotated[str, msgspec.Meta(max_length=2)]


class BadHand(Refused):
    """This is no hand of hold'em in which somebody is to act: {why}. docs/how-to/let-an-agent-play.md says what a game tells."""


class NotOffered(Refused):
    """The game offers nothing that an agent of hold'em knows: {why}. See docs/how-to/let-an-agent-play.md."""


class Move(msgspec.Struct, frozen=True):
    """What somebody did."""

    action: Word
    amount: Chips = 0
    """Of a raise or bet: what the whole bet on this street became."""


class Hand(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an observation. Amounts are chips, and seats count clockwise from the left of the button, which comes last."""

    small_blind: Some
    big_blind: Some
    ante: Chips = 0
    stacks: Annotated[tuple[Some, ...], msgspec.Meta(min_length=2, max_length=SEATS)]
    """Of everybody who was dealt in, before blinds and antes."""
    hole: tuple[CardName, CardName]
    """The cards of who is to act, as in `Ah` and `Td`."""
    board: Annotated[tuple[CardName, ...], msgspec.Meta(max_length=5)] = ()
    actions: Annotated[tuple[Move, ...], msgspec.Meta(max_length=1000)] = ()
    """What everybody did since the blinds, in order, over all streets."""


def read(state: bytes | msgspec.Raw) -> Hand:
    """The hand that a state tells."""
    try:
        hand = msgspec.json.decode(state, type=Hand)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BadHand(why=error) from None
    if hand.small_blind > hand.big_blind:
        raise BadHand(why="its small blind is larger than its big blind")
    return hand


def replayed(hand: Hand) -> Table:
    """The table at which its actor is to act; cards that nobody told are left out."""
    t: Table = records(1)[0]
    t.players, t.small, t.big, t.ante = len(hand.stacks), hand.small_blind, hand.big_blind, hand.ante
    t.stack[: t.players] = hand.stacks
    begin(t)
    for number, move in enumerate(hand.actions, 1):
        if t.actor == NOBODY:
            raise BadHand(why=f"it was over before action {number}")
        to = _amount(move, t)
        if to is None or not allowed(t, to):
            raise BadHand(why=f"action {number}, {move.action} {move.amount or ''}".rstrip() + ", is against the rules")
        act(t, to)
    if t.actor == NOBODY:
        raise BadHand(why=f"it was over after {len(hand.actions)} actions")
    _deal(hand, t)
    return t


def seen(t: Table) -> Int16:
    """What the actor sees, as tokens."""
    row = np.zeros(tokens.tokens_max(t.players), np.int16)
    tokens.tell(t, tokens.history_max(t.players), row)
    return row


def open_to(t: Table, offered: Sequence[LegalAction]) -> Bool:
    """Which actions of a network are legal and offered by the game."""
    mask = np.zeros(RAISES + len(SIZES) + 1, np.bool_)
    legal_at(t, SIZES, mask)
    names = {legal.name for legal in offered}
    for action in np.flatnonzero(mask):
        mask[action] = WORDS.get(int(action), RAISE) in names
    if not mask.any():
        raise NotOffered(why=f"it offers {', '.join(sorted(names)[:8])}")
    return mask


def told(t: Table, action: int, offered: Sequence[LegalAction]) -> Answer:
    """A network's action in the game's words, within the game's bounds."""
    if action in WORDS:
        return Answer(action=WORDS[action])
    (parameters,) = (legal.parameters for legal in offered if legal.name == RAISE)
    bounds = parameters.get(AMOUNT)
    if bounds is None or isinstance(bounds, Choice):
        raise NotOffered(why=f"its {RAISE} has no number called {AMOUNT}")
    amount = int(amount_of(t, SIZES, action))
    return Answer(action=RAISE, arguments={AMOUNT: min(max(amount, bounds.minimum), bounds.maximum)})


def make_ready() -> None:
    """Compiles what plays a hand, before anybody waits for it."""
    offered = (LegalAction(name=RAISE, parameters={AMOUNT: Whole(minimum=0, maximum=CHIPS_MAX)}),)
    hand = Hand(
        small_blind=1, big_blind=2, stacks=(100, 100), hole=("Ah", "Kd"), actions=(Move("call"), Move(RAISE, 8))
    )
    t = replayed(hand)
    seen(t)
    told(t, int(open_to(t, offered).argmax()), offered)


def _amount(move: Move, t: Table) -> int | None:
    """The bet that a move makes; None where there is no such move."""
    owes = t.top > t.bet[t.actor]
    if move.action == RAISE:
        return move.amount if move.amount > t.top else None
    if move.action == "fold":
        return FOLD
    return to_call(t) if owes == (move.action == "call") else None


def _deal(hand: Hand, t: Table) -> None:
    names = (*hand.hole, *hand.board)
    if len(set(names)) < len(names):
        raise BadHand(why=f"a card is there twice: {', '.join(names)}")
    if len(hand.board) != SHOWN[t.street]:
        raise BadHand(why=f"the board has {len(hand.board)} cards where its actions lead to {SHOWN[t.street]}")
    t.cards[2 * t.actor : 2 * t.actor + 2] = [card(name) for name in hand.hole]
    t.cards[2 * t.players : 2 * t.players + len(hand.board)] = [card(name) for name in hand.board]
