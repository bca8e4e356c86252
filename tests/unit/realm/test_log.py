"""A world is its log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realm import players
from realm.log import BrokenLog, Log, replay
from realm.players import Dice, Player
from realm.sight import look
from realm.world import World

from .worlds import seeds, sizes


def played(path: Path, size: int, seed: int, turns: int, style: Player) -> World:
    world, dice = World.found(size, seed), Dice(np.random.PCG64(seed))
    with path.open("w") as file:
        log = Log(file, world)
        for _ in range(turns):
            orders = [order for sight in look(world) if (order := style(sight, dice)) is not None]
            log.turn(orders)
            world.step(orders)
    return world


@settings(max_examples=20, deadline=None)
@given(seeds, sizes, st.integers(0, 60), st.sampled_from([players.good, players.random]))
def test_replay_is_the_same_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, seed: int, size: int, turns: int, style: Player
) -> None:
    path = tmp_path_factory.mktemp("log") / "realm.jsonl"
    world = played(path, size, seed, turns, style)
    again = replay(path)
    assert again.digest() == world.digest()
    assert again.turn == turns


def test_a_log_that_was_cut_off_replays_to_its_last_whole_turn(tmp_path: Path) -> None:
    path = tmp_path / "realm.jsonl"
    played(path, 5, 1, 30, players.good)
    path.write_text(path.read_text()[:-1])
    assert replay(path).turn == 29


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "no log of the Realm"),
        ("{}\n", "no log of the Realm"),
        ("rubbish\n", "can't be replayed"),
        ('{"realm":1}\n', "can't be replayed"),
        ('{"realm":1,"seed":1,"players":2}\n[["march",1]]\n', "is no order"),
        ('{"realm":1,"seed":1,"players":2}\n[["build",1,"farm"]]\n', "is no order"),
        ('{"realm":1,"seed":1,"players":2}\n[["build",7,0]]\n', "no such player"),
        ('{"realm":1,"seed":1,"players":2}\n7\n', "can't be replayed"),
    ],
)
def test_a_broken_log_says_so(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "realm.jsonl"
    path.write_text(text)
    with pytest.raises(BrokenLog, match=why):
        replay(path)
