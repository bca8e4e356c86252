"""An honest judge of moves for any game: plays on at random from what the mover knows, and counts what that brings.

It knows no more than the player who asks: what is hidden from them is dealt anew for every playout, by OpenSpiel itself.
Of a game whose hidden part OpenSpiel can't deal anew there are no opinions.
"""

from __future__ import annotations

from random import Random

import pyspiel

from hearthmind.client import Choice, LegalAction

from .match import Match, State, let_chance_move
from .rules import Rules

PLAYOUTS = 100
"""For one judgement, shared by the moves. With four times as many it takes four times as long and plays little better."""
STEPS_MAX = 10_000
"""For one judgement, shared by the playouts. One that is not over by then counts nothing: large games are judged less."""
WORDS_MAX = 256
"""What a choice may hold; where there are more moves, the first ones that OpenSpiel lists are the legal ones here."""


class Judge:
    """Has opinions on the moves of one game, or finds out that it can't have any."""

    def __init__(self, rules: Rules) -> None:
        self._sees_all = rules.get_type().information == pyspiel.GameType.Information.PERFECT_INFORMATION
        self._is_blind = False

    def legal_move(self, match: Match, dice: Random) -> LegalAction:
        """One action, since moving is one thing; where to is its choice, and the judge's opinion the default."""
        words = dict(list(match.words().items())[:WORDS_MAX])
        judged = self.opinions(match.state, dice)
        if not judged:
            return LegalAction(name="move", parameters={"to": Choice(enum=tuple(words))})
        best = max(words, key=lambda word: judged[words[word]])
        low, high = match.rules.min_utility(), match.rules.max_utility()
        to = Choice(enum=tuple(words), default=best)
        return LegalAction(name="move", parameters={"to": to}, appeal=(judged[words[best]] - low) / (high - low))

    def opinions(self, state: State, dice: Random) -> dict[int, float]:
        """What each legal move brings its player on average; nothing where there are no opinions."""
        player, moves = state.current_player(), state.legal_actions()
        rounds = max(1, PLAYOUTS // len(moves))
        steps = STEPS_MAX // (rounds * len(moves))
        looks_ahead = self._sees_all and steps >= len(moves)  # else the opponent would know a hand that is imagined
        sums = dict.fromkeys(moves, 0.0)
        for _ in range(rounds):
            imagined = self._imagine(state, player, dice)
            if imagined is None:
                return {}
            for move in moves:
                after = imagined.child(move)
                if looks_ahead:
                    _win_at_once(after)
                sums[move] += _play_on(after, player, steps, dice)
        return {move: total / rounds for move, total in sums.items()}

    def _imagine(self, state: State, player: int, dice: Random) -> State | None:
        if self._is_blind:
            return None
        try:
            return state.resample_from_infostate(player, dice.random)
        except pyspiel.SpielError:
            self._is_blind = True
            return None


def _win_at_once(state: State) -> None:
    """Whoever is to move does so if it ends the match in their favour: what a move allows is seen, not hoped against."""
    if state.is_terminal() or state.is_chance_node():
        return
    for move in state.legal_actions():
        end = state.child(move)
        if end.is_terminal() and end.returns()[state.current_player()] > 0:
            state.apply_action(move)
            return


def _play_on(state: State, player: int, steps: int, dice: Random) -> float:
    for _ in range(steps):
        let_chance_move(state, dice)
        if state.is_terminal():
            return float(state.returns()[player])
        state.apply_action(dice.choice(state.legal_actions()))
    return 0.0
