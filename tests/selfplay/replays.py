"""Random hands played here and by pokerkit, with the same cards and actions: at each decision the same player may do the same.

    python -m tests.selfplay.replays [--hands 20000] [--players 2 3 4 5 6 7 8 9] [--seed 1]

A hand is drawn from (seed, players, number), so that one that fails can be looked at alone. Stacks, blinds and antes are drawn
too, often tiny, and half of the hands are dealt from the high cards only, where pots are split.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from functools import lru_cache
from random import Random

import numpy as np
from pokerkit import Automation, Card, CardsLike, ChipsPushing, Hand, NoLimitTexasHoldem, StandardHighHand, State

from services.selfplay.cards import DECK, name
from services.selfplay.holdem import size_of
from services.selfplay.pots import rank_all, settle, side_pots, winning
from services.selfplay.ranks import hand_of
from services.selfplay.rules import (
    FOLD,
    NOBODY,
    SEATS,
    Table,
    act,
    allowed,
    begin,
    raise_max,
    raise_min,
    records,
    to_call,
)

A_POT = np.array([0, 100])
AUTOMATIC = (
    Automation.ANTE_POSTING,
    Automation.BET_COLLECTION,
    Automation.BLIND_OR_STRADDLE_POSTING,
    Automation.HOLE_CARDS_SHOWING_OR_MUCKING,
    Automation.HAND_KILLING,
    Automation.CHIPS_PUSHING,
    Automation.CHIPS_PULLING,
)


class RankedOnce(StandardHighHand):
    """pokerkit's hand, which it ranks again at each look: most of the time of a replay. Here the same cards are ranked once."""

    @classmethod
    def from_game(cls, raw_hole_cards: CardsLike, raw_board_cards: CardsLike = ()) -> Hand:
        """The best hand of these cards."""
        return _ranked(Card.clean(raw_hole_cards), Card.clean(raw_board_cards))


@lru_cache(maxsize=64)
def _ranked(hole: tuple[Card, ...], board: tuple[Card, ...]) -> Hand:
    return StandardHighHand.from_game(hole, board)


@dataclass
class Tally:
    """What the replays have come across."""

    hands: int = 0
    decisions: int = 0
    side_pots: int = 0  # hands with more than one pot at the end
    split: int = 0  # hands with a pot that is split
    forced: int = 0  # checks that pokerkit asks for though nothing else is legal; here nobody is asked
    short: int = 0  # decisions where a raise is not legal though the chips are there


def replay(seed: int, players: int, number: int, tally: Tally) -> None:
    """One hand; an assertion fails at the first difference."""
    dice = Random(f"{seed} {players} {number}")
    t = drawn(dice, players)
    theirs = opened(t)
    begin(t)
    while t.actor != NOBODY:
        same_choice(t, theirs, tally)
        to = chosen(dice, t)
        same_bounds(t, theirs)
        assert allowed(t, to)
        act(t, to)
        theirs_act(theirs, to)
        deal_board(t, theirs)
        tally.decisions += 1
    while theirs.actor_index is not None:
        assert theirs.checking_or_calling_amount == 0
        assert not theirs.can_fold()
        assert not theirs.can_complete_bet_or_raise_to()
        theirs.check_or_call()
        deal_board(t, theirs)
        tally.forced += 1
    deal_board(t, theirs)
    assert not theirs.status
    same_pay(t, theirs, tally)
    tally.hands += 1


