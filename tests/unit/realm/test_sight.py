"""What players are shown is so, and what they may do is accepted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import given, settings

from hearthmind.contracts.observation import Choice, LegalAction, Observation, Parameter
from hearthmind.contracts.wire import Fact
from hearthmind.legal import problem
from hearthmind.scripted import choose
from realm import players
from realm.answers import as_order
from realm.contest import played
from realm.orders import Build, March, Propose, Train
from realm.outlook import FORCE_ERROR
from realm.players import Dice
from realm.rows import ATTACK, RAID
from realm.rules import ALLIANCE, DAY_H, SORTS, TROOPS
from realm.rules import ATTACK as STRENGTH
from realm.sight import COMBAT, DIPLOMACY, ECONOMIC, STRATEGIC, TACTICAL, Sight, look, names
from realm.world import World

from .worlds import armed, lengths, seeds, sizes, turns, with_troops

some = settings(max_examples=8, deadline=None)


def extremes(action: LegalAction) -> Iterator[dict[str, Fact]]:
    """All parameters at their lowest, then at their highest, then as advised."""
    for end in (0, -1):
        yield {
            key: value.enum[end] if isinstance(value, Choice) else (value.minimum, value.maximum)[end]
            for key, value in action.parameters.items()
        }
    yield players._advised(action)


def is_bounded(parameter: Parameter) -> bool:
    if isinstance(parameter, Choice):
        return parameter.default is None or parameter.default in parameter.enum
    return parameter.default is not None and parameter.minimum <= parameter.default <= parameter.maximum


@some
@given(seeds, sizes, lengths)
def test_every_legal_action_is_accepted_at_its_bounds(seed: int, size: int, length: int) -> None:
    for world, orders in turns(size, seed, length):
        for sight in look(world):
            assert 1 <= len(sight.legal_actions) <= 256
            for action in sight.legal_actions:
                assert all(is_bounded(value) for value in action.parameters.values())
                assert 0 <= action.appeal <= 1
                for arguments in extremes(action):
                    order = as_order(world, sight, action.name, arguments)
                    assert order is None or world.problems([order]) == {}
        assert world.problems(orders) == {}
        world.step(orders)


def observed(sight: Sight, world: World) -> Observation:
    return Observation(
        id="o",
        game="realm",
        npc=names(world)[sight.player],
        kind=sight.kind,
        legal_actions=sight.legal_actions,
        answer_within_ms=1000,
        snapshot=world.turn,
        priority=sight.priority,
    )


@some
@given(seeds, sizes, lengths)
def test_the_scripted_mind_plays_as_the_good_player_does(seed: int, size: int, length: int) -> None:
    for world, orders in turns(size, seed, length):
        for sight in look(world):
            seen = observed(sight, world)
            answer = choose(seen)
            assert problem(seen, answer.action, answer.arguments) is None
            mind = as_order(world, sight, answer.action, answer.arguments)
            assert mind == as_order(world, sight, *players.good(sight, Dice(np.random.PCG64(0))))
        world.step(orders)


@some
@given(seeds, sizes, lengths)
def test_looking_changes_nothing_and_some_see_what_all_see(seed: int, size: int, length: int) -> None:
    for world, orders in turns(size, seed, length):
        before = world.digest()
        everybody = look(world)
        assert look(world, [size - 1]) == [sight for sight in everybody if sight.player == size - 1]
        assert world.digest() == before
        world.step(orders)


def shown_to(sights: list[Sight], kind: str) -> dict[int, Any]:
    """What each player is shown with this kind of question, as it leaves the game."""
    return {sight.player: json.loads(json.dumps(sight.state)) for sight in sights if sight.kind == kind}


def test_what_is_shown_is_so() -> None:
    world = played([players.GOOD, *players.STYLES] * 4, 3, 60)
    sights = look(world)
    villages = world.villages
    for sight in sights:
        shown = json.loads(json.dumps(sight.state))
        assert shown["name"] == f"p{sight.player:04}"
        assert (shown["rank"], shown["of"]) == (world.ranks()[sight.player], 20)
        assert (shown["day"], shown["time"], shown["night"]) == (2, "12:00", False)
        assert shown["villages"] == world.villages_owned()[sight.player]
    for player, shown in shown_to(sights, ECONOMIC).items():
        village = int(shown["village"]["name"][1:])
        assert villages.owner[village] == player
        assert list(shown["village"]["resources"].values()) == villages.stocks[village].tolist()
        assert list(shown["village"]["buildings"].values()) == villages.levels[village].tolist()
        assert list(shown["village"]["troops"]) == list(TROOPS[world.players.tribe[player]])
        assert list(shown["village"]["troops"].values()) == villages.troops[village].tolist()
        assert shown["village"]["storage"] == world.storage()[village]
    for player, shown in shown_to(sights, COMBAT).items():
        for place, near in enumerate(shown["nearby"]):
            village = world.players.nearby[player, place]
            assert near["name"] == f"v{village:05}"
            seen = world.players.seen[player, place]
            assert near["seen_h_ago"] == (world.turn - seen if seen >= 0 else -1)
            if seen >= 0:
                assert near["defence"] == world.players.seen_defence[player, place]


def test_nobody_sees_what_nobody_looked_at() -> None:
    """Soldiers trained elsewhere change nothing of what a player is shown, but for the people they are."""
    world = armed(6, 1)
    before = shown_to(look(world), COMBAT)[0]["nearby"]
    world.villages.stocks[1:6] += 100
    world.players.tribe[1:6] = 0
    assert shown_to(look(world), COMBAT)[0]["nearby"] == before


def test_all_kinds_are_asked_when_there_is_something_to_decide() -> None:
    world = World.found(30, 1)
    kinds = Counter(sight.kind for sight in look(world))
    assert kinds == {ECONOMIC: 30, STRATEGIC: 2, DIPLOMACY: 3}
    with_troops(world, (0, 9, 0, 0, 1, 0), 0)
    assert [(sight.player, sight.priority) for sight in look(world) if sight.kind == COMBAT] == [(0, 4)]
    target = 1
    world.villages.at[target] = world.villages.at[0] + 9
    world.step([March(0, 0, RAID, target, 0, (0, 9, 0, 0, 0, 0))])
    (attacked,) = (sight for sight in look(world) if sight.kind == TACTICAL)
    assert (attacked.player, attacked.village, attacked.priority) == (target, target, 1)
    assert [action.name for action in attacked.legal_actions] == ["hold"]
    (incoming,) = json.loads(json.dumps(attacked.state))["incoming"]
    truth = 9 * STRENGTH[world.players.tribe[0], 1]
    assert abs(incoming["strength"] - truth) <= truth * FORCE_ERROR / 100
    days = {sight.player for hour in range(DAY_H) for sight in look(_at(world, hour)) if sight.kind == STRATEGIC}
    assert days == set(range(30))


def _at(world: World, hour: int) -> World:
    world.turn = hour
    return world


def test_an_offer_is_shown_to_whom_it_is_made() -> None:
    world = World.found(4, 1)
    world.step([Propose(0, 1, ALLIANCE, 2, 30)])
    (asked,) = (sight for sight in look(world) if sight.kind == DIPLOMACY and sight.player == 1)
    (offer,) = json.loads(json.dumps(asked.state))["offers"]
    assert offer == {"offer": "o1", "from": "p0000", "treaty": "alliance", "gift": {"iron": 30}}
    assert {"accept", "refuse"} <= {action.name for action in asked.legal_actions}


def test_answers_become_orders() -> None:
    world = with_troops(World.found(3, 1), (4, 5, 0, 0, 0, 3), 1)

    def sight(kind: str) -> Sight:
        return Sight(1, kind, 1, 1, 5, {}, ())

    assert as_order(world, sight(ECONOMIC), "wait", {}) is None
    assert as_order(world, sight(COMBAT), "hold", {}) is None
    assert as_order(world, sight(ECONOMIC), "build", {"what": "farm"}) == Build(1, 1, 3)
    rider = TROOPS[world.players.tribe[1]][2]
    assert as_order(world, sight(ECONOMIC), f"train_{rider}", {"amount": 2}) == Train(1, 1, 2, 2)
    arguments: dict[str, Fact] = {"target": "v00002", rider: 3, "predicted": "win", "depart_at": "04:00"}
    order = March(1, 1, ATTACK, 2, 4, (0, 0, 3, 0, 0, 0))
    assert as_order(world, sight(COMBAT), "attack", arguments) == order
    evade = as_order(world, sight(TACTICAL), "evade", {"hours": 2})
    assert isinstance(evade, March)
    assert evade.troops == (4, 5, 0, 0, 0, 0)
    assert len(evade.troops) == SORTS


def test_nobody_is_alone_and_still_fine() -> None:
    world = armed(1, 1)
    world.turn = 1
    assert [sight.kind for sight in look(world)] == [ECONOMIC]
