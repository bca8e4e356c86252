"""What players are shown is so, and what they may do is accepted."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings

from hearthmind.contracts.observation import Choice, LegalAction, Observation, Parameter
from hearthmind.contracts.wire import Fact
from hearthmind.legal import problem
from hearthmind.scripted import choose
from realm import players
from realm.contest import played
from realm.orders import Build, Raid, Train
from realm.outlook import ESTIMATE_ERROR
from realm.players import Dice
from realm.rules import DEFENCE, MILITIA
from realm.sight import COMBAT, ECONOMIC, Sight, as_order, look, names
from realm.world import World

from .worlds import armed, lengths, seeds, sizes, turns

some = settings(max_examples=15, deadline=None)


def extremes(action: LegalAction) -> Iterator[dict[str, Fact]]:
    """All parameters at their lowest, then at their highest, then as advised."""
    for end in (0, -1):
        yield {
            key: value.enum[end] if isinstance(value, Choice) else (value.minimum, value.maximum)[end]
            for key, value in action.parameters.items()
        }
    yield {key: value.default for key, value in action.parameters.items() if value.default is not None}


def is_bounded(parameter: Parameter) -> bool:
    if isinstance(parameter, Choice):
        return parameter.default in parameter.enum
    return parameter.default is not None and parameter.minimum <= parameter.default <= parameter.maximum


@some
@given(seeds, sizes, lengths)
def test_every_legal_action_is_accepted_at_its_bounds(seed: int, size: int, length: int) -> None:
    for world, orders in turns(size, seed, length):
        for sight in look(world):
            assert 1 <= len(sight.legal_actions) <= 256
            for action in sight.legal_actions:
                assert all(is_bounded(value) for value in action.parameters.values())
                for arguments in extremes(action):
                    order = as_order(sight.player, action.name, arguments)
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
            mind = as_order(sight.player, answer.action, answer.arguments)
            assert mind == players.good(sight, Dice(np.random.PCG64(0)))
            assert all(0 <= action.appeal <= 1 for action in sight.legal_actions)
        world.step(orders)


def test_what_is_shown_is_so() -> None:
    world = played([players.good, players.random] * 10, 3, 40)
    sights = look(world)
    state = {sight.player: sight.state for sight in sights}
    for player in range(20):
        shown = json.loads(json.dumps(state[player]))
        assert shown["name"] == f"p{player:04}"
        assert list(shown["resources"].values()) == world.stocks[player].tolist()
        assert list(shown["buildings"].values()) == world.levels[player].tolist()
        assert list(shown["troops"].values()) == world.troops[player].tolist()
        assert (shown["rank"], shown["of"]) == (world.ranks()[player], 20)
        assert shown["storage"] == world.storage()[player]
        assert len(shown["raids"]) == (world.raid_hours[player] > 0).sum()
        for place, near in enumerate(shown["nearby"]):
            village = world.nearby[player, place]
            assert near["name"] == names(world)[village]
            truth = world.soldiers()[village] @ DEFENCE + MILITIA
            assert abs(near["defence"] - truth) <= ESTIMATE_ERROR * truth + 5


def test_combat_is_asked_of_those_who_can_fight_or_must() -> None:
    world = World.found(3, 1)
    assert [sight.kind for sight in look(world)] == [ECONOMIC] * 3
    assert {sight.priority for sight in look(world)} == {8}
    world.troops[0] = world.trained[0] = (0, 9, 0)
    assert [(sight.player, sight.priority) for sight in look(world) if sight.kind == COMBAT] == [(0, 4)]
    world.at[1] = world.at[0] + 9
    world.step([Raid(0, 1, (0, 9, 0))])
    attacked = [sight for sight in look(world) if sight.kind == COMBAT]
    assert [(sight.player, sight.priority) for sight in attacked] == [(1, 2)]
    assert [action.name for action in attacked[0].legal_actions] == ["hold"]
    incoming = attacked[0].state["incoming"]
    assert isinstance(incoming, list)
    assert len(incoming) == 1


def test_answers_become_orders() -> None:
    assert as_order(1, "wait", {}) is None
    assert as_order(1, "hold", {}) is None
    assert as_order(1, "build", {"what": "farm"}) == Build(1, 3)
    assert as_order(1, "train_rider", {"amount": 2}) == Train(1, 2, 2)
    arguments: dict[str, Fact] = {"target": "hamlet0012", "rider": 3, "predicted": "win"}
    assert as_order(1, "raid", arguments) == Raid(1, 12, (0, 0, 3))


def test_nobody_is_alone_and_still_fine() -> None:
    world = armed(1, 1)
    assert [sight.kind for sight in look(world)] == [ECONOMIC]
