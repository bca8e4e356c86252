"""What nano learns from: the strategic questions of the Realm, and what its scripted good player answers and why.

A world is played headless by players of several styles, so that all sorts of situations come up; whoever is asked, the teacher
is the good player (`realm.players.good`). A world is known by its seed: those from `HELD_OUT_FROM` on are for tests alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Observation
from hearthmind.prompting import answer_text, prompt_of
from realm.answers import as_order
from realm.players import GOOD, RANDOM, STYLES, Dice, Style
from realm.rules import DAY_H
from realm.sight import Sight, look, look_ahead
from realm.situation import player_name
from realm.world import World

HELD_OUT_FROM = 1_000_000
"""Seeds of worlds that nano never trains on."""
SIZES = (12, 20, 50, 50, 50, 100)
DAYS = (1, 2, 4, 8)
PLAYED_BY = (GOOD, GOOD, GOOD, GOOD, *STYLES, RANDOM)
ASKED_A_DAY = 4
_DICE = 11


@dataclasses.dataclass(frozen=True)
class Lesson:
    """A question and how the teacher answers it."""

    observation: Observation
    turns: tuple[tuple[str, str], ...]  # role and text: the prompt as engines get it
    answer: Answer

    @property
    def text(self) -> str:
        """The answer as a model has to write it."""
        return answer_text(self.observation, self.answer)


def lessons(seed: int) -> Iterator[Lesson]:
    """The lessons of one world: every player is asked about four times a day, since asking is cheaper than playing."""
    dice = Dice(np.random.PCG64([seed, _DICE]))
    size, days = int(dice.choice(SIZES)), int(dice.choice(DAYS))
    world = World.found(size, seed)
    styles = [PLAYED_BY[number] for number in dice.integers(len(PLAYED_BY), size=size).tolist()]
    for _ in range(days * DAY_H):
        asked = np.flatnonzero(dice.random(size) < ASKED_A_DAY / DAY_H)
        yield from (_lesson(world, sight) for sight in look_ahead(world, asked.tolist()))
        _play(world, styles, dice)


def _play(world: World, styles: list[Style], dice: Dice) -> None:
    """An hour, everybody in its own style."""
    appetite = np.array([style.appetite for style in styles])
    orders = (
        as_order(world, sight, *styles[sight.player].player(sight, dice)) for sight in look(world, style=appetite)
    )
    world.step([order for order in orders if order is not None])


def _lesson(world: World, sight: Sight) -> Lesson:
    observation = Observation(
        id=f"o{world.seed}-{world.turn}-{sight.player}",
        game="realm",
        npc=player_name(sight.player),
        kind=sight.kind,
        legal_actions=sight.legal_actions,
        answer_within_ms=1_000,
        snapshot=world.turn,
        game_time=world.turn,
        priority=sight.priority,
        state=msgspec.Raw(msgspec.json.encode(sight.state)),
    )
    turns = tuple((turn.role, turn.text) for turn in prompt_of(observation))
    return Lesson(observation, turns, _taught(sight))


def _taught(sight: Sight) -> Answer:
    """The good player's choice, the facts that decided, and how clear it was."""
    best, second = sorted(sight.legal_actions, key=lambda legal: -legal.appeal)[:2]
    confidence = round(min(0.5 + 2 * (best.appeal - second.appeal), 0.9), 1)
    return Answer(action=best.name, reasoning=_because(best.name, sight.state), confidence=confidence)


def _because(action: str, state: dict[str, Any]) -> str:
    friends, spot, ally = state["neighbours"]["friends"], state["nearest_free_spot"], state["possible_ally"]
    threat = state["top_threat"]
    match action:
        case "expand":
            return f"We may found a village, and {spot['name']} is free {spot['cells_away']:g} cells away."
        case "diplomacy" if ally != "none":
            return f"None of our neighbours is a friend; {ally['name']} is the one to win."
        case "diplomacy":
            return "None of our neighbours is a friend."
        case "fortify":
            return f"Enemies are coming or have beaten us; {state['enemies_coming']} are on their way."
        case "attack":
            return f"{state['neighbours']['weaker']} of our neighbours are weaker than us."
        case _:
            rest = (
                f"{threat['name']} is the strongest of the others." if threat != "none" else "all we know are friends."
            )
            return f"There is no village to found and we have {friends} friend{'s' * (friends > 1)}; {rest}"
