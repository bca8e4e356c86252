"""The Realm's personas: in whole games, whoever is aggressive fights and whoever is peaceful deals."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from hearthmind import scripted
from hearthmind.persona import GENES, NEUTRAL, Behaviour
from hearthmind.personas import personas
from hearthmind.testing.observations import an_observation
from realm.advice import BALANCED
from realm.contest import played
from realm.orders import Answer, March, Order, Propose
from realm.players import Chosen, Dice, Style
from realm.rows import ATTACK, RAID
from realm.rules import PRIORITIES
from realm.sight import Sight, look
from realm.world import World

PERSONAS = Path(__file__).parents[3] / "examples" / "realm" / "personas"
SEEDS = (1, 2, 3)
TURNS = 72


def playing_as(name: str, behaviour: Behaviour) -> Style:
    """A player whose every answer is the scripted mind's, with these genes."""

    def player(sight: Sight, dice: Dice) -> Chosen:
        del dice
        answer = scripted.choose(an_observation(kind=sight.kind, legal_actions=sight.legal_actions), behaviour)
        return answer.action, dict(answer.arguments)

    return Style(name, BALANCED, player)


def deeds(styles: list[Style], seed: int) -> tuple[dict[str, Counter[str]], str]:
    """What those of each style ordered in a game, and what the world was like in the end."""
    done: dict[str, Counter[str]] = {style.name: Counter() for style in styles}

    def count(_: World, orders: list[Order]) -> None:
        for order in orders:
            mine = done[styles[order.player].name]
            if isinstance(order, March) and order.errand in (RAID, ATTACK):
                mine["fights"] += 1
            elif isinstance(order, Propose) or (isinstance(order, Answer) and order.accept):
                mine["deals"] += 1

    world = played(styles, seed, TURNS, count)
    return done, world.digest()


@pytest.mark.parametrize("seed", SEEDS)
def test_an_aggressive_and_a_peaceful_persona_part_ways_in_whole_games(seed: int) -> None:
    found = personas(PERSONAS)
    styles = [playing_as(name, found.named(name).behaviour) for name in ("conqueror", "peacemaker")] * 6
    done, digest = deeds(styles, seed)
    wild, mild = done["conqueror"], done["peacemaker"]
    assert wild["fights"] > 2 * mild["fights"]
    assert mild["deals"] > 2 * wild["deals"]
    assert deeds(styles, seed) == (done, digest), "the same again"


def test_nobody_plays_as_before() -> None:
    """Neutral genes give the very game that was played without any."""
    neutral = playing_as("neutral", Behaviour(**dict.fromkeys(GENES, 0.5)))
    before = playing_as("before", NEUTRAL)
    assert deeds([neutral] * 8, 1)[1] == deeds([before] * 8, 1)[1]


def test_the_genes_are_heard_in_every_kind_of_question() -> None:
    """Each of the genes speaks for or against something, and what is put first for a day follows them."""
    world = World.found(12, 1)
    actions = {legal.name: legal for sight in look(world) for legal in sight.legal_actions}
    assert all(legal.leans for legal in actions.values())
    assert {gene for legal in actions.values() for gene in legal.leans} == set(GENES)
    (first, *_) = [sight for sight in look(world) if sight.kind == "strategic"]
    wants = {
        gene: scripted.choose(
            an_observation(kind="strategic", legal_actions=first.legal_actions), Behaviour(**{gene: 1.0})
        ).action
        for gene in ("aggression", "diplomacy", "economy")
    }
    assert wants == {"aggression": "attack", "diplomacy": "diplomacy", "economy": "economy"}
    assert set(wants.values()) < set(PRIORITIES)


def test_the_realms_personas_are_read_and_each_is_somebodys() -> None:
    found = personas(PERSONAS)
    who = {found.of(an_observation(npc=f"p{number:04}")).name for number in range(10)}
    assert who == {"", *found.by_name}
    assert all(persona.called and persona.voice and persona.goals for persona in found.by_name.values())
