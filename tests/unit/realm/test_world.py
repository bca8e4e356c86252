"""What a world promises, whatever is played in it."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
from hypothesis import given, settings

from realm.orders import Build, IllegalOrder, Order, Raid, Train
from realm.rules import BARRACKS, BUILDINGS, CARRY, HEADS, POPULATION_MIN, QUEUE_MAX, RAIDS_MAX, STOREHOUSE
from realm.state import State
from realm.world import World

from .worlds import armed, lengths, seeds, sizes, turns

some = settings(max_examples=25, deadline=None)


def assert_sound(world: State) -> None:
    assert (world.stocks >= 0).all()
    assert (world.stocks <= world.storage()[:, None]).all()
    assert (world.troops >= 0).all()
    assert (world.raid_troops >= 0).all()
    assert (world.raid_loot >= 0).all()
    assert (world.raid_loot.sum(axis=2) <= world.raid_troops @ CARRY).all()
    assert (world.trained - world.lost == world.soldiers()).all()
    assert (world.population() >= POPULATION_MIN).all()
    assert sorted(world.ranks()) == list(range(1, world.size + 1))
    assert sorted(world.ranks()[: world.players]) == list(range(1, world.players + 1))
    assert ((world.queue >= 0) == (world.queue_hours > 0)).all()
    assert ((world.raid_hours > 0) == (world.raid_troops > 0).any(axis=2)).all()
    assert ((world.queue_uptime() >= 0) & (world.queue_uptime() <= 1)).all()


@some
@given(seeds, sizes, lengths)
def test_world_stays_sound(seed: int, size: int, length: int) -> None:
    for world, orders in turns(size, seed, length):
        hour = world.step(orders)
        assert_sound(world)
        assert (hour.wasted >= 0).all()


@some
@given(seeds, sizes, lengths)
def test_nobody_gains_what_nobody_has(seed: int, size: int, length: int) -> None:
    for world, orders in turns(size, seed, length):
        before, produced = world.stocks.sum() + world.raid_loot.sum(), world.production().sum()
        hour = world.step([order for order in orders if isinstance(order, Raid)])
        made = produced - hour.wasted.sum()
        eaten_max = world.upkeep().sum() + hour.deserted.sum() * max(HEADS)
        assert before + made - eaten_max <= world.stocks.sum() + world.raid_loot.sum() <= before + made


@some
@given(seeds, sizes, lengths)
def test_order_of_orders_means_nothing(seed: int, size: int, length: int) -> None:
    for world, orders in turns(size, seed, length):
        other = copy.deepcopy(world)
        shuffled = random.Random(seed).sample(orders, len(orders))
        assert sorted(world.step(orders).battles) == sorted(other.step(shuffled).battles)
        assert world.digest() == other.digest()


def test_a_seed_is_a_world() -> None:
    assert World.found(20, 1).digest() == World.found(20, 1).digest()
    assert World.found(20, 1).digest() != World.found(20, 2).digest()
    assert World.found(20, 1).digest() != World.found(21, 1).digest()


@pytest.mark.parametrize("size, seed", [(0, 1), (-1, 1), (1, -1)])
def test_no_world_of_nobody(size: int, seed: int) -> None:
    with pytest.raises(ValueError, match="at least one player"):
        World.found(size, seed)


def test_nearby_villages_are_the_nearest() -> None:
    world = World.found(300, 5)
    apart = ((world.at[:, None] - world.at[None]) ** 2).sum(axis=2)
    np.fill_diagonal(apart, np.iinfo(np.int64).max)
    assert (np.take_along_axis(apart, world.nearby, axis=1) == np.sort(apart, axis=1)[:, : world.nearby.shape[1]]).all()
    assert len(np.unique(world.at, axis=0)) == world.size


def test_buildings_are_built_one_after_the_other() -> None:
    world = World.found(2, 1)
    world.levels[0] = 0
    for building in (0, 1):
        world.step([Build(0, building)])
    assert world.levels[0, :3].tolist() == [1, 1, 0]
    world.levels[0, :4] = 2
    world.stocks[0] = 400
    world.step([Build(0, 2)])
    assert world.queue[0].tolist() == [2, -1, -1]
    assert world.planned_production()[0].sum() > world.production()[0].sum()
    world.step([Build(0, 3)])
    assert world.levels[0].tolist() == [2, 2, 3, 2, 0, 0]
    assert world.queue[0].tolist() == [3, -1, -1]


def test_what_finds_no_room_is_wasted() -> None:
    world = World.found(1, 1)
    world.stocks[0] = 400
    hour = world.step([])
    assert hour.wasted[0] == world.production()[0].sum()
    assert world.stocks[0].tolist() == [400] * 4


def test_hungry_soldiers_leave_and_none_starve_the_village() -> None:
    world = World.found(1, 1)
    world.troops[0] = world.trained[0] = (100, 0, 20)
    world.stocks[0, 3] = 0
    made = int(world.production()[0, 3])
    hour = world.step([])
    assert hour.deserted[0] == 100 + (40 - made + 1) // 2
    assert_sound(world)


def everything_in_the_way() -> World:
    world = World.found(4, 1)
    world.troops[0] = world.trained[0] = (0, 5, 0)
    world.levels[1, BARRACKS] = 1
    world.stocks[2] = 0
    world.queue[3], world.queue_hours[3] = [0] * QUEUE_MAX, [1] * QUEUE_MAX
    world.raid_hours[3], world.raid_troops[3, :, 0], world.troops[3, 0] = [9] * RAIDS_MAX, 1, 1
    world.trained[3, 0] = 1 + RAIDS_MAX
    world.levels[1, STOREHOUSE] = 15
    return world


@pytest.mark.parametrize(
    "order, why",
    [
        (Build(4, 0), "no such player"),
        (Build(-1, 0), "missing, negative or too large"),
        (Build(2**70, 0), "missing, negative or too large"),
        (Build(0, len(BUILDINGS)), "no such building"),
        (Build(1, STOREHOUSE), "highest level"),
        (Build(2, 0), "not enough resources"),
        (Build(3, 0), "queue is full"),
        (Train(1, 3, 1), "no such soldiers"),
        (Train(1, 0, 0), "nobody would be trained"),
        (Train(1, 0, -1), "missing, negative or too large"),
        (Train(0, 0, 1), "barracks are too small"),
        (Train(1, 2, 1), "barracks are too small"),
        (Train(1, 0, 5), "train fewer"),
        (Train(1, 1, 2**40), "missing, negative or too large"),
        (Raid(0, 6, (0, 1, 0)), "no such village"),
        (Raid(0, 0, (0, 1, 0)), "own village"),
        (Raid(0, 1, (0, 0, 0)), "nobody would go"),
        (Raid(0, 1, (0, 6, 0)), "fewer soldiers"),
        (Raid(0, 1, (1, 0, 0)), "fewer soldiers"),
        (Raid(0, 1, (0, 1)), "missing, negative or too large"),
        (Raid(3, 1, (1, 0, 0)), "too many raids"),
    ],
)
def test_illegal_orders_are_refused_and_change_nothing(order: Order, why: str) -> None:
    world = everything_in_the_way()
    before = world.digest()
    with pytest.raises(IllegalOrder, match=why):
        world.step([Raid(0, 1, (0, 1, 0)), order] if order.player != 0 or not isinstance(order, Raid) else [order])
    assert world.digest() == before


def test_one_economic_order_and_one_raid_a_turn() -> None:
    world = armed(3, 1)
    world.troops[0] = 9
    raid, build = Raid(0, 1, (1, 0, 0)), Build(0, 0)
    assert world.problems([raid, build]) == {}
    assert set(world.problems([raid, build, Raid(0, 2, (1, 0, 0))])) == {0, 2}
    assert set(world.problems([build, raid, Train(0, 0, 1)])) == {0, 2}
