"""A world is its log."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realm import players
from realm.contest import played
from realm.log import BrokenLog, Log, replay
from realm.orders import Order
from realm.players import Style
from realm.world import World

from .worlds import seeds, sizes


def written(path: Path, size: int, seed: int, turns: int, style: Style) -> World:
    with path.open("w") as file:
        log: list[Log] = []

        def write(world: World, orders: list[Order]) -> None:
            if not log:
                log.append(Log(file, world))
            log[0].turn(orders)

        world = played([style] * size, seed, turns, write)
        if not log:
            Log(file, world)
    return world


@settings(max_examples=20, deadline=None)
@given(seeds, sizes, st.integers(0, 60), st.sampled_from([players.GOOD, players.RANDOM]))
def test_replay_is_the_same_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, seed: int, size: int, turns: int, style: Style
) -> None:
    path = tmp_path_factory.mktemp("log") / "realm.jsonl"
    world = written(path, size, seed, turns, style)
    again = replay(path)
    assert again.digest() == world.digest()
    assert again.turn == turns


def test_a_log_that_was_cut_off_replays_to_its_last_whole_turn(tmp_path: Path) -> None:
    path = tmp_path / "realm.jsonl"
    written(path, 5, 1, 30, players.GOOD)
    path.write_text(path.read_text()[:-1])
    assert replay(path).turn == 29


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "no log of the Realm"),
        ("{}\n", "no log of the Realm"),
        ("rubbish\n", "can't be replayed"),
        ('{"realm":2}\n', "can't be replayed"),
        ('{"realm":2,"seed":1,"players":2}\n[["march",1]]\n', "is no order"),
        ('{"realm":2,"seed":1,"players":2}\n[["build",1,1,"farm"]]\n', "mean nothing"),
        ('{"realm":2,"seed":1,"players":2}\n[["build",7,0,0]]\n', "no such player"),
        ('{"realm":2,"seed":1,"players":2}\n7\n', "can't be replayed"),
    ],
)
def test_a_broken_log_says_so(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "realm.jsonl"
    path.write_text(text)
    with pytest.raises(BrokenLog, match=why):
        replay(path)
