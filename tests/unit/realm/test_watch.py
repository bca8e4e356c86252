"""A world can be watched, in any terminal, live and again."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from realm import map as charted
from realm.contest import played, playing
from realm.history import Moment, followed
from realm.log import BrokenLog, Log, replayed
from realm.map import Banners, Grid, Mark, draw, on_the_road
from realm.news import news
from realm.orders import Leave, Order
from realm.players import RANDOM, STYLES, Style
from realm.rows import EVADE, SETTLE
from realm.rules import ALLIANCE, NIGHT_FROM, TRUCE
from realm.watch import SVG, Show, watch
from realm.world import World

from .worlds import seeds, turns

widths, heights = st.integers(1, 200), st.integers(1, 70)
INHABITED = {*"".join(charted.VILLAGE), charted.HAMLET, *charted.CROWD}


XTERM = {"TERM": "xterm-256color"}


def frame(show: Show, width: int, height: int, colours: bool = False) -> list[str]:
    console = Console(width=width, height=height, record=True, file=io.StringIO(), force_terminal=True)
    console.print(show, end="")
    return console.export_text(styles=colours).splitlines()


def shown(moments: Iterable[Moment], styles: tuple[Style, ...] = ()) -> Show:
    show = Show(styles)
    for world, hour in moments:
        show.tell(world, hour)
    return show


def logged(path: Path, styles: tuple[Style, ...], seed: int, length: int) -> World:
    """Plays a world and writes its log."""
    with path.open("w") as file:
        log = Log(file, World.found(len(styles), seed))

        def write(_: World, orders: list[Order]) -> None:
            log.turn(orders)

        return played(styles, seed, length, write)


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 400), widths, heights)
def test_every_village_is_on_the_map(seed: int, size: int, width: int, height: int) -> None:
    world = World.found(size, seed)
    lines = draw(world, Banners(), {}, width, height).plain.split("\n")
    rows, columns = Grid.fit(world, width, height).at(world.villages.at)
    assert {lines[row][column] for row, column in zip(rows, columns, strict=True)} <= INHABITED
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(1, 40), st.integers(0, 40))
def test_where_there_is_room_each_village_has_its_own_place(seed: int, size: int, more: int) -> None:
    world = World.found(size, seed)
    side = 1 + int(max(world.villages.at.max(), world.spots.max()))
    grid = Grid.fit(world, 2 * (side + more), side + more)
    assert grid.spreads
    assert len(set(zip(*(place.tolist() for place in grid.at(world.villages.at)), strict=True))) == len(world.villages)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 60), st.integers(0, 5), widths, heights)
def test_a_frame_is_never_larger_than_the_terminal(seed: int, size: int, length: int, width: int, height: int) -> None:
    styles = (STYLES * size)[:size]
    lines = frame(shown(playing(styles, seed, length), styles), width, height)
    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(2, 10), st.integers(1, 40))
def test_everybody_on_the_road_is_between_home_and_the_place_they_go_to(seed: int, size: int, length: int) -> None:
    for world, _ in turns(size, seed, length):
        parties = world.parties
        moving = np.flatnonzero(parties.errand != EVADE)
        points, _ways = on_the_road(world, moving)
        for place, point in zip(moving.tolist(), points, strict=True):
            target = int(parties.target[place])
            there = world.spots[target] if parties.errand[place] == SETTLE else world.villages.at[target]
            ends = np.stack([world.villages.at[parties.village[place]], there])
            assert (ends.min(axis=0) - 1e-9 <= point).all()
            assert (point <= ends.max(axis=0) + 1e-9).all()


def test_who_is_sent_out_gets_nearer_each_hour() -> None:
    way: dict[int, list[float]] = {}
    for world, _ in playing(STYLES * 3, 4, 60):
        going = np.flatnonzero((world.parties.phase == 0) & (world.parties.errand != EVADE))
        points, _ways = on_the_road(world, going)
        for number, point, place in zip(world.parties.number[going].tolist(), points, going.tolist(), strict=True):
            gone = float(np.hypot(*(point - world.villages.at[world.parties.village[place]])))
            way.setdefault(number, []).append(gone)
    assert max(map(len, way.values())) > 3
    assert all(gone == sorted(gone) for gone in way.values())


def test_a_replay_looks_like_the_game_at_every_turn(tmp_path: Path) -> None:
    styles = STYLES * 3
    world = logged(tmp_path / "realm.jsonl", styles, 5, 40)
    live, again = Show(), Show()
    for now, then in zip(playing(styles, 5, 40), replayed(tmp_path / "realm.jsonl"), strict=True):
        live.tell(*now)
        again.tell(*then)
        assert frame(live, 120, 40, colours=True) == frame(again, 120, 40, colours=True)
    assert now[0].turn == 40
    assert now[0].digest() == then[0].digest() == world.digest()


def test_a_log_is_followed_while_it_is_written_and_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "realm.jsonl"
    logged(path, STYLES, 1, 20)
    lines = path.read_text()
    cuts = iter((len(lines) // 3, 2 * len(lines) // 3, len(lines)))
    path.write_text(lines[:7])  # not even the first line is whole

    def more() -> bool:
        if (cut := next(cuts, None)) is None:
            return False
        with path.open("a") as file:
            file.write(lines[path.stat().st_size : cut])
        return True

    told = [world.turn for world, _ in followed(path, more)]
    assert told == list(range(21))


def test_a_broken_log_is_no_better_when_it_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "realm.jsonl"
    path.write_text("rubbish\n")
    with pytest.raises(BrokenLog, match=r"realm\.jsonl"):
        list(followed(path, lambda: False))


def test_battles_flash_where_they_are_fought() -> None:
    show, styles = Show(), STYLES * 6
    for world, hour in playing(styles, 1, 60):
        show.tell(world, hour)
        if hour and hour.battles and world.turn > NIGHT_FROM:
            break
    assert hour
    grid = Grid.fit(world, 78, 39)
    marked = {battle.target: Mark("✗", "#ff6b5e") for battle in hour.battles}
    lines = draw(world, Banners(), marked, 78, 39).plain.split("\n")
    for row, column in zip(*grid.at(world.villages.at[[*marked]]), strict=True):
        assert lines[row][column + 1] == "✗"
    assert any("✗" in line.split("││")[0] for line in frame(show, 160, 42))


def test_what_happens_is_told_the_most_telling_first() -> None:
    told = ""
    for world, hour in playing((*STYLES, RANDOM) * 5, 3, 120):
        if hour:
            lines = news(world, hour)
            assert [line.weight for line in lines] == sorted((line.weight for line in lines), reverse=True)
            assert sum(" fall" in line.text for line in lines) == len(hour.battles)
            told += "\n".join(line.text for line in lines)
    for what in ("storms", "robs", "is driven off", "founded", "make a truce", "make an alliance", "refuse", "trade"):
        assert what in told


def test_treaties_that_end_openly_are_told_of() -> None:
    world = World.found(5, 1)
    world.players.alliance[:3] = 1
    world.truces.add(one=np.array([3]), other=4, until=9)
    hour = world.step([Leave(2, ALLIANCE, 2), Leave(4, TRUCE, 3)])
    assert [line.text for line in news(world, hour)] == ["p0002 leaves its alliance", "p0004 ends its truce with p0003"]


def test_alliances_keep_their_colours_and_letters() -> None:
    banners, world = Banners(), World.found(200, 1)
    world.players.alliance[:] = np.arange(200) // 2 + 1
    banners.see(world)
    letters = [banners.letter(number) for number in range(1, 101)]
    assert len({*letters}) == 100
    world.players.alliance[:2] = 0
    banners.see(world)
    assert [banners.letter(number) for number in range(1, 101)] == letters
    assert banners.letter(0) == ""


def test_a_picture_of_a_frame_needs_nothing_from_elsewhere() -> None:
    console = Console(width=100, height=30, record=True, file=io.StringIO(), force_terminal=True)
    console.print(shown(playing(STYLES * 3, 1, 30), STYLES * 3), end="")
    picture = console.export_svg(code_format=SVG)
    assert "p0003" in picture
    assert re.findall(r"https?://[^\"' ]+", picture) == ["http://www.w3.org/2000/svg"]
    assert {link[:1] for link in re.findall(r"url\((.)", picture)} <= {"#"}
    assert "@import" not in picture
    assert "font-face" not in picture


def test_a_live_show_ends_with_the_world() -> None:
    terminal = io.StringIO()
    console = Console(width=100, height=30, file=terminal, force_terminal=True, _environ=XTERM)
    show = Show()
    watch(show, console, lambda rest: playing(STYLES, 1, 5), turns_per_s=0)
    assert "day 1, 00:00" in terminal.getvalue()
    assert "day 1, 05:00" in "\n".join(frame(show, 100, 30))


def test_who_waits_for_more_sees_what_there_is() -> None:
    terminal = io.StringIO()
    console = Console(width=100, height=30, file=terminal, force_terminal=True, _environ=XTERM)

    def moments(rest: object) -> Iterable[Moment]:
        yield from playing(STYLES, 1, 3)
        assert callable(rest)
        assert rest()
        assert "day 1, 03:00" in terminal.getvalue()

    watch(Show(), console, moments, turns_per_s=0)
