"""Hands of hold'em as a game on the bus tells them, and an agent that plays them without having learned anything.

What needs torch or numba is imported where it is used: these are not always here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import LegalAction, Observation, Whole
from hearthmind.testing.observations import an_observation

PLAYERS = 3


def checkpoint(folder: Path) -> Path:
    """An agent that has learned nothing yet."""
    import torch

    from services.selfplay.checkpoint import FINAL, Card, save
    from services.selfplay.holdem import Game, Holdem
    from services.selfplay.model import Network, Shape, preset
    from services.selfplay.settings import Settings

    torch.manual_seed(7)
    tables = Holdem(1, Game(players=PLAYERS))
    shape = Shape(tables.vocabulary, tables.tokens_max, tables.actions, **preset("tiny"))
    save(folder / FINAL, Network(shape).state_dict(), Card(shape, Settings(players=PLAYERS, preset="tiny")))
    return folder / FINAL


class Hands:
    """Random hands, each told as a game tells it."""

    def __init__(self, seed: int) -> None:
        from services.selfplay.cards import name
        from services.selfplay.rules import Table, records

        self._name, self._dice = name, np.random.default_rng(seed)
        self.t: Table = records(1)[0]
        self.deal()

    def deal(self) -> None:
        """Another hand."""
        from services.selfplay.rules import begin

        t, dice = self.t, self._dice
        t.players, t.small, t.big, t.ante = PLAYERS, 50, 100, int(dice.integers(0, 2)) * 10
        t.stack[:PLAYERS] = self.stacks = dice.integers(30, 10_000, PLAYERS)
        t.cards[: 2 * PLAYERS + 5] = dice.permutation(52)[: 2 * PLAYERS + 5]
        begin(t)
        self.moves: list[dict[str, object]] = []

    def observation(self) -> Observation:
        """What the player to act is told."""
        from services.selfplay.rules import raise_max, raise_min

        t = self.t
        owes, most = t.top > t.bet[t.actor], int(raise_max(t))
        legal = [LegalAction(name=name) for name in (("fold", "call") if owes else ("check",))]
        if most:
            legal.append(LegalAction(name="raise", parameters={"amount": Whole(minimum=raise_min(t), maximum=most)}))
        hole, board = t.cards[2 * t.actor :][:2], t.cards[2 * PLAYERS :][: (0, 3, 4, 5)[t.street]]
        state = {
            "small_blind": 50, "big_blind": 100, "ante": int(t.ante), "stacks": self.stacks.tolist(),
            "hole": [self._name(int(card)) for card in hole], "board": [self._name(int(card)) for card in board],
            "actions": self.moves,
        }  # fmt: skip
        body = msgspec.Raw(msgspec.json.encode(state))
        return an_observation(game="casino", kind="holdem", legal_actions=tuple(legal), state=body)

    def some_move(self) -> Answer:
        """What somebody might do: mostly checks and calls."""
        last = self.observation().legal_actions[-1]
        if last.name != "raise" or self._dice.random() < 0.8:
            return Answer(action="check" if self.t.top == self.t.bet[self.t.actor] else "call")
        bounds = last.parameters["amount"]
        assert isinstance(bounds, Whole)
        amount = int(self._dice.integers(bounds.minimum, bounds.maximum, endpoint=True))
        return Answer(action="raise", arguments={"amount": amount})

    def bet_of(self, answer: Answer) -> int:
        """The bet that it makes, by our rules."""
        from services.selfplay.rules import FOLD, to_call

        if answer.action == "raise":
            return int(answer.arguments["amount"])
        return FOLD if answer.action == "fold" else to_call(self.t)

    def allows(self, answer: Answer) -> bool:
        """Whether it is legal, by our rules."""
        from services.selfplay.rules import allowed

        return allowed(self.t, self.bet_of(answer))

    def play(self, answer: Answer) -> None:
        """Does it."""
        from services.selfplay.rules import act

        act(self.t, self.bet_of(answer))
        self.moves.append({"action": answer.action, **answer.arguments})


def decisions(seed: int, count: int) -> Iterator[Hands]:
    """So many times somebody is to act; whoever asks for the next one has played this one."""
    hands = Hands(seed)
    for _ in range(count):
        while hands.t.actor < 0:
            hands.deal()
        yield hands
