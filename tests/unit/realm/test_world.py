"""What a world promises, whatever is played in it."""

from __future__ import annotations

import copy
import dataclasses
import random

import numpy as np
import pytest
from hypothesis import given, settings

from realm.orders import Answer, Build, Buy, IllegalOrder, Leave, March, Order, Prioritise, Propose, Sell, Train
from realm.rows import ATTACK, EVADE, HELP, RAID, SCOUT, SETTLE, TRADE
from realm.rules import (
    ALLIANCE,
    BARRACKS,
    BUILDINGS,
    CARRY,
    FIGHTER,
    HALL,
    HEADS,
    MARKET,
    PARTIES_MAX,
    PEOPLE_BASE,
    QUEUE_MAX,
    SETTLERS_NEEDED,
    STOREHOUSE,
    TRUCE,
    TRUST_MAX,
    VILLAGES_MAX,
    WALL,
)
from realm.state import State
from realm.world import World

from .worlds import armed, lengths, seeds, sizes, turns, with_troops

some = settings(max_examples=15, deadline=None)


def assert_sound(world: State) -> None:
    villages, players, parties = world.villages, world.players, world.parties
    assert (villages.stocks >= 0).all()
    assert (villages.stocks <= world.storage()[:, None]).all()
    assert (villages.troops >= 0).all()
    assert (villages.levels >= 0).all()
    assert (parties.troops >= 0).all()
    assert (parties.load >= 0).all()
    soldiers = parties.errand != TRADE
    carried = (parties.troops * CARRY[players.tribe[parties.player]]).sum(axis=1)
    assert (parties.load.sum(axis=1) <= carried)[soldiers].all()
    assert (parties.hours > 0).all()
    assert parties.troops[soldiers].any(axis=1).all()
    assert (players.trained - players.lost == world.by_player(world.soldiers())).all()
    assert (world.people() > PEOPLE_BASE).all()
    assert sorted(world.ranks()) == list(range(1, world.size + 1))
    assert ((villages.queue >= 0) == (villages.queue_hours > 0)).all()
    assert ((world.queue_uptime() >= 0) & (world.queue_uptime() <= 1)).all()
    assert ((players.trust >= 0) & (players.trust <= TRUST_MAX)).all()
    assert len(np.unique(villages.at, axis=0)) == len(villages)
    own = [(player, village) for player, row in enumerate(players.villages.tolist()) for village in row if village >= 0]
    assert own == sorted(own)
    assert {(villages.owner[village], village) for _, village in own} == set(own)
    assert len(own) == (villages.owner >= 0).sum() <= world.size * VILLAGES_MAX
    assert (world.truces.until > world.turn).all()
    assert np.bincount(players.alliance)[1:].max(initial=0) <= 8
    for numbered in (parties.number, world.market.number, world.offers.number):
        assert len(np.unique(numbered)) == len(numbered)


@some
@given(seeds, sizes, lengths)
def test_world_stays_sound(seed: int, size: int, length: int) -> None:
    for world, orders in turns(size, seed, length):
        hour = world.step(orders)
        assert_sound(world)
        assert (hour.wasted >= 0).all()


def _makes_or_breaks(order: Order) -> bool:
    return isinstance(order, Build | Train) or (isinstance(order, March) and order.errand == ATTACK)


def goods(world: State) -> int:
    return int(world.villages.stocks.sum() + world.parties.load.sum() + world.market.amount.sum())


@some
@given(seeds, sizes, lengths)
def test_nobody_gains_what_nobody_has(seed: int, size: int, length: int) -> None:
    """Marching, trading, giving and robbing only move things."""
    for world, orders in turns(size, seed, length):
        before, produced = goods(world), world.production().sum()
        hour = world.step([order for order in orders if not _makes_or_breaks(order)])
        founded = sum(settled.village >= 0 for settled in hour.settled)
        made = produced - hour.wasted.sum() + world.production()[len(world.villages) - founded :].sum()
        eaten_max = world.upkeep().sum() + hour.deserted.sum() * max(HEADS)
        assert before + made - eaten_max <= goods(world) <= before + made


@some
@given(seeds, sizes, lengths)
def test_order_of_orders_means_nothing(seed: int, size: int, length: int) -> None:
    for world, orders in turns(size, seed, length):
        other = copy.deepcopy(world)
        shuffled = random.Random(seed).sample(orders, len(orders))
        one, two = world.step(orders), other.step(shuffled)
        assert (one.battles, one.settled, one.answered, one.missed) == (
            two.battles,
            two.settled,
            two.answered,
            two.missed,
        )
        assert world.digest() == other.digest()


def test_a_seed_is_a_world() -> None:
    assert World.found(20, 1).digest() == World.found(20, 1).digest()
    assert World.found(20, 1).digest() != World.found(20, 2).digest()
    assert World.found(20, 1).digest() != World.found(21, 1).digest()


def test_everything_in_the_state_is_in_the_digest() -> None:
    world = armed(6, 1)
    parts = (world.villages, world.players)
    for part in parts:
        for field in dataclasses.fields(part):
            other = copy.deepcopy(world)
            column = getattr(other.villages if part is world.villages else other.players, field.name)
            column.flat[0] += 1
            assert other.digest() != world.digest(), field.name


