"""Scripted players: functions from what a player sees, and dice, to what it orders."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hearthmind.contracts.observation import Choice, LegalAction, Parameter
from hearthmind.contracts.wire import Fact

from .orders import Order
from .sight import COMBAT, Sight, as_order

Dice = np.random.Generator
Player = Callable[[Sight, Dice], Order | None]


def good(sight: Sight, dice: Dice) -> Order | None:
    """Does what the world's advice likes best: what a scripted mind of the platform plays as well."""
    del dice
    best = max(sight.legal_actions, key=_appeal)
    return as_order(sight.player, best.name, {key: _advised(value) for key, value in best.parameters.items()})


def peaceful(sight: Sight, dice: Dice) -> Order | None:
    """Plays well and never raids: what raids are worth is seen against it."""
    return None if sight.kind == COMBAT else good(sight, dice)


def random(sight: Sight, dice: Dice) -> Order | None:
    """Any legal action with any legal arguments, all equally likely."""
    return as_order(sight.player, *any_of(sight.legal_actions, dice))


def any_of(actions: Sequence[LegalAction], dice: Dice) -> tuple[str, dict[str, Fact]]:
    """An action and arguments by the dice."""
    action = actions[int(dice.integers(len(actions)))]
    return action.name, {key: _any(value, dice) for key, value in action.parameters.items()}


def _appeal(action: LegalAction) -> float:
    return action.appeal


def _advised(parameter: Parameter) -> Fact:
    if parameter.default is not None:
        return parameter.default
    return parameter.enum[0] if isinstance(parameter, Choice) else parameter.minimum


def _any(parameter: Parameter, dice: Dice) -> Fact:
    if isinstance(parameter, Choice):
        return parameter.enum[dice.integers(len(parameter.enum))]
    return int(dice.integers(int(parameter.minimum), int(parameter.maximum) + 1))
