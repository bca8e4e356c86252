"""The scripted opponents, and how a match is measured."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="self-play needs torch")
pytest.importorskip("numba", reason="the tables of hold'em need numba")

from services.selfplay.cards import card
from services.selfplay.evaluate import match
from services.selfplay.games import Game
from services.selfplay.holdem import CALLS, CHECKS, FOLDS, RAISES, Holdem
from services.selfplay.opponents import SCRIPTED, Random, certain, points_of
from services.selfplay.players import Player, draw

HEADS_UP = Game("holdem", 2, 100, 10, SCRIPTED)


def asked(player: Player, tables: Holdem, legal: np.ndarray) -> np.ndarray:
    rows = np.arange(tables.count)
    weighed, _ = player.weigh(tables, rows, np.zeros((tables.count, 1), np.int16), legal)
    return weighed


@pytest.mark.parametrize("name", SCRIPTED)
def test_what_they_do_is_legal(name: str) -> None:
    tables, dice = Holdem(64, seed=3), np.random.default_rng(3)
    legal, actor = np.zeros((64, tables.actions), np.bool_), np.zeros(64, np.int8)
    for _ in range(40):
        tables.legal(legal, actor)
        weighed = asked(SCRIPTED[name], tables, legal)
        assert np.exp(weighed).sum(1) == pytest.approx(1, abs=1e-5)
        assert np.exp(weighed)[~legal].max() == 0
        chosen = draw(weighed, dice)
        assert legal[np.arange(64), chosen].all()
        mixed = draw(asked(Random(), tables, legal), dice)
        tables.step(np.where(dice.random(64) < 0.5, chosen, mixed).astype(np.int8))


def test_always_call_never_bets_and_never_folds() -> None:
    legal = np.array([[True, False, True, *[True] * 7], [False, True, False, *[True] * 7]])
    weighed, _ = SCRIPTED["always_call"].weigh(Holdem(2), np.arange(2), np.zeros((2, 1), np.int16), legal)
    assert weighed.argmax(1).tolist() == [CALLS, CHECKS]


@pytest.mark.parametrize(
    ("cards", "points"), [("AhAs", 20), ("2c2d", 5), ("AhKh", 12), ("JsTs", 9), ("7h2c", -1.5), ("AhKs", 10)]
)
def test_hole_cards_have_points(cards: str, points: float) -> None:
    assert points_of(card(cards[:2]), card(cards[2:])) == points


@pytest.mark.parametrize("name", ["tight_aggressive", "equity"])
def test_aces_are_raised_and_rags_are_not(name: str) -> None:
    tables = Holdem(2, seed=1)
    for row, hole in enumerate(("AhAs", "7h2c")):
        t = tables.records[row]
        at = 2 * int(t["actor"])
        used = {card(hole[:2]), card(hole[2:])}
        rest = [number for number in range(52) if number not in used]
        t["cards"][:] = rest[: len(t["cards"])]
        t["cards"][at : at + 2] = [card(hole[:2]), card(hole[2:])]
    legal, actor = np.zeros((2, tables.actions), np.bool_), np.zeros(2, np.int8)
    tables.legal(legal, actor)
    aces, rags = asked(SCRIPTED[name], tables, legal).argmax(1)
    assert aces >= RAISES
    assert rags in (FOLDS, CALLS)


def test_a_match_of_equals_is_drawn_to_the_chip() -> None:
    """Both always call, and every deal is played from both seats."""
    result = match(HEADS_UP, SCRIPTED["always_call"], SCRIPTED["always_call"], 400, 5)
    assert result.won == pytest.approx(0, abs=1e-6)
    assert result.half == pytest.approx(0, abs=1e-6)
    assert result.hands >= 400


def test_skill_is_seen() -> None:
    result = match(HEADS_UP, SCRIPTED["equity"], SCRIPTED["random"], 2_000, 5)
    assert result.is_clear


def test_certain_leaves_no_choice() -> None:
    weighed, _ = certain(np.array([1, 0]), np.ones((2, 2), np.bool_))
    assert np.exp(weighed).tolist() == [[0, 1], [1, 0]]