def drawn(dice: Random, players: int) -> Table:
    """A table before its hand."""
    t: Table = records(1)[0]
    t.players = players
    t.big = dice.choice((2, 3, 10, 100))
    t.small = dice.randint(1, t.big - 1)  # where they are equal, pokerkit has the wrong one of two players begin
    t.ante = dice.choice((0, 0, 1, t.big // 2, t.big))
    deepest = dice.choice((2, 10, 100, 300)) * t.big
    for place in range(players):
        t.stack[place] = dice.randint(1, deepest)
    high_from = dice.choice((0, (DECK - 2 * players - 5) // 4 * 4))
    t.cards[: 2 * players + 5] = dice.sample(range(high_from, DECK), 2 * players + 5)
    return t


def opened(t: Table) -> State:
    """The same table of pokerkit's, with its hole cards."""
    stacks = [int(stack) for stack in t.stack[: t.players]]
    blinds = (int(t.small), int(t.big))
    state = NoLimitTexasHoldem.create_state(AUTOMATIC, True, int(t.ante), blinds, int(t.big), stacks, int(t.players))
    state.hand_types = (RankedOnce,)
    for _ in range(2 * t.players):
        place = state.hole_dealee_index
        assert place is not None
        at = 2 * place + len(state.hole_cards[place])
        state.deal_hole(name(int(t.cards[at])))
    deal_board(t, state)
    return state


def deal_board(t: Table, state: State) -> None:
    """Deals what pokerkit waits for."""
    while state.can_burn_card() or state.can_deal_board():
        if state.can_burn_card():
            state.burn_card("??")
        else:
            at = 2 * t.players + sum(len(cards) for cards in state.board_cards)
            count = state.board_dealing_count
            assert count is not None
            state.deal_board("".join(name(int(card)) for card in t.cards[at : at + count]))


def same_choice(t: Table, state: State, tally: Tally) -> None:
    """The same player may do the same for the same amounts."""
    assert t.actor == state.actor_index
    assert t.stack[: t.players].tolist() == state.stacks
    assert t.bet[: t.players].tolist() == state.bets
    assert t.pot == state.total_pot_amount
    assert (t.top > t.bet[t.actor]) == state.can_fold()
    assert to_call(t) - t.bet[t.actor] == state.checking_or_calling_amount
    assert (raise_max(t) or None) == state.max_completion_betting_or_raising_to_amount
    if raise_max(t):
        least = raise_min(t)
        assert least == state.min_completion_betting_or_raising_to_amount
        a_pot = size_of(t, A_POT, 1, least)
        assert max(least, min(raise_max(t), a_pot)) == state.pot_completion_betting_or_raising_to_amount
    elif t.stack[t.actor] > t.top - t.bet[t.actor]:
        tally.short += 1


def same_bounds(t: Table, state: State) -> None:
    """What is a chip too much or too little is allowed by neither."""
    bets = {t.top - 1, to_call(t) + 1, raise_min(t) - 1, raise_max(t) + 1, t.bet[t.actor] + t.stack[t.actor] + 1}
    for to in {int(bet) for bet in bets if bet >= 0} - {int(to_call(t))}:
        theirs = to > t.top and state.can_complete_bet_or_raise_to(to)
        assert allowed(t, to) == theirs
    assert allowed(t, FOLD) == state.can_fold()


def chosen(dice: Random, t: Table) -> int:
    """A legal action: any amount, but often the least and the most."""
    owed = t.top > t.bet[t.actor]
    if owed and dice.random() < 0.15:
        return FOLD
    most = raise_max(t)
    if not most or dice.random() < 0.45:
        return int(to_call(t))
    least = raise_min(t)
    return dice.choice((least, most, dice.randint(least, most), dice.randint(least, min(most, 2 * least))))


def theirs_act(state: State, to: int) -> None:
    """The same action there."""
    assert state.actor_index is not None
    if to == FOLD:
        state.fold()
    elif to > max(state.bets):
        state.complete_bet_or_raise_to(to)
    else:
        state.check_or_call()


def same_pay(t: Table, state: State, tally: Tally) -> None:
    """Everybody ends with the same chips, from the same pots."""
    won = np.zeros(SEATS, np.int64)
    settle(t, won)
    assert (t.stack + won)[: t.players].tolist() == state.stacks
    if t.live & (t.live - 1) == 0:
        return
    pushed = [each for each in state.operations if isinstance(each, ChipsPushing)]
    strengths, levels, amounts = (np.zeros(SEATS, np.int64) for _ in range(3))
    rank_all(t, board_of(t), strengths)
    count = side_pots(t, winning(t, strengths), levels, amounts)
    assert amounts[:count].tolist() == [sum(each.amounts) for each in pushed]
    tally.side_pots += count > 1
    tally.split += any(sum(amount > 0 for amount in each.amounts) > 1 for each in pushed)


def board_of(t: Table) -> np.uint64:
    """The board's hand."""
    return hand_of(t.cards[2 * t.players : 2 * t.players + 5])


def main() -> None:
    """All sizes of tables, with a line of what was met each thousand hands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hands", type=int, default=20_000)
    parser.add_argument("--players", type=int, nargs="+", default=list(range(2, SEATS + 1)))
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    for players in asked.players:
        tally, begun_s = Tally(), time.monotonic()
        for number in range(asked.hands):
            try:
                replay(asked.seed, players, number, tally)
            except Exception as wrong:
                wrong.add_note(f"seed {asked.seed}, players {players}, number {number}")
                raise
            if (number + 1) % 1000 == 0 or number + 1 == asked.hands:
                print(f"{players} players, {time.monotonic() - begun_s:.0f} s: {tally}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
