"""A history is kept, however long, and drawn."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realm.contest import playing
from realm.history import History, alliances
from realm.players import STYLES, Style
from realm.plot import draw_all
from realm.world import World

from .worlds import seeds

PICTURES = ["growth", "ranks", "war", "economy", "peace", "land"]


def kept(styles: tuple[Style, ...], seed: int, turns: int, moments_max: int = 512) -> tuple[History, World]:
    history = History(moments_max)
    for world, hour in playing(styles, seed, turns):
        history.add(world, hour)
    return history, world


@settings(max_examples=15, deadline=None)
@given(seeds, st.integers(1, 8), st.integers(0, 60))
def test_the_figures_are_those_of_the_world(seed: int, size: int, turns: int) -> None:
    history, world = kept((STYLES * size)[:size], seed, turns)
    assert history.turns == list(range(turns + 1))
    assert history.of_players("population")[-1].tolist() == world.population().tolist()
    assert history.of_players("rank")[-1].tolist() == world.ranks().tolist()
    assert history.of_players("army")[-1].tolist() == world.by_player(world.soldiers().sum(axis=1)).tolist()
    assert history.of_world("founded")[-1] == world.villages_owned().sum() - size
    won = sum(int(history.of_world(f"{errand} win")[-1]) for errand in ("raid", "attack"))
    lost = sum(int(history.of_world(f"{errand} loss")[-1]) for errand in ("raid", "attack"))
    assert world.players.won.sum() <= won + lost
    assert history.of_world("alliances")[-1] == len(alliances(world))
    assert (np.diff(history.of_players("wasted"), axis=0) >= 0).all()


@settings(max_examples=15, deadline=None)
@given(seeds, st.integers(0, 80), st.sampled_from([2, 4, 10]))
def test_a_long_history_is_thinned_out_and_loses_no_total(seed: int, turns: int, moments_max: int) -> None:
    thin, _ = kept(STYLES, seed, turns, moments_max)
    full, _ = kept(STYLES, seed, turns)
    assert len(thin.turns) <= moments_max
    assert len({*np.diff(thin.turns).tolist()}) <= 1
    for name in ("loot", "trade", "truce refused", "truces"):
        assert thin.of_world(name).tolist() == full.of_world(name)[thin.turns].tolist()
    wasted = full.of_players("wasted")[thin.turns]
    assert thin.of_players("wasted").tolist() == wasted.tolist()


@settings(max_examples=10, deadline=None)
@given(seeds, st.integers(0, 60))
def test_the_days_add_up(seed: int, turns: int) -> None:
    history, _ = kept(STYLES, seed, turns)
    for name in ("loot", "fallen", "truce refused"):
        days, grown = history.daily(history.of_world(name))
        assert days.tolist() == list(range(1, -(-turns // 24) + 1))
        assert grown.sum() == pytest.approx(history.of_world(name)[-1])


@pytest.mark.parametrize("form, begins", [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_pictures_are_drawn(tmp_path: Path, form: str, begins: bytes) -> None:
    styles = STYLES * 3
    history, world = kept(styles, 1, 60)
    paths = list(draw_all(history, world, styles, tmp_path, form))
    assert [path.name for path in paths] == [f"{name}.{form}" for name in PICTURES]
    for path in paths:
        assert path.read_bytes().startswith(begins)
        assert path.stat().st_size > 5_000


def test_pictures_need_nothing_from_elsewhere_and_are_the_same_again(tmp_path: Path) -> None:
    for again in ("one", "two"):
        (tmp_path / again).mkdir()
        history, world = kept(STYLES, 2, 30)
        list(draw_all(history, world, STYLES, tmp_path / again))
    for name in PICTURES:
        picture = (tmp_path / "one" / f"{name}.svg").read_text()
        assert {link[0] for link in re.findall(r'href="(.)', picture)} <= {"#"}
        assert "@import" not in picture
        assert picture == (tmp_path / "two" / f"{name}.svg").read_text()


@pytest.mark.parametrize("size, turns", [(1, 0), (1, 1), (2, 25)])
def test_the_smallest_worlds_are_drawn_without_styles(tmp_path: Path, size: int, turns: int) -> None:
    history, world = kept(STYLES[:size], 1, turns)
    assert len(list(draw_all(history, world, (), tmp_path))) == len(PICTURES)
