"""What comes of those who leave: raids, attacks, scouts, help, settlers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from realm.battles import loss_shares
from realm.events import DRAW, LOSS, WIN, Battle, Hour
from realm.land import travel_hours
from realm.orders import March
from realm.rows import ATTACK, EVADE, HELP, RAID, SCOUT, SETTLE
from realm.rules import HALL, HOURS_FOR, RAZED, SETTLERS_NEEDED, SHELTERED, STAY_H, TRUST_START, WALL
from realm.world import World

from .worlds import with_troops

FIGHTERS = (0, 20, 0, 0, 0, 0)


def world_with(raiders: Sequence[int], guards: int = 0) -> World:
    """0 and 1 are five cells apart, 2 is next to 0; it is morning."""
    world = World.found(3, 1)
    world.turn = 8
    world.players.tribe[:] = 1
    world.villages.at[:3] = [(0, 0), (5, 0), (0, 1)]
    with_troops(world, raiders, 0)
    with_troops(world, (guards, 0, 0, 0, 0, 0), 1)
    world.villages.stocks[1] = 200
    return world


def fought(world: World, *orders: March) -> Battle:
    hour = world.step(orders)
    while not hour.battles:
        hour = world.step([])
    return hour.battles[0]


def until_home(world: World) -> None:
    while len(world.parties):
        world.step([])


def test_a_raid_on_the_undefended_pays_and_comes_home() -> None:
    world = world_with(FIGHTERS)
    assert world.step([March(0, 0, RAID, 1, 0, FIGHTERS)]).battles == []
    assert world.villages.troops[0].tolist() == [0] * 6
    assert world.parties.hours.tolist() == [2]  # five cells at two an hour: three hours
    world.step([])
    found = world.villages.stocks[1] - SHELTERED
    world.villages.stocks[0] = 0
    battle = world.step([]).battles[0]
    assert (battle.result, battle.breach, battle.razed) == (WIN, False, 0)
    assert battle.own_losses <= 1
    assert battle.loot == found.sum()
    assert sorted(world.players.trust[1]) == [TRUST_START - 5, TRUST_START]
    until_home(world)
    assert world.villages.troops[0, 1] == 20 - battle.own_losses
    assert world.villages.stocks[0].sum() >= battle.loot
    assert (world.players.won[0], world.players.beaten[1]) == (1, 1)


def test_a_raid_on_the_strong_is_lost() -> None:
    world = world_with((0, 5, 0, 0, 0, 0), guards=60)
    battle = fought(world, March(0, 0, RAID, 1, 0, (0, 5, 0, 0, 0, 0)))
    assert (battle.result, battle.loot) == (LOSS, 0)
    assert 0 < battle.own_losses <= 5
    assert (world.players.won[1], world.players.beaten[0]) == (1, 1)


def test_an_attack_costs_more_on_both_sides_and_razes() -> None:
    raid, attack = world_with((0, 40, 0, 9, 0, 0), guards=20), world_with((0, 40, 0, 9, 0, 0), guards=20)
    for world in (raid, attack):
        world.villages.levels[1, WALL] = 4
        world.villages.levels[1, 0] = 6
    party = (0, 40, 0, 9, 0, 0)
    lesser = fought(raid, March(0, 0, RAID, 1, 0, party))
    greater = fought(attack, March(0, 0, ATTACK, 1, 0, party))
    assert (lesser.result, greater.result) == (WIN, WIN)
    assert lesser.enemy_losses < greater.enemy_losses
    assert lesser.razed == 0
    assert raid.villages.levels[1, WALL] == 4
    assert attack.villages.levels[1, WALL] == 1  # nine rams
    assert attack.villages.levels[1, 0] == 5
    assert 3 < greater.razed <= 3 + RAZED


def test_equals_fight_to_a_draw() -> None:
    results = set()
    for seed in range(60):
        world = world_with((0, 30, 0, 0, 0, 0), guards=28)
        world.seed = seed
        battle = fought(world, March(0, 0, RAID, 1, 0, (0, 30, 0, 0, 0, 0)))
        results.add(battle.result)
        if battle.result == DRAW:
            assert (battle.loot, world.players.won.sum(), world.players.beaten.sum()) == (0, 0, 0)
    assert results == {WIN, LOSS, DRAW}


def test_walls_help_those_behind_them() -> None:
    world = world_with(FIGHTERS, guards=10)
    before = world.defence_of(np.array([1]), world.villages.levels[[1], WALL])
    world.villages.levels[1, WALL] = 10
    assert world.defence_of(np.array([1]), world.villages.levels[[1], WALL])[0] == before[0] * 140 // 100


def test_the_second_on_the_spot_finds_what_the_first_has_left() -> None:
    world = world_with(FIGHTERS)
    world.villages.at[2] = (5, 3)
    with_troops(world, FIGHTERS, 2)
    world.step([March(0, 0, RAID, 1, 0, FIGHTERS)])
    world.step([March(2, 2, RAID, 1, 0, FIGHTERS)])
    battles = world.step([]).battles
    assert {battle.player for battle in battles} == {0, 2}
    assert battles[0].loot > 0
    assert battles[1].loot == 0
    assert battles[1].result == WIN


def test_by_night_the_way_takes_twice_as_long() -> None:
    assert travel_hours(np.array([10.0]), 2, 8).tolist() == [5]
    assert travel_hours(np.array([7.0]), 2, 22).tolist() == [7]
    assert travel_hours(np.array([400.0]), 2, 8).tolist() == [240]
    for hour in range(24):
        assert (np.diff(HOURS_FOR[hour]) >= 0).all()


def test_a_party_may_wait_before_it_leaves() -> None:
    world = world_with(FIGHTERS)
    world.step([March(0, 0, RAID, 1, 5, FIGHTERS)])
    assert world.parties.hours.tolist() == [7]


def test_scouts_see_what_is_there() -> None:
    world = world_with((0, 0, 0, 0, 3, 0), guards=33)
    place = world.players.nearby[0].tolist().index(1)
    assert world.players.seen[0, place] == -1
    hour = looked(world, March(0, 0, SCOUT, 1, 0, (0, 0, 0, 0, 3, 0)))
    assert [(look.found, look.own_losses) for look in hour.looks] == [(True, 0)]
    assert world.players.seen[0, place] == world.turn
    assert world.players.seen_defence[0, place] == world.defence_of(np.array([1]), np.array([0]))[0]
    until_home(world)
    assert world.villages.troops[0, 4] == 3


def test_scouts_are_caught_by_many_scouts() -> None:
    world = world_with((0, 0, 0, 0, 1, 0))
    with_troops(world, (0, 0, 0, 0, 500, 0), 1)
    hour = looked(world, March(0, 0, SCOUT, 1, 0, (0, 0, 0, 0, 1, 0)))
    assert [(look.found, look.own_losses) for look in hour.looks] == [(False, 1)]
    assert len(world.parties) == 0


def looked(world: World, order: March) -> Hour:
    hour = world.step([order])
    while not hour.looks:
        hour = world.step([])
    return hour


def test_allies_help_for_a_day_and_share_the_losses() -> None:
    world = world_with((0, 60, 0, 0, 0, 0), guards=5)
    with_troops(world, (40, 0, 0, 0, 0, 0), 2)
    world.players.alliance[[1, 2]] = 7
    world.step([March(2, 2, HELP, 1, 0, (40, 0, 0, 0, 0, 0))])
    while not world.parties.staying().any():
        world.step([])
    assert world.defence_of(np.array([1]), np.array([0]))[0] == 45 * 42 + 30
    battle = fought(world, March(0, 0, ATTACK, 1, 0, (0, 60, 0, 0, 0, 0)))
    assert battle.enemy_losses > 5
    assert world.players.lost[2, 0] > 0
    for _ in range(STAY_H):
        world.step([])
    until_home(world)
    assert world.villages.troops[2, 0] == 40 - world.players.lost[2, 0]


def test_who_evades_is_not_there_and_comes_home() -> None:
    world = world_with(FIGHTERS)
    with_troops(world, (0, 4, 0, 0, 0, 3), 1)
    world.step([March(0, 0, ATTACK, 1, 0, FIGHTERS), March(1, 1, EVADE, 1, 5, (0, 4, 0, 0, 0, 0))])
    battle = fought(world)
    assert battle.enemy_losses == 3 * (battle.enemy_losses > 0)
    until_home(world)
    assert world.villages.troops[1, 1] == 4


def settlers_for(world: World, player: int) -> None:
    with_troops(world, (0, 0, 0, 0, 0, SETTLERS_NEEDED), player)
    world.villages.levels[player, HALL] = 2


def test_the_first_to_arrive_founds_the_village() -> None:
    world = world_with((0,) * 6)
    for player in (0, 1):
        settlers_for(world, player)
    world.villages.at[:] = [(0, 0), (30, 30), (0, 1), (9, 9)]
    world.players.nearby[2] = (0, 3, 1)
    spot = int(world.players.spots[0, 0])
    world.spots[spot] = (2, 0)
    party = (0, 0, 0, 0, 0, SETTLERS_NEEDED)
    hour = world.step([March(player, player, SETTLE, spot, 0, party) for player in (0, 1)])
    founded = list(hour.settled)
    while len(founded) < 2:
        founded += world.step([]).settled
    assert [(settled.player, settled.village) for settled in founded] == [(0, 4), (1, -1)]
    assert world.players.villages[0].tolist() == [0, 4, -1]
    assert world.villages.at[4].tolist() == [2, 0]
    assert world.villages_owned().tolist() == [2, 1, 1]
    assert world.taken.sum() == 1
    assert world.players.nearby[2].tolist() == [0, 4, 3]
    assert 4 not in world.players.nearby[0]
    until_home(world)
    assert world.villages.troops[1, 5] == SETTLERS_NEEDED


@pytest.mark.parametrize("attack, defence", [(100, 100), (400, 100), (100, 400), (0, 40), (10_000, 1)])
def test_losses_of_both_sides_add_up_to_one_army(attack: float, defence: float) -> None:
    won, lost = loss_shares(np.array([float(attack)]), np.array([float(defence)]))
    assert 0 <= won[0] <= 0.5 <= lost[0] <= 1
    assert won[0] + lost[0] == pytest.approx(1)


def test_four_times_the_strength_loses_a_ninth() -> None:
    won, _ = loss_shares(np.array([400.0]), np.array([100.0]))
    assert won[0] == pytest.approx(1 / 9)
