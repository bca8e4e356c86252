"""Tables at which everybody does something legal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from services.selfplay.cards import card
from services.selfplay.holdem import CALLS, CHECKS, Holdem
from services.selfplay.tables import Bool, Int8, Int16


class Seen:
    """What `observe` fills."""

    def __init__(self, tables: Holdem) -> None:
        self.tables = tables
        self.tokens: Int16 = np.zeros((tables.count, tables.tokens_max), np.int16)
        self.mask: Bool = np.zeros((tables.count, tables.actions), np.bool_)
        self.actor: Int8 = np.zeros(tables.count, np.int8)

    def look(self) -> None:
        """Who is to act at each table, and what they see."""
        self.tables.observe(self.tokens, self.mask, self.actor)


def cards_of(names: str) -> list[int]:
    """The numbers of `Ah Kd`."""
    return [card(each) for each in names.split()]


def random_play(tables: Holdem, steps: int, seed: int = 0) -> Iterator[tuple[Seen, Int8]]:
    """What was seen and what is done about it, which is played once the caller has looked at it; mostly checks and calls."""
    dice = np.random.Generator(np.random.PCG64(seed))
    seen = Seen(tables)
    likely = np.array([0.8 if action in (CHECKS, CALLS) else 0.5 for action in range(tables.actions)])
    for _ in range(steps):
        seen.look()
        action = np.argmax((likely + dice.random(seen.mask.shape)) * seen.mask, axis=1).astype(np.int8)
        yield seen, action
        tables.step(action)