@pytest.mark.parametrize("size, seed", [(0, 1), (-1, 1), (1, -1)])
def test_no_world_of_nobody(size: int, seed: int) -> None:
    with pytest.raises(ValueError, match="at least one player"):
        World.found(size, seed)


@pytest.mark.parametrize("size", [2, 30, 300])
def test_nearby_villages_are_the_nearest(size: int) -> None:
    world = World.found(size, 5)
    at = world.villages.at
    apart = ((at[:size, None] - at[None]) ** 2).sum(axis=2)
    apart[np.arange(size), np.arange(size)] = np.iinfo(np.int64).max
    near = world.players.nearby
    assert (np.take_along_axis(apart, near, axis=1) == np.sort(apart, axis=1)[:, : near.shape[1]]).all()


def test_the_tribes_share_the_world() -> None:
    assert np.bincount(World.found(300, 5).players.tribe).tolist() == [100, 100, 100]


def test_buildings_are_built_one_after_the_other() -> None:
    world = World.found(2, 1)
    levels = world.villages.levels
    levels[0] = 0
    for building in (0, 1):
        world.step([Build(0, 0, building)])
    assert levels[0, :3].tolist() == [1, 1, 0]
    levels[0, :4] = 2
    world.villages.stocks[0] = 400
    world.step([Build(0, 0, 2)])
    assert world.villages.queue[0].tolist() == [2, -1, -1]
    assert world.planned_production()[0].sum() > world.production()[0].sum()
    world.step([Build(0, 0, 3)])
    assert levels[0].tolist() == [2, 2, 3, 2, 0, 0, 0, 0, 0]
    assert world.villages.queue[0].tolist() == [3, -1, -1]


def test_halls_make_haste() -> None:
    world = World.found(1, 1)
    world.villages.levels[0] = 12
    world.villages.levels[0, STOREHOUSE] = 15
    world.villages.stocks[0] = 10_000
    world.villages.levels[0, HALL] = 0
    world.step([Build(0, 0, 0)])
    slow = world.villages.queue_hours[0, 0]
    world.villages.levels[0, HALL] = 12
    world.step([Build(0, 0, 1)])
    assert (slow, world.villages.queue_hours[0, 1]) == (6, 3)


def test_what_finds_no_room_is_wasted() -> None:
    world = World.found(1, 1)
    world.villages.stocks[0] = 400
    hour = world.step([])
    assert hour.wasted[0] == world.production()[0].sum()
    assert world.villages.stocks[0].tolist() == [400] * 4


def test_hungry_soldiers_leave_and_none_starve_the_village() -> None:
    world = with_troops(World.found(1, 1), (100, 0, 20, 0, 0, 0))
    world.villages.stocks[0, 3] = 0
    made = int(world.production()[0, 3])
    hour = world.step([])
    assert hour.deserted[0] == 100 + (40 - made + 1) // 2
    assert_sound(world)


def everything_in_the_way() -> World:
    """0 can march, 1 can train, 2 is poor, 3 is busy; 4 offers a truce to 5, and 6 and 7 are in different alliances."""
    world = with_troops(World.found(8, 1), (0, 5, 0, 1, 1, 3), 0)
    villages, players = world.villages, world.players
    villages.at[:8] = [(2 * number, 0) for number in range(8)]
    villages.levels[1, BARRACKS], villages.levels[1, STOREHOUSE] = 1, 15
    villages.stocks[2] = 0
    villages.queue[3], villages.queue_hours[3] = [0] * QUEUE_MAX, [3] * QUEUE_MAX
    with_troops(world, (1, 0, 0, 0, 0, 0), 3)
    busy = np.full(PARTIES_MAX, 3)
    one = np.array([[1, 0, 0, 0, 0, 0]] * PARTIES_MAX)
    world.parties.add(number=world.next_numbers(PARTIES_MAX), village=busy, player=3, errand=RAID, hours=9, troops=one)
    players.trained[3, 0] += PARTIES_MAX
    villages.levels[4, MARKET] = 1
    world.step([Propose(4, 5, TRUCE, 0, 10), Sell(4, 4, 0, 50, 1)])
    players.alliance[[6, 7]] = world.next_numbers(2)
    villages.levels[0, HALL] = 2
    return world


