"""What players promise one another, and what it costs to break it."""

from __future__ import annotations

import numpy as np
import pytest

from realm.dealings import shift_trust
from realm.events import Answered, Hour
from realm.orders import Answer, Buy, Leave, March, Propose, Sell
from realm.rows import RAID
from realm.rules import (
    ALLIANCE,
    DAY_H,
    MARKET,
    OFFER_H,
    TRUCE,
    TRUCE_H,
    TRUST_BETRAYED,
    TRUST_ENDED,
    TRUST_KEPT,
    TRUST_REFUSED,
    TRUST_START,
    TRUST_WITNESSED,
)
from realm.world import World

from .worlds import with_troops


def neighbours() -> World:
    world = World.found(4, 1)
    world.villages.at[:4] = [(0, 0), (4, 0), (0, 4), (4, 4)]
    world.villages.levels[:4, MARKET] = 2
    world.turn = 8
    return world


def trust(world: World, of: int, into: int) -> int:
    place, known = world.contact(np.array([of]), np.array([into]))
    assert known[0]
    return int(world.players.trust[of, place[0]])


def agreed(world: World, treaty: int, maker: int = 0, to: int = 1, accept: int = 1, gift: int = 0) -> Answered:
    world.step([Propose(maker, to, treaty, 0, gift)])
    number = int(world.offers.number[-1])
    hour = world.step([Answer(to, number, accept)])
    assert len(world.offers) == 0
    return hour.answered[0]


def test_an_accepted_truce_binds_both_and_ends() -> None:
    world = neighbours()
    answered = agreed(world, TRUCE, gift=80)
    assert answered == Answered(0, 8, 1, TRUCE, True, TRUST_KEPT + 2, TRUST_KEPT)
    assert world.truce_between(np.array([1, 0]), np.array([0, 2])).tolist() == [True, False]
    assert trust(world, 1, 0) == TRUST_START + TRUST_KEPT + 2
    for _ in range(TRUCE_H):
        world.step([])
    assert len(world.truces) == 0


def test_a_gift_is_given_as_far_as_it_is_there() -> None:
    world = neighbours()
    world.step([Propose(0, 1, TRUCE, 0, 300)])
    world.villages.stocks[:2, 0] = [20, 0]
    made = world.production()[:2, 0]
    world.step([Answer(1, int(world.offers.number[0]), 1)])
    assert world.villages.stocks[:2, 0].tolist() == [made[0], 20 + made[1]]


def test_a_refusal_costs_a_little_and_nothing_else() -> None:
    world = neighbours()
    answered = agreed(world, ALLIANCE, accept=0)
    assert answered == Answered(0, 8, 1, ALLIANCE, False, 0, TRUST_REFUSED)
    assert world.players.alliance.tolist() == [0] * 4


def test_an_offer_that_nobody_answers_expires() -> None:
    world = neighbours()
    told: list[Answered] = list(world.step([Propose(0, 1, TRUCE, 0, 0)]).answered)
    for _ in range(OFFER_H):
        told += world.step([]).answered
    assert told == [Answered(0, 8, 1, TRUCE, False, 0, 0, expired=True)]
    assert len(world.offers) == 0


def test_alliances_grow_and_are_left() -> None:
    world = neighbours()
    agreed(world, ALLIANCE)
    agreed(world, ALLIANCE, maker=2, to=0)
    first = world.players.alliance[0]
    assert world.players.alliance.tolist() == [first, first, first, 0]
    before = trust(world, 1, 0)
    world.step([Leave(0, ALLIANCE, 0)])
    assert world.players.alliance.tolist() == [0, first, first, 0]
    assert trust(world, 1, 0) == before + TRUST_ENDED


def test_who_was_faster_does_not_decide_who_joins() -> None:
    """Two alliances ask the same player; it can't be in both, and the older offer counts."""
    world = neighbours()
    world.players.alliance[[0, 1]] = world.next_numbers(2)
    world.step([Propose(0, 2, ALLIANCE, 0, 0), Propose(2, 1, ALLIANCE, 0, 0)])
    mine, theirs = (int(number) for number in world.offers.number)
    answered = world.step([Answer(1, theirs, 1), Answer(2, mine, 1)]).answered
    assert [(told.maker, told.accepted) for told in answered] == [(0, True), (2, False)]


def test_a_truce_ended_openly_costs_less_than_one_broken() -> None:
    openly, broken = neighbours(), neighbours()
    for world in (openly, broken):
        agreed(world, TRUCE)
        with_troops(world, (0, 20, 0, 0, 0, 0), 0)
    before, seen = trust(openly, 1, 0), trust(openly, 2, 0)
    openly.step([Leave(0, TRUCE, 1)])
    assert trust(openly, 1, 0) == before + TRUST_ENDED
    hour = raided(broken)
    assert hour.battles[0].breach
    assert trust(broken, 1, 0) == before + TRUST_BETRAYED
    assert trust(broken, 2, 0) == seen + TRUST_WITNESSED
    assert trust(openly, 2, 0) == seen
    assert len(openly.truces) == len(broken.truces) == 0


def test_who_attacks_an_ally_is_out() -> None:
    world = neighbours()
    agreed(world, ALLIANCE)
    with_troops(world, (0, 20, 0, 0, 0, 0), 0)
    assert raided(world).battles[0].breach
    assert world.players.alliance[0] == 0
    assert world.players.alliance[1] > 0


def raided(world: World) -> Hour:
    hour = world.step([March(0, 0, RAID, 1, 0, (0, 20, 0, 0, 0, 0))])
    while not hour.battles:
        hour = world.step([])
    return hour


def test_merchants_carry_both_ways() -> None:
    world = neighbours()
    world.step([Sell(0, 0, 0, 60, 2)])
    before = world.villages.stocks.copy()
    assert world.step([Buy(1, 1, int(world.market.number[0]))]).missed == []
    assert len(world.market) == 0
    assert world.villages.stocks[1, 2] == before[1, 2] - 60 + world.production()[1, 2]
    assert world.parties.load.sum() == 120
    hours = world.parties.hours.tolist()
    assert hours == [1, 1]  # four cells at three an hour
    made = world.production()
    world.step([])
    assert world.villages.stocks[0, 2] == before[0, 2] + 2 * made[0, 2] + 60
    assert world.villages.stocks[1, 0] == before[1, 0] + 2 * made[1, 0] + 60


def test_the_nearest_gets_what_several_want() -> None:
    world = neighbours()
    world.villages.at[2] = (3, 1)
    world.step([Sell(0, 0, 0, 60, 2)])
    offer = int(world.market.number[0])
    hour = world.step([Buy(1, 1, offer), Buy(2, 2, offer)])
    assert [(miss.player, miss.offer) for miss in hour.missed] == [(1, offer)]
    assert world.parties.player.tolist() == [0, 2]


def test_what_nobody_wants_comes_back() -> None:
    world = neighbours()
    world.step([Sell(0, 0, 0, 60, 2)])
    world.villages.stocks[0] = 0
    for _ in range(DAY_H - 2):
        world.step([])
        world.villages.stocks[0] = 0
    made = world.production()[0, 0]
    world.step([])
    assert len(world.market) == 0
    assert world.villages.stocks[0, 0] == 60 + made


@pytest.mark.parametrize("change, expected", [(500, 100), (-500, 0)])
def test_trust_has_ends(change: int, expected: int) -> None:
    world = neighbours()
    shift_trust(world, np.array([0]), np.array([1]), change)
    assert trust(world, 0, 1) == expected
