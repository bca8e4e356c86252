"""Which games can be played here: what OpenSpiel knows by name and plays turn by turn, between two or more players."""

from __future__ import annotations

import difflib
from typing import Any, TypeAlias

import pyspiel

from hearthmind.errors import HearthmindError

Rules: TypeAlias = Any
"""A game of OpenSpiel, whose library has no types."""

GOOD_TO_START = "tic_tac_toe, connect_four, kuhn_poker, leduc_poker"


class NotPlayable(HearthmindError):
    """{name} can't be played at these tables: {why}. Take a turn-based game of OpenSpiel, such as {such_as}."""

    def __init__(self, name: str, why: object, such_as: str = GOOD_TO_START) -> None:
        super().__init__(name=name, why=why, such_as=such_as)


class TooFewPlayers(HearthmindError):
    """{name} is played by {players} at a table, and there are {npcs} characters. Ask for {players} or more."""


def load(name: str) -> Rules:
    """The rules of that name, such as `connect_four` or `mnk(m=4,n=4,k=4)`."""
    known = pyspiel.registered_names()
    short = name.partition("(")[0]
    if short not in known:
        near = difflib.get_close_matches(short, known) or [GOOD_TO_START]
        raise NotPlayable(name, "OpenSpiel has no game of that name", ", ".join(near))
    try:
        rules = pyspiel.load_game(name)
    except Exception as error:  # a bridge to C++: what is raised depends on the game
        raise NotPlayable(name, f"OpenSpiel refuses it ({error})") from error
    kind = rules.get_type()
    if kind.dynamics == pyspiel.GameType.Dynamics.SIMULTANEOUS:
        such_as = f"turn_based_simultaneous_game(game={name if '(' in name else name + '()'}), or {GOOD_TO_START}"
        raise NotPlayable(name, "its players move at the same time", such_as)
    if kind.dynamics != pyspiel.GameType.Dynamics.SEQUENTIAL:
        raise NotPlayable(name, "it is a mean-field game, of a crowd rather than of players")
    if kind.chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC:
        raise NotPlayable(name, "it throws its own dice, so that a match could not be played again")
    if rules.num_players() < 2:
        raise NotPlayable(name, "it is played alone")
    return rules
