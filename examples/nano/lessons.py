"""What nano learns from: the strategic and the combat questions of the Realm, and what its scripted good player answers and why.

A world is played headless by players of several styles, so that all sorts of situations come up; whoever is asked, the teacher
is the good player (`realm.players.good`), as the platform's scripted mind plays it. Half of those who are asked are nobody in
particular; the others have a persona, and some of them genes that move the teacher, memories and a word of the house. A world is
known by its seed: those from `HELD_OUT_FROM` on are for tests alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from examples.nano.people import somebody
from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Observation
from hearthmind.prompting import Mind, answer_text, prompt_of
from hearthmind.scripted import SWAY, choose, liking
from realm.answers import as_order
from realm.players import GOOD, RANDOM, STYLES, Dice, Style
from realm.rules import DAY_H
from realm.sight import COMBAT, STRATEGIC, Sight, look, look_ahead
from realm.situation import player_name
from realm.world import World

HELD_OUT_FROM = 1_000_000
"""Seeds of worlds that nano never trains on."""
SIZES = (12, 20, 50, 50, 50, 100)
DAYS = (1, 2, 4, 8)
PLAYED_BY = (GOOD, GOOD, GOOD, GOOD, *STYLES, RANDOM)
ASKED_A_DAY = {STRATEGIC: 3, COMBAT: 6}
_DICE = 11


@dataclasses.dataclass(frozen=True)
class Lesson:
    """A question and how the teacher answers it."""

    observation: Observation
    mind: Mind
    turns: tuple[tuple[str, str], ...]  # role and text: the prompt as engines get it
    answer: Answer

    @property
    def text(self) -> str:
        """The answer as a model has to write it."""
        return answer_text(self.observation, self.answer)


def lessons(seed: int) -> Iterator[Lesson]:
    """The lessons of one world: every player is asked several times a day, since asking is cheaper than playing."""
    dice = Dice(np.random.PCG64([seed, _DICE]))
    size, days = int(dice.choice(SIZES)), int(dice.choice(DAYS))
    world = World.found(size, seed)
    styles = [PLAYED_BY[number] for number in dice.integers(len(PLAYED_BY), size=size).tolist()]
    for _ in range(days * DAY_H):
        asked = {kind: np.flatnonzero(dice.random(size) < often / DAY_H) for kind, often in ASKED_A_DAY.items()}
        sights = look_ahead(world, asked[STRATEGIC].tolist())
        sights += [sight for sight in look(world, asked[COMBAT].tolist()) if sight.kind == COMBAT]
        yield from (_lesson(world, sight, somebody(dice)) for sight in sights)
        _play(world, styles, dice)


def _play(world: World, styles: list[Style], dice: Dice) -> None:
    """An hour, everybody in its own style."""
    appetite = np.array([style.appetite for style in styles])
    orders = (
        as_order(world, sight, *styles[sight.player].player(sight, dice)) for sight in look(world, style=appetite)
    )
    world.step([order for order in orders if order is not None])


def _lesson(world: World, sight: Sight, mind: Mind) -> Lesson:
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
    turns = tuple((turn.role, turn.text) for turn in prompt_of(observation, mind))
    return Lesson(observation, mind, turns, _taught(observation, sight.state, mind))


def _taught(observation: Observation, state: dict[str, Any], mind: Mind) -> Answer:
    """The good player's choice, the facts that decided, and how clear it was."""
    chosen = choose(observation, mind.persona.behaviour)
    unit = max(abs(legal.appeal) for legal in observation.legal_actions) or 1.0
    liked = sorted(
        legal.appeal + SWAY * unit * liking(legal, mind.persona.behaviour) for legal in observation.legal_actions
    )
    confidence = round(min(0.5 + 2 * (liked[-1] - liked[-2]), 0.9), 1)
    because = _because_in_war if observation.kind == COMBAT else _because
    return Answer(
        action=chosen.action,
        arguments=chosen.arguments,
        reasoning=because(chosen.action, state),
        confidence=confidence,
    )


def _because(action: str, state: dict[str, Any]) -> str:
    friends, spot, ally = state["neighbours"]["friends"], state["nearest_free_spot"], state["possible_ally"]
    threat = state["top_threat"]
    match action:
        case "expand" if spot != "none":
            return f"We may found a village, and {spot['name']} is free {spot['cells_away']:g} cells away."
        case "expand":
            return "We want more room."
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


def _because_in_war(action: str, state: dict[str, Any]) -> str:
    targets = state["targets"]
    raid, attack, scout = targets["raid"], targets["attack"], targets["scout"]
    match action:
        case "raid":
            return f"{raid['name']} is {raid['hours']} hours away and brings {raid['gain']}."
        case "attack" if attack != "none":
            return f"{attack['name']} can't stand against us with a defence of {attack['defence']}."
        case "attack":
            return "We fight for the sake of it."
        case "scout" if scout != "none":
            return f"Nobody has looked at {scout['name']} lately."
        case "scout":
            return "We want to know more."
        case _:
            return f"Nothing is worth the losses; {raid['name']} would bring {raid['gain']}."
