"""Raids: there and back, gain and risk."""

from __future__ import annotations

import numpy as np
import pytest

from realm.orders import Raid
from realm.raids import Battle, loss_shares
from realm.rules import SHELTERED
from realm.world import World


def world_with(raiders: int, spearmen: int = 0) -> World:
    world = World.found(3, 1)
    world.at[:3] = [(0, 0), (5, 0), (0, 1)]
    world.troops[0] = world.trained[0] = (0, raiders, 0)
    world.troops[1] = world.trained[1] = (spearmen, 0, 0)
    world.stocks[1] = 200
    return world


def fought(world: World) -> Battle:
    battles: list[Battle] = []
    while not battles:
        battles = world.step([]).battles
    return battles[0]


def test_a_raid_on_the_undefended_pays_and_comes_home() -> None:
    world = world_with(20)
    assert world.step([Raid(0, 1, (0, 20, 0))]).battles == []
    assert world.troops[0].tolist() == [0, 0, 0]
    assert world.raid_hours[0, 0] == 2  # five cells at two an hour: three hours
    world.step([])
    found = world.stocks[1] - SHELTERED
    world.stocks[0] = 0
    battle = world.step([]).battles[0]
    made = world.production()[1].sum()
    assert battle.victory
    assert battle.own_losses <= 1
    assert battle.loot == found.sum()
    assert world.stocks[1].sum() == 4 * SHELTERED + made
    for _ in range(3):
        world.step([])
    assert world.troops[0, 1] == 20 - battle.own_losses
    assert world.stocks[0].sum() >= battle.loot
    assert (world.raid_hours == 0).all()


def test_a_raid_on_the_strong_is_lost() -> None:
    world = world_with(5, spearmen=60)
    world.step([Raid(0, 1, (0, 5, 0))])
    battle = fought(world)
    assert not battle.victory
    assert (battle.own_losses, battle.enemy_losses, battle.loot) == (5, 1, 0)
    assert (world.raid_hours == 0).all()
    assert world.lost[0].tolist() == [0, 5, 0]


def test_the_second_on_the_spot_finds_what_the_first_has_left() -> None:
    world = world_with(20)
    world.at[2] = (5, 3)
    world.at[0] = (0, 0)
    world.troops[2] = world.trained[2] = (0, 20, 0)
    world.step([Raid(0, 1, (0, 20, 0))])
    world.step([Raid(2, 1, (0, 20, 0))])
    battles = world.step([]).battles
    assert {battle.player for battle in battles} == {0, 2}
    assert battles[0].loot > 0
    assert battles[1].loot == 0
    assert battles[1].victory


@pytest.mark.parametrize("attack, defence", [(100, 100), (400, 100), (100, 400), (0, 40), (10_000, 1)])
def test_losses_of_both_sides_add_up_to_one_army(attack: float, defence: float) -> None:
    won, lost = loss_shares(np.array([attack]), np.array([defence]))
    assert 0 <= won[0] <= 0.5 <= lost[0] <= 1
    assert won[0] + lost[0] == pytest.approx(1)


def test_four_times_the_strength_loses_a_ninth() -> None:
    won, _ = loss_shares(np.array([400.0]), np.array([100.0]))
    assert won[0] == pytest.approx(1 / 9)
