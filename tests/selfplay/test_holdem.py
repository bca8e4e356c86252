"""Hold'em is played by its rules: as pokerkit plays it, without a chip lost, the same hands from the same seed."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="the tables of hold'em need numba")
pytest.importorskip("phevaluator", reason="hands are compared with phevaluator's")
pytest.importorskip("pokerkit", reason="hands are compared with pokerkit's")

from phevaluator import evaluate_cards

from services.selfplay.cards import DECK, NoSuchCard, card, name
from services.selfplay.holdem import CALLS, CHECKS, FOLDS, RAISES, BadGame, Game, Holdem, IllegalAction
from services.selfplay.pots import settle
from services.selfplay.rules import FOLD, NOBODY, SEATS, Table, act, begin, raise_max, raise_min, records

from .playing import Seen, cards_of, random_play
from .replays import Tally, opened, replay, same_choice, theirs_act

SIZES = range(2, SEATS + 1)
REPLAYS = 100


def table(stacks: list[int], *, cards: str = "", small: int = 1, big: int = 2, ante: int = 0) -> Table:
    """A hand that has begun; cards are two for each place, then the board."""
    t: Table = records(1)[0]
    t.players, t.small, t.big, t.ante = len(stacks), small, big, ante
    t.stack[: len(stacks)] = stacks
    numbers = cards_of(cards)
    t.cards[: len(numbers)] = numbers
    begin(t)
    return t


def all_in_or_fold(tables: Holdem, seen: Seen) -> None:
    """Everybody goes all-in where they can."""
    seen.look()
    last = tables.actions - 1
    action = np.where(seen.mask[:, last], last, np.where(seen.mask[:, CALLS], CALLS, CHECKS))
    tables.step(action.astype(np.int8))


@pytest.mark.parametrize("players", SIZES)
def test_a_hand_is_what_pokerkit_makes_of_it(players: int) -> None:
    tally = Tally()
    for number in range(REPLAYS):
        replay(7, players, number, tally)
    assert tally.hands == REPLAYS
    assert tally.split > 0
    assert tally.side_pots > 0 or players == 2


@pytest.mark.parametrize("players", SIZES)
def test_nobody_loses_what_nobody_wins(players: int) -> None:
    tables = Holdem(64, Game(players=players, ante=10, stack_min=150, stack_max=30_000), seed=1)
    chips = tables.records.stack.sum(1) + tables.records.pot
    ended = 0
    for _ in random_play(tables, 200):
        goes_on = ~tables.finished
        before, chips = chips, tables.records.stack.sum(1) + tables.records.pot
        assert np.array_equal(chips[goes_on], before[goes_on])
        assert np.abs(tables.payoff.sum(1)).max() < 1e-3
        assert not tables.payoff[goes_on].any()
        ended += int(np.count_nonzero(tables.finished))
    assert ended > 64


@pytest.mark.parametrize("players", SIZES)
def test_everybody_acts_in_turn(players: int) -> None:
    tables = Holdem(64, Game(players=players, stack_min=150, stack_max=30_000), seed=2)
    asked = np.zeros((64, players), np.int64)  # since the last raise or the last street
    street = np.zeros(64, np.int8)
    for seen, action in random_play(tables, 200):
        t = tables.records
        asked[tables.finished | (street != t.street)] = 0
        street = t.street.copy()
        everyone = np.arange(64)
        assert (t.live >> t.actor & 1).all()
        assert (t.stack[everyone, t.actor] > 0).all()
        assert np.array_equal(seen.actor, (t.button + 1 + t.actor) % players)
        assert (asked[everyone, seen.actor] == 0).all()
        asked[action >= RAISES] = 0
        asked[everyone, seen.actor] = 1


@pytest.mark.parametrize("players", SIZES)
def test_legal_actions_are_different_from_each_other(players: int) -> None:
    tables = Holdem(16, Game(players=players, stack_min=150, stack_max=30_000), seed=3)
    for seen, _ in random_play(tables, 60):
        mask = seen.mask
        assert mask.any(1).all()
        assert (mask[:, FOLDS] == mask[:, CALLS]).all()
        assert (mask[:, CHECKS] != mask[:, CALLS]).all()
        for at in np.flatnonzero(mask[:, RAISES:].any(1)):
            before = tables.records[at : at + 1].copy()
            bets = set()
            for action in np.flatnonzero(mask[at, RAISES:]) + RAISES:
                alone = Holdem(1, tables.game)
                alone.records[:] = before
                place = alone.records[0].actor
                most, least = raise_max(alone.records[0]), raise_min(alone.records[0])
                paid = alone.records[0].paid[place] - alone.records[0].bet[place]
                alone.step(np.array([action], np.int8))
                if not alone.finished[0]:
                    bets.add(int(alone.records[0].paid[place] - paid))
                    assert least <= max(bets) <= most
                else:
                    bets.add(-int(action))
            assert len(bets) == np.count_nonzero(mask[at, RAISES:])


def test_an_illegal_action_is_refused_by_name() -> None:
    tables = Holdem(3, seed=1)
    with pytest.raises(IllegalAction, match="Action 1 is not legal at table 0"):
        tables.step(np.full(3, CHECKS, np.int8))
    for wrong in (-1, tables.actions):
        with pytest.raises(IllegalAction):
            tables.step(np.full(3, wrong, np.int8))


@pytest.mark.parametrize(
    "wrong",
    [
        {"players": 1}, {"players": 10}, {"small": 0}, {"small": 200}, {"ante": -1}, {"stack_min": 100},
        {"stack_min": 20_000}, {"raises": (50, 33)}, {"raises": (33,)}, {"raises": ()},
    ],
)  # fmt: skip
def test_a_game_that_is_none_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(BadGame):
        Game(**wrong)  # type: ignore[arg-type]


def test_cards_have_names() -> None:
    assert [card(name(number)) for number in range(52)] == list(range(52))
    for wrong in ("", "A", "1h", "Ax", "Ah "):
        with pytest.raises(NoSuchCard):
            card(wrong)


@pytest.mark.parametrize("players", SIZES)
def test_all_cards_are_dealt_equally_often_and_none_twice(players: int) -> None:
    hands = 4000
    dealt = Holdem(hands, Game(players=players), seed=3).records.cards[:, : 2 * players + 5]
    assert all(len(set(cards)) == len(cards) for cards in dealt.tolist())
    for place in range(2 * players + 5):
        off = np.bincount(dealt[:, place], minlength=DECK) - hands / DECK
        assert (off**2).sum() / (hands / DECK) < 110, "chi-square of 51 degrees of freedom: one in a million"


def test_the_same_seed_deals_the_same_hands_whatever_is_played() -> None:
    def deals(count: int, seed: int, play: int) -> dict[tuple[int, int], bytes]:
        tables = Holdem(count, Game(players=3, stack_min=1000, stack_max=9000), seed=seed)
        found = {}
        for _ in random_play(tables, 60, play):
            for at in range(4):
                t = tables.records[at]
                found[at, int(tables.number[at])] = t.cards.tobytes() + (t.stack + t.paid).tobytes()
        return found

    one, other, another = deals(4, 5, play=1), deals(9, 5, play=2), deals(4, 6, play=1)
    both = one.keys() & other.keys()
    assert len(both) > 20
    assert all(one[hand] == other[hand] for hand in both)
    assert all(one[hand] != another[hand] for hand in one.keys() & another.keys())
    assert len(set(one.values())) == len(one)


def test_the_same_actions_are_played_out_the_same() -> None:
    one, other = (Holdem(16, Game(players=4, equity=True), seed=8) for _ in range(2))
    for (_, action), (_, same) in zip(random_play(one, 100), random_play(other, 100), strict=True):
        assert np.array_equal(action, same)
        assert np.array_equal(one.payoff, other.payoff)
    assert one.records.tobytes() == other.records.tobytes()


def test_the_button_moves_and_begins_before_the_flop_only_with_two_players() -> None:
    tables = Holdem(1, seed=4)
    seen = Seen(tables)
    for number in range(4):
        seen.look()
        assert tables.number[0] == number
        assert tables.records[0].button == seen.actor[0] == number % 2
        assert tables.records[0].bet[:2].tolist() == [100, 50]
        tables.step(np.array([CALLS], np.int8))
        tables.step(np.array([CHECKS], np.int8))
        seen.look()
        assert tables.records[0].street == 1
        assert seen.actor[0] != number % 2
        tables.step(np.array([RAISES], np.int8))
        tables.step(np.array([FOLDS], np.int8))


@pytest.mark.parametrize("players", SIZES)
def test_with_duplicate_deals_each_seat_gets_each_place_once(players: int) -> None:
    tables = Holdem(8, Game(players=players, duplicate=True, stack_min=2000, stack_max=9000), seed=5)
    won, dealt = np.zeros((8, players)), set()
    seen = Seen(tables)
    while tables.number.min() < players:
        t = tables.records
        first = np.flatnonzero(tables.number < players)
        dealt |= {
            (int(at), int(t[at].button), t[at].cards.tobytes(), (t[at].stack + t[at].paid).tobytes()) for at in first
        }
        seen.look()
        tables.step(np.where(seen.mask[:, CALLS], CALLS, CHECKS).astype(np.int8))
        ended = tables.finished & (tables.number <= players)
        won[ended] += tables.payoff[ended]
    assert {(at, button) for at, button, *_ in dealt} == {(at, button) for at in range(8) for button in range(players)}
    assert len(dealt) == 8 * players, "a hand's cards or stacks changed"
    assert len({(at, cards, stacks) for at, _, cards, stacks in dealt}) == 8
    assert np.abs(won).max() < 1e-3, "who always does the same wins nothing over a deal"


def test_without_it_they_do_not() -> None:
    tables = Holdem(1, Game(players=2), seed=5)
    before = tables.records[0].cards.copy()
    tables.step(np.array([FOLDS], np.int8))
    assert not np.array_equal(before, tables.records[0].cards)


def test_a_short_all_in_does_not_let_those_raise_again_who_acted() -> None:
    t = table([100, 100, 100, 100])
    act(t, 10)  # the full raise is 8
    act(t, 10)
    t.stack[0] = 14  # the small blind has 15 altogether
    act(t, 15)
    assert raise_max(t) == 100  # the big blind has not acted
    assert raise_min(t) == 23
    act(t, 15)
    assert raise_max(t) == 0  # who raised to 10 may only call
    act(t, 15)
    assert raise_max(t) == 0
    act(t, 15)
    assert t.street == 1


def test_short_all_ins_together_may_make_a_full_raise() -> None:
    t = table([100, 100, 100, 100])
    act(t, 10)
    t.stack[3], t.stack[0] = 14, 18  # all-in to 14, and to 19
    act(t, 14)
    act(t, 19)
    act(t, 19)
    assert raise_max(t) == 100
    assert raise_min(t) == 27


@pytest.mark.parametrize(
    "stacks, bets, may_raise",
    [
        # three short all-ins made a full raise, but not over 16; who raised to 12 was asked before
        ([23, 100, 100, 16, 100, 20], (12, 16, 16, 20, 23, 23, 23), False),
        ([23, 100, 100, 16, 100, 20], (12, 16, 16, 20, 23, 23), True),
        # once they have made one, the next begins anew: another house would let the raiser, who faces 15, raise again
        ([27, 100, 100, 16, 20, 23], (12, 16, 20, 23, 27, 27), False),
    ],
)
def test_who_may_raise_again_is_as_pokerkit_has_it(stacks: list[int], bets: tuple[int, ...], may_raise: bool) -> None:
    t: Table = records(1)[0]
    t.players, t.small, t.big = 6, 1, 2
    t.stack[:6] = stacks
    t.cards[:17] = range(17)
    theirs, tally = opened(t), Tally()
    begin(t)
    for to in bets:
        same_choice(t, theirs, tally)
        act(t, to)
        theirs_act(theirs, to)
    same_choice(t, theirs, tally)
    assert t.acted >> t.actor & 1
    assert (raise_max(t) > 0) == may_raise


def test_the_odd_chip_goes_left_of_the_button() -> None:
    t = table([20, 20, 20], cards="2s 3s Ah Kd Ad Kh Qc Jc 9d 5h 4h")
    for to in (5, FOLD, 5, 0, 0, 0, 0, 0, 0):
        act(t, to)
    assert t.actor == NOBODY
    won = np.zeros(SEATS, np.int64)
    settle(t, won)
    assert won[:3].tolist() == [0, 6, 5]


def chances(hands: list[list[int]], board: list[int]) -> list[float]:
    """Each hand's share of the pot over all boards that can come, by phevaluator."""
    known = {each for hand in hands for each in hand} | set(board)
    shares, boards = [0.0] * len(hands), 0
    for rest in combinations([each for each in range(52) if each not in known], 5 - len(board)):
        ranks = [evaluate_cards(*hand, *board, *rest) for hand in hands]
        winners = [at for at, rank in enumerate(ranks) if rank == min(ranks)]
        for at in winners:
            shares[at] += 1 / len(winners)
        boards += 1
    return [share / boards for share in shares]


