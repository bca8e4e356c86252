"""`hearthmind check-game` against real games: right ones pass clean, and each planted mistake is found by its name."""

from __future__ import annotations

import asyncio
import io
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from rich.console import Console

from hearthmind.client import connect
from hearthmind.testing.waiting import until
from services.command.check_game import Check, run_check
from services.command.conformance.report import Report

ROOT = Path(__file__).parents[2]
GAMES = Path(__file__).with_name("planted_games")
CASTLE, BY_CLIENT = GAMES / "castle.py", GAMES / "by_client.py"
SECONDS = 25.0
AT_A_TIME = 6

PLANTED = {
    "never comes back": {"not-back"},
    "never sends again": {"never-sends-again"},
    "same id again": {"sent-again-under-same-id"},
    "fallback not reported": {"fallback-not-reported"},
    "no outcome": {"no-outcome"},
    "no fallback": {"stands-still", "late-executed"},
    "gives up early": {"gives-up-early"},
    "late action": {"late-executed"},
    "second action": {"second-executed", "outdated-executed", "outcome-changed"},
    "knows its sources": {"future-refused"},
    "crashes": {"crashed"},
    "reports twice": {"outcome-changed"},
    "other arguments": {"not-chosen", "not-legal"},
    "not legal": {"not-legal"},
    "always by the platform": {"wrong-by"},
    "always by the game": {"wrong-by", "fallback-without-observation"},
    "unknown decision": {"outcome-of-nothing", "no-outcome"},
    "of another": {"outcome-of-another"},
    "no type": {"wrong-message"},
    "no facts": {"no-facts"},
    "forgets nothing": {"sends-again-for-ever"},
    "no json": {"invalid-json"},
    "missing field": {"missing-field"},
    "not finite": {"non-finite"},
    "kind of another": {"misplaced"},
    "default out of bounds": {"default-not-legal"},
    "id used twice": {"id-used-twice", "message-id-shared"},
    "message id shared": {"message-id-shared"},
    "no message id": {"no-message-id"},
    "snapshot backwards": {"snapshot-backwards"},
    "too large": {"too-large"},
    "publishes where it may not": {"publish-denied"},
    "wrong inbox": {"subscribe-denied"},
}
"""What is planted into the castle, and what it leads to for certain; those that take longest come first."""

PERHAPS = {
    "late action": {"outcome-changed", "outdated-executed", "second-executed"},
    "no fallback": {"not-back"},
    "always by the platform": {"not-chosen"},
    "id used twice": {"outcome-of-another", "outcome-changed"},
}
"""What it may lead to besides, by what happens to come when."""

SLOW = {"answer-ignored", "gives-up-early", "sends-again-for-ever"}
"""What a machine with too much to do may earn besides: the game stands still when it is to answer."""


@pytest.fixture(scope="module")
async def reports(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, asyncio.Task[Report]]]:
    """The checks of all planted games, some at a time: each waits for deadlines most of its time."""
    folder = tmp_path_factory.mktemp("checks")
    places = asyncio.Semaphore(AT_A_TIME)

    async def check(number: int, mistake: str) -> Report:
        argv = (sys.executable, str(CASTLE), "{address}", mistake)
        async with places:
            return await run_check(Check("castle", folder / str(number), SECONDS, 0, argv), Console(file=io.StringIO()))

    tasks = {mistake: asyncio.create_task(check(number, mistake)) for number, mistake in enumerate(PLANTED)}
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


@pytest.mark.parametrize("mistake", PLANTED)
async def test_a_planted_mistake_is_found_by_its_name(mistake: str, reports: dict[str, asyncio.Task[Report]]) -> None:
    report = await reports[mistake]
    found = {finding.name for finding in report.findings}
    assert PLANTED[mistake] <= found <= PLANTED[mistake] | PERHAPS.get(mistake, set()) | SLOW
    assert report.passed == all(finding.level == "warning" for finding in report.findings)
    assert all(finding.count and finding.means and finding.do for finding in report.findings)


def check_game(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    argv = (sys.executable, "-m", "services.command", "check-game", "--folder", folder, *arguments)
    return subprocess.run([*map(str, argv)], capture_output=True, text=True, cwd=ROOT, timeout=120)


@pytest.mark.parametrize("game", [CASTLE, BY_CLIENT], ids=["nats-py and json", "the library"])
def test_a_right_game_passes_clean(game: Path, folder: Path) -> None:
    run = check_game(folder, "--game", "castle", "--", sys.executable, game, "{address}")
    assert run.returncode == 0, run.stdout
    assert "8 of 8 acts passed, 0 failed, 0 not tried; 0 errors" in run.stdout, run.stdout
    assert "The game keeps its part." in run.stdout


def test_as_json_it_is_one_object_and_errors_are_an_exit_status(folder: Path) -> None:
    run = check_game(folder, "--game", "castle", "--json", "--", sys.executable, CASTLE, "{address}", "not", "legal")
    assert run.returncode == 1, run.stderr
    result = json.loads(run.stdout)
    assert [finding["name"] for finding in result["findings"]] == ["not-legal"]
    assert result["findings"][0]["count"] == result["seen"]["outcomes"]
    assert {act["state"] for act in result["acts"]} <= {"passed", "failed"}
    assert "game castle: nats://game_castle:" in run.stderr


def test_a_game_that_says_nothing_is_told_where_to_connect(folder: Path) -> None:
    argv = ("--", sys.executable, CASTLE, "{address}", "says", "nothing")
    run = check_game(folder, "--game", "castle", "--seconds", 2, *argv)
    assert run.returncode == 1
    assert "silent" in run.stdout
    assert "Connect it to the address" in run.stdout


def test_a_game_that_ends_at_once_is_shown_with_its_last_words(folder: Path) -> None:
    run = check_game(folder, "--game", "castle", "--", sys.executable, "-c", "raise SystemExit('the cellar is locked')")
    assert run.returncode == 1
    assert "crashed" in run.stdout
    assert "the cellar is locked" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--game"),
        (("--game", "a.b"), "not a valid game"),
        (("--game", "castle", "--seconds", "0"), "--seconds"),
        (("--game", "castle", "--", "no-such-program"), "no-such-program"),
    ],
)
def test_wrong_usage_is_named(arguments: tuple[str, ...], words: str, folder: Path) -> None:
    run = check_game(folder, *arguments)
    assert run.returncode == 2
    assert words in " ".join(run.stderr.split())


@pytest.mark.parametrize("game", ["realm", "board", "village"])
async def test_nothing_is_found_in_our_own_games(game: str, folder: Path) -> None:
    """They connect by themselves to the address that is printed, as a game does that somebody starts by hand."""
    (found,) = entry_points(group="hearthmind.games", name=game)
    said = io.StringIO()
    checking = asyncio.create_task(run_check(Check(game, folder, SECONDS), Console(file=said, width=200)))
    await until(lambda: "Connect the game" in said.getvalue() or checking.done())
    (address,) = re.findall(rf"game {game}: (\S+)", said.getvalue())
    async with connect(address, game=game) as mind:
        await found.load()(mind, npcs=4, seed=7, until=checking.done, turn_s=0.01, answer_within_s=0.5)
    report = await checking
    assert {finding.name for finding in report.findings} <= SLOW, report.findings
    assert {act.name: act.state for act in report.acts} == dict.fromkeys((act.name for act in report.acts), "passed")
