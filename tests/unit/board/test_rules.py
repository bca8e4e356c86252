"""What can be played, and what is said of what can't."""

from __future__ import annotations

import pytest

from board.rules import NotPlayable, load


@pytest.mark.parametrize(
    ("name", "players"),
    [
        ("tic_tac_toe", 2),
        ("connect_four", 2),
        ("kuhn_poker(players=3)", 3),
        ("leduc_poker", 2),
        ("turn_based_simultaneous_game(game=goofspiel())", 2),
    ],
)
def test_turn_based_games_are_played(name: str, players: int) -> None:
    assert load(name).num_players() == players


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("goofspiel", "move at the same time. Take .* turn_based_simultaneous_game"),
        ("mfg_crowd_modelling", "mean-field"),
        ("2048", "played alone"),
        ("bridge_uncontested_bidding", "throws its own dice"),
        ("tictactoe", "no game of that name.* tic_tac_toe"),
        ("tic_tac_toe(size=4)", "refuses it"),
        ("", "no game of that name"),
    ],
)
def test_others_are_refused_with_what_to_take_instead(name: str, words: str) -> None:
    with pytest.raises(NotPlayable, match=words):
        load(name)