GO = (0, 1, 0, 0, 0, 0)
SETTLERS = (0, 0, 0, 0, 0, SETTLERS_NEEDED)
ILLEGAL: list[tuple[Order, str]] = [
    (Build(8, 0, 0), "no such player"),
    (Build(-1, 0, 0), "mean nothing"),
    (Build(2**70, 0, 0), "mean nothing"),
    (Build(0, 1, 0), "not a village of this player"),
    (Build(0, 99, 0), "not a village of this player"),
    (Build(0, 0, len(BUILDINGS)), "no such building"),
    (Build(1, 1, STOREHOUSE), "highest level"),
    (Build(2, 2, WALL), "not enough resources"),
    (Build(3, 3, 0), "queue is full"),
    (Train(1, 1, 6, 1), "no such soldiers"),
    (Train(1, 1, 0, 0), "nobody would be trained"),
    (Train(0, 0, 0, 1), "barracks are too small"),
    (Train(1, 1, 2, 1), "barracks are too small"),
    (Train(1, 1, 0, 11), "train fewer"),
    (Train(1, 1, 1, 2**40), "mean nothing"),
    (Sell(4, 4, 4, 50, 1), "no such resource"),
    (Sell(4, 4, 1, 50, 1), "for itself"),
    (Sell(4, 4, 1, 5, 2), "not worth"),
    (Sell(4, 4, 1, 400, 2), "carries less"),
    (Sell(2, 2, 1, 50, 2), "not enough resources"),
    (Sell(4, 4, 1, 50, 2), "no merchant is free"),
    (Buy(1, 1, 999), "no such offer"),
    (Buy(4, 4, 5), "player's own offer"),
    (Buy(1, 1, 5), "no merchant is free"),
    (Buy(2, 2, 5), "not enough resources"),
    (March(0, 0, 7, 1, 0, GO), "no such errand"),
    (March(0, 0, RAID, 99, 0, GO), "no such place"),
    (March(0, 0, RAID, 0, 0, GO), "own village"),
    (March(0, 0, HELP, 1, 0, GO), "own and allied"),
    (March(0, 0, EVADE, 1, 1, GO), "comes home again"),
    (March(0, 0, EVADE, 0, 0, GO), "an hour at least"),
    (March(0, 0, EVADE, 0, 1, SETTLERS), "settlers stay"),
    (March(0, 0, ATTACK, 1, 13, GO), "12 hours at most"),
    (March(0, 0, ATTACK, 1, 0, (0,) * 6), "nobody would go"),
    (March(0, 0, ATTACK, 1, 0, (0, 6, 0, 0, 0, 0)), "fewer soldiers"),
    (March(0, 0, ATTACK, 1, 0, (0, 1)), "mean nothing"),
    (March(0, 0, ATTACK, 1, 0, (0, 1, 0, 0, 1, 0)), "neither scouts nor settlers"),
    (March(0, 0, SCOUT, 1, 0, GO), "only scouts"),
    (March(3, 3, RAID, 1, 0, (1, 0, 0, 0, 0, 0)), "too many parties"),
    (March(0, 0, SETTLE, 0, 0, GO), "settlers found"),
    (March(0, 0, SETTLE, 99, 0, SETTLERS), "no such place"),
    (Propose(0, 8, TRUCE, 0, 0), "no such player"),
    (Propose(0, 0, TRUCE, 0, 0), "with itself"),
    (Propose(0, 1, 2, 0, 0), "no such treaty"),
    (Propose(0, 1, TRUCE, 4, 0), "no such resource"),
    (Propose(0, 1, TRUCE, 0, 401), "largest gift"),
    (Propose(4, 5, TRUCE, 0, 0), "still open"),
    (Propose(6, 7, ALLIANCE, 0, 0), "in one alliance"),
    (Answer(5, 999, 1), "no such offer"),
    (Answer(5, 6, 2), "accepted .1. or refused .0."),
    (Answer(1, 6, 1), "somebody else"),
    (Leave(0, TRUCE, 1), "no truce"),
    (Leave(0, ALLIANCE, 0), "in no alliance"),
    (Prioritise(0, 5), "no such priority"),
]


@pytest.mark.parametrize("order, why", ILLEGAL, ids=[f"{type(order).__name__} {why}" for order, why in ILLEGAL])
def test_illegal_orders_are_refused_and_change_nothing(order: Order, why: str) -> None:
    world = everything_in_the_way()
    before = world.digest()
    assert world.problems([Prioritise(7, 0), order]).keys() == {1}
    with pytest.raises(IllegalOrder, match=why):
        world.step([Prioritise(7, 0), order])
    assert world.digest() == before


def test_no_village_without_halls_and_none_twice() -> None:
    world = everything_in_the_way()
    settle = March(0, 0, SETTLE, 0, 0, SETTLERS)
    assert world.problems([settle]) == {}
    world.taken[0] = 1
    assert "settled there" in world.problems([settle])[0]
    world.taken[0], world.villages.levels[0, HALL] = 0, 1
    assert "halls are too small" in world.problems([settle])[0]


def test_one_order_of_each_sort_a_turn() -> None:
    world = everything_in_the_way()
    build, raid = Build(0, 0, 0), March(0, 0, RAID, 1, 0, GO)
    settle, dealing, day = March(0, 0, SETTLE, 0, 0, SETTLERS), Propose(0, 1, TRUCE, 0, 0), Prioritise(0, 1)
    assert world.problems([build, raid, dealing, day]) == {}
    assert world.problems([settle, raid, dealing, day]) == {}
    assert set(world.problems([build, settle, raid])) == {0, 1}
    assert set(world.problems([raid, March(0, 0, SCOUT, 1, 0, (0, 0, 0, 0, 1, 0))])) == {0, 1}
    assert set(world.problems([dealing, Propose(0, 2, TRUCE, 0, 0), build])) == {0, 1}
    assert FIGHTER == 1
