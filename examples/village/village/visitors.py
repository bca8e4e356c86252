"""Who comes by, whom they speak to, what they wish, and what they say: by the dice, and the only place with texts."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from .people import AGAIN, ASKS, BUYS, PURSE_MAX, PURSE_MIN, TRICKS, TRICKSTERS, TWICE, VISITORS, VISITS
from .scene import Scene, Visit


def visits(scene: Scene, seed: int) -> Iterator[tuple[Visit, list[str]]]:
    """The visits of this hour, with what is said: once, or twice in a row."""
    dice = Random(f"{seed}/{scene.number}/{scene.turn}")
    for letter in VISITORS:
        if dice.random() < VISITS:
            villager = dice.choice(scene.villagers)
            wish = _wish(dice, (*villager.role.knows, *villager.role.sells))
            words = [_asks(dice, wish), *([dice.choice(AGAIN)] if dice.random() < TWICE else [])]
            yield Visit(f"visitor{scene.number}{letter}", villager, wish, dice.randint(PURSE_MIN, PURSE_MAX)), words


def _wish(dice: Random, given_here: tuple[str, ...]) -> str:
    """Mostly something that there is, at times something that is to be had elsewhere, at times nothing good."""
    return "" if dice.random() < TRICKSTERS else dice.choice((*given_here, *given_here, dice.choice(tuple(ASKS))))


def _asks(dice: Random, wish: str) -> str:
    if not wish:
        return dice.choice(TRICKS)
    return dice.choice(ASKS[wish]) if wish in ASKS else dice.choice(BUYS).format(ware=wish)
