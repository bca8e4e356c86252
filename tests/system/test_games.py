"""The small games through the real platform: everything answered once, legally, and stored; and the demo of any game."""

from __future__ import annotations

import asyncio
import io
import json
import re
import subprocess
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from rich.console import Console, Group

from board.match import replay
from board.play import play as play_board
from hearthmind.client import connect
from hearthmind.embedded import postgres
from hearthmind.flow import game_user
from hearthmind.settings import Flow
from hearthmind.testing.waiting import until
from services.command.platform import Options, Platform
from services.command.view import LINES_MAX, picture
from village.people import TRICKS
from village.play import play as play_village

ROOT = Path(__file__).parents[2]
GAMES = ("board", "village")


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    """The platform as `hearthmind up --game board --game village` runs it."""
    folder = tmp_path_factory.mktemp("games")
    options = Options(folder=folder, flow=Flow(games=GAMES), sync_interval="1s", durable=False)
    try:
        async with Platform(options, say=lambda _: None) as running:
            yield running
    finally:
        postgres.remove(folder / "postgres")


def rows(platform: Platform, query: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(platform.connection.database_url) as connection:
        return connection.execute(query.encode(), values).fetchall()


async def play_through(platform: Platform, game: str, episode: str, turns: int, **more: object) -> int:
    """Plays so many turns; nothing is missing, illegal or double, up to the database. Returns how much was decided."""
    play: Callable[..., Awaitable[object]] = play_board if game == "board" else play_village
    seen: list[object] = []
    async with connect(platform.connection.url_of(game_user(game)), game=game) as mind:
        await play(
            mind,
            npcs=7,
            seed=5,
            until=lambda: len(seen) >= turns,
            on_turn=seen.append,
            turn_s=0,
            answer_within_s=10,
            episode=episode,
            **more,
        )
        assert await mind.wait_stored(within_s=60)
        tally = mind.tally
        assert tally.observations == tally.actions == mind.outcomes > turns
        assert (tally.replaced, tally.illegal, tally.late, tally.doubled) == (0, 0, 0, 0)
        assert set(tally.by_source) == {"rules"}
    stored = rows(platform, "SELECT decision FROM outcomes WHERE game = %s AND episode = %s", game, episode)
    assert len(stored) == len(set(stored)) == mind.outcomes
    return mind.outcomes


@pytest.mark.parametrize("rules", ["tic_tac_toe", "leduc_poker"])
async def test_board_is_played_over_the_bus(platform: Platform, folder: Path, rules: str) -> None:
    log = folder / "matches.jsonl"
    asked = await play_through(platform, "board", rules, turns=12, rules=rules, log=log)
    assert asked == 12 * 3
    returns = {brought for record, _ in replay(log) for brought in record.returns}
    facts = [row[0] for row in rows(platform, "SELECT facts FROM outcomes WHERE episode = %s", rules)]
    assert {one["returns"] for one in facts if one["finished"]} == returns


async def test_a_village_is_spoken_to_over_the_bus_and_words_are_kept_apart(platform: Platform) -> None:
    await play_through(platform, "village", "a-day", turns=15)
    chats = rows(platform, "SELECT facts FROM outcomes WHERE episode = 'a-day' AND kind = 'chat'")
    assert {"content", "traded", "gold_gained", "trust", "trust_change", "spoke"} == set(chats[0][0])

    def said() -> list[tuple[str, str]]:
        return rows(platform, "SELECT text, observation::text FROM texts JOIN decisions USING (game, decision)")

    await until(lambda: len(said()) == len(chats))
    assert {text for text, _ in said()} & set(TRICKS)
    everything = " ".join(observation for _, observation in said())
    assert not any(json.dumps(text).strip('"') in everything for text, _ in said())


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (
            ("board", "--rules", "connect_four", "--move-s", "0"),
            ("first table, match 0", "......."),
        ),
        (("village", "--hours", "4", "--hour-s", "0"), ("Day 1, 07:00", "visitor1")),
    ],
)
async def test_a_game_is_shown_by_its_own_command(
    platform: Platform, arguments: Sequence[str], shown: Sequence[str]
) -> None:
    game, *rest = arguments
    address = platform.connection.url_of(game_user(game))
    argv = (sys.executable, "-m", game, address, *rest)
    process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE, stderr=STDOUT, cwd=ROOT)
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    said = output.decode()
    assert process.returncode == 0, said
    assert all(words in said for words in shown)
    assert ", all stored" in said


def hearthmind(*arguments: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "services.command", *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=180)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("demo")
    yield folder
    postgres.remove(folder / "postgres")


@pytest.mark.parametrize("game", GAMES)
def test_the_demo_plays_any_game_and_counts_everything(home: Path, game: str) -> None:
    run = hearthmind("demo", "--game", game, "--npcs", 7, "--seconds", 2, "--json", "--folder", home)
    assert run.returncode == 0, run.stderr
    summary = json.loads(run.stdout.splitlines()[-1])
    assert summary["observations"] == summary["actions"] == summary["outcomes"] == summary["experiences"] > 0
    assert (summary["illegal"], summary["doubled"], summary["lost"]) == (0, 0, 0)


def test_what_a_game_refuses_is_a_message(home: Path) -> None:
    run = hearthmind("demo", "--game", "board", "--npcs", 1, "--seconds", 1, "--folder", home)
    assert run.returncode == 78
    assert "TooFewPlayers" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_game_that_is_not_there_lists_those_that_are(folder: Path) -> None:
    run = hearthmind("demo", "--game", "chess", "--folder", folder)
    assert run.returncode == 78
    assert re.search(r"no game called 'chess'.*: board, realm, village", " ".join(run.stderr.split()))


def test_the_live_view_draws_the_lines_of_any_game() -> None:
    many = [f"line {number}" for number in range(LINES_MAX + 1)]
    assert drawn(None) == drawn(SimpleNamespace()) == drawn(SimpleNamespace(actions={}, lines=())) == [""]
    assert drawn(SimpleNamespace(lines=many)) == many[:LINES_MAX]
    turn = SimpleNamespace(actions=Counter(rest=2, say=1_500), lines=["“[bold]give_gold[/bold]”", "x" * 200])
    assert drawn(turn) == ["actions  say 1,500   rest 2", "“[bold]give_gold[/bold]”", "x" * 79 + "…"]


def drawn(turn: Any) -> list[str]:
    """A turn as the live view shows it on a terminal of 80 columns."""
    screen = io.StringIO()
    Console(file=screen, width=80).print(Group(picture(turn)))  # alone, print would wrap it
    return screen.getvalue().splitlines()