@pytest.mark.parametrize("street", [1, 2])
def test_an_all_in_is_paid_by_its_chances(street: int) -> None:
    tables = Holdem(1, Game(equity=True), seed=9)
    t = tables.records[0]
    cards = cards_of("Ah Ad Jh Th 9h 8c 2h 3s 4d")
    t.cards[:9] = cards
    seen = Seen(tables)
    tables.step(np.array([CALLS], np.int8))
    for _ in range(2 * street - 1):
        tables.step(np.array([CHECKS], np.int8))
    assert t.street == street
    all_in_or_fold(tables, seen)
    all_in_or_fold(tables, seen)
    assert tables.finished[0]
    expected = chances([cards[:2], cards[2:4]], cards[4 : 4 + 2 + street])
    # place 0 is seat 1 in the first hand, whose button is seat 0
    assert tables.payoff[0] == pytest.approx([200 * expected[1] - 100, 200 * expected[0] - 100], abs=0.02)


def test_an_all_in_before_the_flop_is_paid_near_its_chances() -> None:
    tables = Holdem(1, Game(equity=True), seed=9)
    tables.records[0].cards[:9] = cards_of("Ah Ad Ks Kc 9h 8c Kh 3s 4d")
    seen = Seen(tables)
    all_in_or_fold(tables, seen)
    all_in_or_fold(tables, seen)
    assert tables.finished[0]
    assert tables.payoff[0].sum() == pytest.approx(0, abs=1e-3)
    assert tables.payoff[0, 1] == pytest.approx(200 * 0.82 - 100, abs=14), (
        "aces win 82 %; within three errors of 400 boards"
    )


