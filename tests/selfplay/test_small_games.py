"""Kuhn and Leduc as tables: the same game as OpenSpiel's, and exploitability as it is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="self-play needs torch")
pyspiel = pytest.importorskip("pyspiel", reason="the small games are OpenSpiel's")

from services.selfplay.exploit import exploitability  # noqa: E402
from services.selfplay.small_games import GAMES, NotSmall, SmallTables, tree_of  # noqa: E402


@pytest.mark.parametrize("game", GAMES)
def test_hands_are_openspiel_s_hands(game: str) -> None:
    tables, dice = SmallTables(game, 64, 5), np.random.default_rng(5)
    tokens = np.zeros((64, tables.tokens_max), np.int16)
    legal, actor = np.zeros((64, tables.actions), np.bool_), np.zeros(64, np.int8)
    rules, seen, ended = pyspiel.load_game(GAMES[game]), 0, 0
    keys = {key: row for row, key in enumerate(tables.tree.keys)}
    states: dict[int, Any] = {}
    for state in walk(rules.new_initial_state()):
        if state.is_player_node():
            states.setdefault(keys[state.information_state_string()], state)
    for _ in range(30):
        tables.observe(tokens, legal, actor)
        for row, view in enumerate(tables.view):
            state = states[int(view)]
            assert actor[row] == state.current_player()
            assert np.flatnonzero(legal[row]).tolist() == state.legal_actions()
            assert tokens[row].tolist() == [1 + view]
            seen += 1
        tables.step(np.where(legal, dice.random(legal.shape), -1).argmax(1).astype(np.int8))
        assert np.all(tables.payoff.sum(1) == 0)
        assert not tables.payoff[~tables.finished].any()
        ended += int(tables.finished.sum())
    assert ended == tables.number.sum() > 0


def walk(state: Any) -> list[Any]:
    below = [] if state.is_terminal() else [state.child(move) for move in state.legal_actions()]
    return [state, *(each for child in below for each in walk(child))]


@pytest.mark.parametrize("game", GAMES)
def test_payoffs_average_to_the_value_of_random_play(game: str) -> None:
    tree = tree_of(game)
    expected = value(pyspiel.load_game(GAMES[game]).new_initial_state())
    tables, dice, brought, count = SmallTables(game, 2000, 1), np.random.default_rng(1), 0.0, 0
    for _ in range(60):
        legal = tree.legal[tables.view]
        tables.step(np.where(legal, dice.random(legal.shape), -1).argmax(1).astype(np.int8))
        brought, count = brought + float(tables.payoff[:, 0].sum()), count + int(tables.finished.sum())
    assert brought / count == pytest.approx(expected, abs=0.15)


def value(state: Any, seat: int = 0) -> float:
    if state.is_terminal():
        return float(state.returns()[seat])
    if state.is_chance_node():
        return float(sum(odds * value(state.child(move), seat) for move, odds in state.chance_outcomes()))
    moves = state.legal_actions()
    return sum(value(state.child(move), seat) for move in moves) / len(moves)


@pytest.mark.parametrize("game", GAMES)
def test_what_is_foreseen_is_what_random_play_brings(game: str) -> None:
    tables, dice = SmallTables(game, 300, 3), np.random.default_rng(3)
    states = walk(pyspiel.load_game(GAMES[game]).new_initial_state())
    outlook = np.zeros((300, 1), np.float32)
    for _ in range(5):
        tables.foresee(outlook)
        expected = [value(states[at], states[at].current_player()) for at in tables._at]
        assert outlook[:, 0] == pytest.approx(expected, abs=1e-5)
        legal = tables.tree.legal[tables.view]
        tables.step(np.where(legal, dice.random(legal.shape), -1).argmax(1).astype(np.int8))


@pytest.mark.parametrize("game", GAMES)
def test_chance_is_as_likely_as_openspiel_says(game: str) -> None:
    tables = SmallTables(game, 40_000, 6)
    dealt = np.unique(tables._at, return_counts=True)[1]
    assert len(dealt) == {"kuhn": 6, "leduc": 30}[game]
    assert dealt == pytest.approx(40_000 / len(dealt), rel=0.15)


def test_exploitability_is_that_of_the_equilibrium_and_of_random_play() -> None:
    tree = tree_of("kuhn")
    random = tree.legal / tree.legal.sum(1, keepdims=True)
    assert exploitability("kuhn", random.astype(np.float32)) == pytest.approx(0.458333, abs=1e-5)
    assert exploitability("kuhn", equilibrium()) == pytest.approx(0, abs=1e-6)


def equilibrium() -> np.ndarray:
    """Kuhn's solution in which the first player never bets: cards are 0, 1, 2; `p` is pass and `b` is bet."""
    bets = {
        "0": 0, "1": 0, "2": 0, "0p": 1 / 3, "1p": 0, "2p": 1, "0b": 0, "1b": 1 / 3, "2b": 1, "0pb": 0, "1pb": 1 / 3, "2pb": 1,
    }  # fmt: skip
    return np.array([[1 - bets[key], bets[key]] for key in tree_of("kuhn").keys], np.float32)


def test_another_game_is_refused() -> None:
    with pytest.raises(NotSmall, match="kuhn, leduc"):
        tree_of("chess")
