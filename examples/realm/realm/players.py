"""Scripted players: functions from what a player sees, and dice, to an action; and styles, which change what it likes.

All take dice: even the same style does not do the same twice, unless its seed is the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from hearthmind.contracts.observation import Choice, LegalAction, Parameter
from hearthmind.contracts.wire import Fact

from .advice import BALANCED
from .sight import Sight

Dice = np.random.Generator
Chosen = tuple[str, dict[str, Fact]]
Player = Callable[[Sight, Dice], Chosen]

WHIM = 0.1
"""By so much the appeal of each action is changed by the dice, at most."""


def good(sight: Sight, dice: Dice) -> Chosen:
    """Does what the world's advice likes best: what a scripted mind of the platform plays as well."""
    del dice
    best = max(sight.legal_actions, key=_appeal)
    return best.name, _advised(best)


def whimsical(sight: Sight, dice: Dice) -> Chosen:
    """The same with whims: of things that are about as good, now this, now that."""
    whims = dice.random(len(sight.legal_actions)) * WHIM
    liked = [
        action.appeal + whim if action.appeal > 0 else -1.0
        for action, whim in zip(sight.legal_actions, whims.tolist(), strict=True)
    ]
    best = sight.legal_actions[max(range(len(liked)), key=liked.__getitem__)]
    return best.name, _advised(best)


def random(sight: Sight, dice: Dice) -> Chosen:
    """Any legal action with any legal arguments, all equally likely."""
    return any_of(sight.legal_actions, dice)


def any_of(actions: Sequence[LegalAction], dice: Dice) -> Chosen:
    """An action and arguments by the dice."""
    action = actions[int(dice.integers(len(actions)))]
    return action.name, {key: _any(value, dice) for key, value in action.parameters.items()}


@dataclasses.dataclass(frozen=True)
class Style:
    """How somebody plays: with which appetite for expand, fortify, attack, diplomacy, economy."""

    name: str
    appetite: tuple[float, float, float, float, float]
    player: Player = whimsical


RAIDER = Style("raider", (1.1, 0.35, 1.8, 0.2, 1.0))
BUILDER = Style("builder", (1.4, 0.15, 0.2, 0.5, 1.5))
DIPLOMAT = Style("diplomat", (0.65, 0.8, 0.3, 2.2, 0.75))
TURTLE = Style("turtle", (0.7, 2.0, 0.4, 0.6, 1.1))
STYLES = (RAIDER, BUILDER, DIPLOMAT, TURTLE)
GOOD = Style("good", BALANCED, good)
RANDOM = Style("random", BALANCED, random)


def _appeal(action: LegalAction) -> float:
    return action.appeal


def _advised(action: LegalAction) -> dict[str, Fact]:
    return {key: _default(value) for key, value in action.parameters.items()}


def _default(parameter: Parameter) -> Fact:
    if parameter.default is not None:
        return parameter.default
    return parameter.enum[0] if isinstance(parameter, Choice) else parameter.minimum


def _any(parameter: Parameter, dice: Dice) -> Fact:
    if isinstance(parameter, Choice):
        return parameter.enum[dice.integers(len(parameter.enum))]
    return int(dice.integers(int(parameter.minimum), int(parameter.maximum) + 1))
