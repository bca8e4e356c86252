"""Which function judges an outcome: the game's own of that action, its own of that kind, or else the standard one.

A game's own come from its package, by the entry point `hearthmind.rewards` (named after the game, a mapping from kind or
action to a function), and from the file of the setting HEARTHMIND_REWARD__FILE, which counts more. The law: a function that
fails costs its outcome the reward, never the experience.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from hearthmind.errors import CannotStart
from hearthmind.ids import check_id
from services.reward.expressions import functions_in
from services.reward.rewards import REWARDS, Facts, Reward, RewardFunction, sum_of

log = logging.getLogger("hearthmind.reward")

GROUP = "hearthmind.rewards"
SAID_MAX = 100
"""So many failures of reward functions are logged; they repeat themselves."""
FILE_BYTES_MAX = 1024 * 1024


class BadRewards(CannotStart):
    """The reward functions in {where} can't be used: {why}. See docs/how-to/write-a-reward.md."""


class Registry:
    """The reward functions of all games."""

    def __init__(self, by_game: Mapping[str, Mapping[str, RewardFunction]] | None = None) -> None:
        self._by_game = dict(by_game or {})
        self._said = 0

    def function(self, game: str, kind: str, action: str) -> RewardFunction | None:
        """The one that judges this."""
        own = self._by_game.get(game, {})
        return own.get(action) or own.get(kind) or REWARDS.get(kind)

    def reward(self, game: str, kind: str, action: str, facts: Facts) -> Reward:
        """What an outcome was worth."""
        function = self.function(game, kind, action)
        if function is None:
            return Reward(0.0, {})
        try:
            return sum_of(function(facts))
        except Exception as error:
            if self._said < SAID_MAX:
                self._said += 1
                log.warning(
                    "the reward function of %s for %s/%s failed, its reward is 0: %r", game, kind, action, error
                )
            return Reward(0.0, {})


def registered(file: str = "", points: Iterable[EntryPoint] | None = None) -> Registry:
    """The functions of all installed games and of the file."""
    by_game: dict[str, dict[str, RewardFunction]] = {}
    for point in entry_points(group=GROUP) if points is None else points:
        by_game.setdefault(point.name, {}).update(_brought(point))
    for game, functions in (_written(Path(file)) if file else {}).items():
        by_game.setdefault(game, {}).update(functions)
    return Registry(by_game)


def _brought(point: EntryPoint) -> Mapping[str, RewardFunction]:
    where = f"the package {point.value}"
    try:
        check_id("game", point.name)
        functions = point.load()
    except Exception as error:
        raise BadRewards(where=where, why=f"{type(error).__name__}: {error}") from error
    if not isinstance(functions, Mapping) or not all(map(callable, functions.values())):
        raise BadRewards(where=where, why="it has to be a mapping from kind or action to a function of facts")
    return functions


def _written(path: Path) -> Mapping[str, Mapping[str, RewardFunction]]:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise BadRewards(where=path, why=str(error)) from None
    if len(text) > FILE_BYTES_MAX:
        raise BadRewards(where=path, why=f"it is over {FILE_BYTES_MAX} characters")
    functions, mistakes = functions_in(text)
    if mistakes:
        raise BadRewards(where=path, why="; ".join(f"line {mistake.line}: {mistake.what}" for mistake in mistakes))
    return functions