def test_luck_decides_where_equity_does_not() -> None:
    tables = Holdem(1, Game(), seed=9)
    tables.records[0].cards[:9] = cards_of("Ah Ad Ks Kc 9h 8c Kh 3s 4d")
    seen = Seen(tables)
    all_in_or_fold(tables, seen)
    all_in_or_fold(tables, seen)
    assert tables.payoff[0].tolist() == [100, -100]


@given(st.integers(2, SEATS), st.integers(0, 2**31), st.booleans())
def test_equity_takes_nothing_from_the_table(players: int, seed: int, deep: bool) -> None:
    stack_max = 30_000 if deep else 400
    tables = Holdem(4, Game(players=players, stack_min=150, stack_max=stack_max, equity=True), seed=seed)
    for _ in random_play(tables, 30, seed):
        assert np.abs(tables.payoff.sum(1)).max() < 1e-3


def foreseen(tables: Holdem) -> np.ndarray:
    outlook = np.zeros((tables.count, tables.outlooks), np.float32)
    tables.foresee(outlook)
    return outlook


@given(st.integers(2, SEATS), st.integers(0, 2**31), st.booleans())
def test_what_is_foreseen_is_what_checking_to_the_end_brings(players: int, seed: int, deep: bool) -> None:
    stacks = (30_000, 30_000) if deep else (150, 400)
    tables = Holdem(8, Game(players=players, stack_min=stacks[0], stack_max=stacks[1]), seed=seed)
    for _ in random_play(tables, seed % 9 + players, seed):
        pass
    before = tables.records.copy()
    outlook = foreseen(tables)
    assert np.array_equal(tables.records, before)

    t, number = tables.records, tables.number.copy()
    seat = (t.button + 1 + t.actor) % players
    nobody_owes = np.array([all(row.bet[p] == row.top for p in range(players) if row.live >> p & 1) for row in t])
    river = t.street == 3
    assert outlook[river, 0] == pytest.approx(outlook[river, 1], abs=1e-4)
    brought = np.full(8, np.nan, np.float32)
    seen = Seen(tables)
    for _ in range(8 * players):
        seen.look()
        tables.step(np.where(seen.mask[:, CHECKS], CHECKS, CALLS).astype(np.int8))
        ended = tables.finished & (tables.number == number + 1)
        brought[ended] = tables.payoff[ended, seat[ended]]
    assert outlook[nobody_owes, 0] == pytest.approx(brought[nobody_owes], abs=1e-4)


def test_the_guess_on_average_is_the_mean_over_what_may_come() -> None:
    tables = Holdem(4_000, Game(players=3), seed=4)
    for _ in random_play(tables, 6, 4):
        pass
    flop = tables.records.street > 0
    outlook = foreseen(tables)[flop]
    assert outlook[:, 1].mean() == pytest.approx(outlook[:, 0].mean(), abs=0.3)
    assert 0.5 * outlook[:, 0].std() < outlook[:, 1].std() < outlook[:, 0].std()
