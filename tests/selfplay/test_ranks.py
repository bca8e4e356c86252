"""Seven cards are worth what phevaluator says, in each category and however they are dealt."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="the tables of hold'em need numba")
pytest.importorskip("phevaluator", reason="hands are compared with phevaluator's")

from phevaluator import evaluate_cards

from services.selfplay.cards import DECK, card
from services.selfplay.ranks import CATEGORIES, best, category

HANDS = 3000


def worth(cards: str) -> int:
    return best(np.array([card(each) for each in cards.split()], np.int8))


@pytest.mark.parametrize("among", [DECK, 28, 20])
def test_hands_are_in_the_order_of_another_evaluator(among: int) -> None:
    dice = Random(among)
    decks = [dice.sample(range(DECK), among) for _ in range(HANDS)]
    hands = [dice.sample(deck, 7) for deck in decks]
    ours = np.array([best(np.array(hand, np.int8)) for hand in hands])
    theirs = np.array([-evaluate_cards(*hand) for hand in hands])
    in_order = np.argsort(ours)
    assert np.array_equal(np.sign(np.diff(ours[in_order])), np.sign(np.diff(theirs[in_order])))


@pytest.mark.parametrize("wanted", CATEGORIES)
def test_each_category_is_told_like_another_evaluator(wanted: str) -> None:
    """Their numbers begin at the best hand; these are the last ones of each category."""
    last = dict(zip(reversed(CATEGORIES), (10, 166, 322, 1599, 1609, 2467, 3325, 6185, 7462), strict=True))
    dice, found = Random(wanted), 0
    while found < 20:
        hand = drawn_for(wanted, dice)
        ours = category(best(np.array(hand, np.int8)))
        theirs = next(name for name, worst in last.items() if evaluate_cards(*hand) <= worst)
        assert ours == theirs
        found += ours == wanted


def drawn_for(wanted: str, dice: Random) -> list[int]:
    """Seven cards, of few suits or few ranks where it would take too long otherwise."""
    deck = list(range(DECK))
    if "flush" in wanted:
        suit = dice.randrange(4)
        deck = [each for each in deck if each & 3 == suit or each < 8]
    elif wanted in ("four of a kind", "full house"):
        ranks = dice.sample(range(13), 4)
        deck = [each for each in deck if each >> 2 in ranks]
    return dice.sample(deck, 7)


@given(st.permutations(range(DECK)), st.permutations(range(7)), st.permutations(range(4)))
def test_neither_the_order_of_cards_nor_the_names_of_suits_matter(
    deck: list[int], order: list[int], suits: list[int]
) -> None:
    hand = np.array(deck[:7], np.int8)
    renamed = np.array([each >> 2 << 2 | suits[each & 3] for each in deck[:7]], np.int8)
    assert best(hand) == best(hand[order]) == best(renamed)


@pytest.mark.parametrize(
    "better, worse",
    [
        ("Ah Kh Qh Jh Th 2c 2d", "Kh Qh Jh Th 9h Ac Ad"),
        ("6h 5h 4h 3h 2h 2c 2d", "Ah 5h 4h 3h 2h Ac Ad"),
        ("2h 3h 4h 5h 7h 6c 6d", "9h 8c 7d 6s 5h 5c 2d"),
        ("Ac Ad Ah 2c 2d 2h 9s", "Kc Kd Kh Qc Qd Qh 9s"),
        ("6c 5d 4h 3s 2c 2d 2h", "Ac 5d 4h 3s 2c 2d 2h"),
        ("Ac Ad Kc Kd 3h 3d Qs", "Ac Ad Kc Kd 3h 3d Js"),
        ("Ac Ad 9c 8d 7h 3d 2s", "Ac Ad 9c 8d 6h 3d 2s"),
        ("Ac Jd 9c 8d 7h 3d 2s", "Ac Jd 9c 8d 6h 3d 2s"),
    ],
)
def test_the_better_hand_is_worth_more(better: str, worse: str) -> None:
    assert worth(better) > worth(worse)


@pytest.mark.parametrize(
    "one, other",
    [
        ("Ac Kd Qh Js Tc 2d 2h", "Ac Kd Qh Js Tc 3d 3h"),
        ("Ac Ad Kc Kd Qh 3d 3s", "Ac Ad Kc Kd Qh 2d 4s"),
        ("Ac Jd 9c 8d 7h 3d 2s", "Ac Jd 9c 8d 7h 4d 2s"),
    ],
)
def test_cards_beyond_the_best_five_are_worth_nothing(one: str, other: str) -> None:
    assert worth(one) == worth(other)
