"""One match: OpenSpiel's state, dice for what chance decides, and what the player to move sees and may do.

A match is a function of its dice and its moves; `replay` plays a log of matches again, with OpenSpiel alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import msgspec
import pyspiel

from hearthmind.contracts.wire import Fact

from .rules import Rules, load

State: TypeAlias = Any


class BrokenLog(ValueError):
    """A log of matches can't be played again."""


class Match:
    """A match under way. Whoever is to move is asked; chance moves by itself."""

    def __init__(self, rules: Rules, dice: Random) -> None:
        self.rules = rules
        self.state: State = rules.new_initial_state()
        self.moves_of = [0] * rules.num_players()
        self._dice = dice
        let_chance_move(self.state, dice)

    @property
    def is_over(self) -> bool:
        """Whether the match has ended."""
        return bool(self.state.is_terminal())

    @property
    def player(self) -> int:
        """Whose turn it is, as OpenSpiel counts players."""
        return int(self.state.current_player())

    def words(self) -> dict[str, int]:
        """The legal moves by OpenSpiel's own names for them."""
        return {self.state.action_to_string(self.player, move): move for move in self.state.legal_actions()}

    def sees(self) -> str:
        """All that the player to move knows, in OpenSpiel's words."""
        kind = self.rules.get_type()
        hidden = kind.information != pyspiel.GameType.Information.PERFECT_INFORMATION
        remembers = kind.provides_information_state_string
        if remembers and (hidden or not kind.provides_observation_string):
            return str(self.state.information_state_string(self.player))
        return str(self.state.observation_string(self.player))

    @property
    def unbeaten(self) -> list[int]:
        """The players of a match that is over who got most: one who won, or all where it is drawn."""
        returns = self.state.returns()
        return [player for player, got in enumerate(returns) if got == max(returns)]

    def result(self, player: int) -> dict[str, Fact]:
        """What a match that is over brought a player; nothing of one that is not."""
        if not self.is_over:
            return {}
        won = player in self.unbeaten and len(self.unbeaten) < len(self.moves_of)
        return {"victory": won, "returns": self.state.returns()[player]}

    def move(self, move: int) -> None:
        """The player to move does this, and then chance what is up to it."""
        self.moves_of[self.player] += 1
        self.state.apply_action(move)
        let_chance_move(self.state, self._dice)


def let_chance_move(state: State, dice: Random) -> None:
    """Cards are dealt and dice are thrown until a player is to move or the match is over."""
    while state.is_chance_node():
        moves, odds = zip(*state.chance_outcomes(), strict=True)
        state.apply_action(dice.choices(moves, odds)[0])


class Record(msgspec.Struct, frozen=True):
    """A match that is over, as a line of the log: OpenSpiel's moves, those of chance among them."""

    rules: str
    table: int
    match: int
    players: list[str]
    moves: list[int]
    returns: list[float]


def replay(path: Path) -> Iterator[tuple[Record, State]]:
    """The matches of a log, each with the final state that OpenSpiel comes to; raises where it comes to another."""
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            record = msgspec.json.decode(line, type=Record)
            state = load(record.rules).new_initial_state()
            for move in record.moves:
                state.apply_action(move)
        except (msgspec.MsgspecError, pyspiel.SpielError) as error:
            raise BrokenLog(f"line {number} of {path}: {error}") from error
        if not state.is_terminal() or state.returns() != record.returns:
            raise BrokenLog(f"line {number} of {path} ends otherwise than it says")
        yield record, state
