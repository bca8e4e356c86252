"""A checkpoint as an agent that plays anywhere: one call makes it, found through the entry point `hearthmind.agents`.

    agent = agent_from(Path("final_model.safetensors"))
    agent.answer(observation)         # one legal action, as a mind answers on the bus
    agent.answer_many(observations)   # the same for each, faster
    agent.choose(tokens, legal)       # actions of its game, for who has the game's own tables

Of hold'em it reads what `hands` describes and answers fold, check, call, or raise with an amount. Of the games of OpenSpiel it
reads `sees`, the player's information in OpenSpiel's words, and one legal action with the moves to choose from. What it can't
read is refused, and the decision falls back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Choice, Event, Observation
from hearthmind.errors import Refused
from services.selfplay import hands
from services.selfplay.checkpoint import Card, load
from services.selfplay.players import NetworkPlayer, draw
from services.selfplay.tables import Bool, Int16, Int64

T = TypeVar("T")

HOLDEM = "holdem"


class NotItsGame(Refused):
    """The agent plays {game} and can't read this observation: {why}. Give it to an agent of that game."""


@dataclass(frozen=True)
class View:
    """What is seen, what may be done, and how what is done is told."""

    tokens: Int16
    legal: Bool
    told: Callable[[int], Answer]


class Agent:
    """A trained network that plays; it draws its actions, since who plays cards must not be foreseen."""

    def __init__(self, player: NetworkPlayer, card: Card, seed: int | None) -> None:
        self.player, self.card = player, card
        self.game = card.settings.game
        self._dice = np.random.default_rng(seed)
        if self.game == HOLDEM:
            hands.make_ready()
            return
        from services.selfplay.small_games import tree_of  # OpenSpiel is not where only hold'em is played

        self._tree = tree_of(self.game)
        self._view = {key: row for row, key in enumerate(self._tree.keys)}

    def choose(self, tokens: Int16, legal: Bool) -> Int64:
        """An action for each of what is seen, [B, L] and [B, A]."""
        weighed, _ = self.player.ask(tokens, legal)
        return draw(weighed, self._dice)

    def answer(self, observation: Observation | Event) -> Answer:
        """One of the observation's legal actions."""
        (answer,) = self.answer_many([observation])
        if isinstance(answer, Refused):
            raise answer
        return answer

    def answer_many(self, observations: Sequence[Observation | Event]) -> list[Answer | Refused]:
        """The same for each, asking the network once; what can't be read is refused alone."""
        read = self._read_holdem if self.game == HOLDEM else self._read_small_game
        views = [refused_or(lambda seen=each: read(seen)) for each in observations]  # type: ignore[misc]
        good = [view for view in views if isinstance(view, View)]
        if not good:
            return [view for view in views if isinstance(view, Refused)]
        chosen = iter(self.choose(np.stack([view.tokens for view in good]), np.stack([view.legal for view in good])))
        return [
            view if isinstance(view, Refused) else refused_or(lambda tell=view.told: tell(int(next(chosen))))  # type: ignore[misc]
            for view in views
        ]

    def _read_holdem(self, observation: Observation | Event) -> View:
        t = hands.replayed(hands.read(observation.state))
        if t.players != self.card.settings.players:
            why = f"it learned at tables of {self.card.settings.players}, and {t.players} were dealt in"
            raise NotItsGame(game=self.game, why=why)
        offered = observation.legal_actions
        return View(hands.seen(t), hands.open_to(t, offered), lambda action: hands.told(t, action, offered))

    def _read_small_game(self, observation: Observation | Event) -> View:
        row = self._view.get(_seen(observation))
        if row is None:
            raise NotItsGame(game=self.game, why="`sees` is nothing that can be seen in it")
        words = self._tree.words[row]
        return View(
            self._tree.tokens[row], self._tree.legal[row], lambda action: self._move(observation, words[action])
        )

    def _move(self, observation: Observation | Event, word: str) -> Answer:
        for legal in observation.legal_actions:
            for name, parameter in legal.parameters.items():
                if isinstance(parameter, Choice) and word in parameter.enum:
                    return Answer(action=legal.name, arguments={name: word})
        raise NotItsGame(game=self.game, why=f"no legal action has {word!r} to choose")


def agent_from(path: Path | str, *, seed: int | None = None, precision: str = "fp32") -> Agent:
    """The agent of a checkpoint; without a seed nobody can foresee what it draws."""
    network, card = load(Path(path))
    return Agent(NetworkPlayer(network, precision), card, seed)


def refused_or(read: Callable[[], T]) -> T | Refused:
    """What comes of it, or why it is refused."""
    try:
        return read()
    except Refused as refused:
        return refused


def _seen(observation: Observation | Event) -> str:
    state: Any = msgspec.json.decode(observation.state)
    return str(state.get("sees", "")) if isinstance(state, dict) else ""
