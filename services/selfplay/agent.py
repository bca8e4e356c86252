"""A checkpoint as an agent that plays anywhere: one call makes it, found through the entry point `hearthmind.agents`.

    agent = agent_from(Path("leduc.safetensors"), seed=7)
    agent.answer(observation)         # one legal action, as a mind answers on the bus
    agent.choose(tokens, legal)       # one action of its game, for who has the game's own tables

On the bus it reads what the games of OpenSpiel publish: `sees`, the player's information in OpenSpiel's words, and one legal
action with the moves to choose from. A state that it can't read is refused, and the decision falls back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Choice, Event, Observation
from hearthmind.errors import Refused
from services.selfplay.checkpoint import Card, load
from services.selfplay.players import NetworkPlayer, draw
from services.selfplay.small_games import GAMES, Tree, tree_of
from services.selfplay.tables import Bool, Int16


class NotItsGame(Refused):
    """The agent plays {game} and can't read this observation: {why}. Give it to an agent of that game."""


class Agent:
    """A trained network that plays; it draws its actions, since who plays cards must not be foreseen."""

    def __init__(self, player: NetworkPlayer, card: Card, seed: int) -> None:
        self.player, self.card = player, card
        self.game = card.settings.game
        self._dice = np.random.default_rng(seed)
        self._tree: Tree | None = tree_of(self.game) if self.game in GAMES else None
        self._view = {key: row for row, key in enumerate(self._tree.keys)} if self._tree else {}

    def choose(self, tokens: Int16, legal: Bool) -> int:
        """An action for what is seen, [L] and [A]."""
        weighed, _ = self.player.ask(tokens[None], legal[None])
        return int(draw(weighed, self._dice)[0])

    def answer(self, observation: Observation | Event) -> Answer:
        """One of the observation's legal actions."""
        if self._tree is None:
            raise NotItsGame(game=self.game, why="it plays at tables of its own")
        row = self._view.get(_seen(observation))
        if row is None:
            raise NotItsGame(game=self.game, why="`sees` is nothing that can be seen in it")
        word = self._tree.words[row][self.choose(self._tree.tokens[row], self._tree.legal[row])]
        for legal in observation.legal_actions:
            for name, parameter in legal.parameters.items():
                if isinstance(parameter, Choice) and word in parameter.enum:
                    return Answer(action=legal.name, arguments={name: word})
        raise NotItsGame(game=self.game, why=f"no legal action has {word!r} to choose")


def agent_from(path: Path | str, *, seed: int = 0, precision: str = "fp32") -> Agent:
    """The agent of a checkpoint."""
    network, card = load(Path(path))
    return Agent(NetworkPlayer(network, precision), card, seed)


def _seen(observation: Observation | Event) -> str:
    state: dict[str, Any] = msgspec.json.decode(observation.state)
    return str(state.get("sees", ""))
