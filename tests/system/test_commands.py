"""The commands as a user runs them: each in its own process, on servers of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from hearthmind.embedded import postgres
from hearthmind.settings import as_environment
from services.command.platform import read_connection

ROOT = Path(__file__).parents[2]
HEARTHMIND = (sys.executable, "-m", "services.command")


def hearthmind(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    command, env = [*HEARTHMIND, *map(str, arguments)], {**os.environ, **environ}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, timeout=180)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("demo")
    yield folder
    postgres.remove(folder / "postgres")


@pytest.fixture(scope="module")
def summary(home: Path) -> dict[str, object]:
    """The last line of a short demo in which everything is traced."""
    run = hearthmind("demo", "--npcs", 20, "--seconds", 9, "--json", "--sample", 1, "--folder", home)
    assert run.returncode == 0, run.stderr
    found: dict[str, object] = json.loads(run.stdout.splitlines()[-1])
    return found


def processes_in(folder: Path) -> list[str]:
    """The processes that have the folder in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_text())
    return [line for line in found if str(folder) in line]


def test_the_demo_counts_everything(summary: dict[str, object], home: Path) -> None:
    assert set(summary) == {
        "observations", "actions", "by_source", "illegal", "late", "doubled", "outcomes", "experiences", "lost",
        "latency_ms", "decisions_per_s", "slowest",
    }  # fmt: skip
    asked = summary["observations"]
    assert isinstance(asked, int)
    assert asked > 20
    assert asked == summary["actions"] == summary["outcomes"] == summary["experiences"]
    assert (summary["illegal"], summary["doubled"], summary["lost"]) == (0, 0, 0)
    sources = summary["by_source"]
    assert isinstance(sources, dict)
    assert {"rules", "model"} <= set(sources)
    assert sum(sources.values()) == asked
    assert processes_in(home) == []


def test_one_trace_goes_from_the_observation_to_the_reward(summary: dict[str, object], home: Path) -> None:
    run = hearthmind("trace", summary["slowest"], "--folder", home / "traces")
    assert run.returncode == 0, run.stdout
    spans = re.findall(r"(\w+)  +(?:game|decision|inference_worker|reward) +[\d.]+ m?s", run.stdout)
    assert spans[:2] == ["observe", "decide"]
    assert spans[-3:] == ["act", "report", "store"]
    assert "reward" in run.stdout


def test_a_trace_that_is_not_there_says_why(home: Path, summary: dict[str, object]) -> None:
    run = hearthmind("trace", "no-such-decision", "--folder", home / "traces")
    assert run.returncode == 1
    assert "sampled" in run.stdout


def test_the_demo_runs_again_in_the_same_folder(summary: dict[str, object], home: Path) -> None:
    run = hearthmind("demo", "--npcs", 5, "--seconds", 1, "--json", "--folder", home)
    again = json.loads(run.stdout.splitlines()[-1])
    assert run.returncode == 0, run.stderr
    assert again["experiences"] == again["observations"] > 0


@dataclass
class Up:
    process: Process
    address: str
    folder: Path


@pytest.fixture(scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Up]:
    """`hearthmind up --game castle`, as it runs for a user."""
    folder = tmp_path_factory.mktemp("up")
    argv = (*HEARTHMIND, "up", "--game", "castle", "--folder", str(folder))
    process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE, cwd=ROOT)
    assert process.stdout
    address = ""
    async with asyncio.timeout(60):
        async for line in process.stdout:
            if line.startswith(b"game castle: "):
                address = line.decode().split()[-1]
            if b"Ctrl-C" in line:
                break
    yield Up(process, address, folder)
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.communicate(), 60)
    postgres.remove(folder / "postgres")


async def test_the_readmes_game_connects(up: Up, folder: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    game = folder / "castle.py"
    assert 'npc="guard",' in snippet
    game.write_text(snippet.replace('npc="guard",', 'npc="guard", answer_within_s=30,'))  # however busy the machine is
    process = await asyncio.create_subprocess_exec(sys.executable, str(game), up.address, stdout=PIPE)
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    assert said.decode().strip() == "walk {'to': 'gate'} by rules"


async def test_doctor_finds_the_platform(up: Up) -> None:
    run = await asyncio.to_thread(hearthmind, "doctor", "--folder", up.folder)
    assert run.returncode == 0, run.stdout
    assert "accepts provision" in run.stdout
    assert re.search(r"ok +database", run.stdout)
    assert re.search(r"decision\.triage .*default", run.stdout)


@pytest.mark.parametrize("by", ["folder", "settings"])
async def test_doctor_and_dead_letters_look_where_they_are_told_to(by: str, up: Up, folder: Path) -> None:
    running = read_connection(up.folder)
    assert running
    provision = {**as_environment("broker", running.broker("provision")), "DATABASE_URL": running.database_url}
    place, environ = (up.folder, {}) if by == "folder" else (folder, provision)
    found = await asyncio.to_thread(hearthmind, "doctor", "--folder", place, **environ)
    assert found.returncode == 0, found.stdout
    assert re.search(r"ok +broker: NATS \S+ at \S+ accepts provision", found.stdout)
    assert re.search(r"ok +database", found.stdout)
    assert ("nats-server" in found.stdout) is (by == "folder"), "who names a broker needs no program for one here"
    letters = await asyncio.to_thread(hearthmind, "dead-letters", "--folder", place, **environ)
    assert letters.stdout.startswith("0 dead letters"), letters.stderr


async def test_a_second_platform_in_the_same_folder_is_refused(up: Up) -> None:
    run = await asyncio.to_thread(hearthmind, "up", "--folder", up.folder)
    assert run.returncode == 78
    assert "AlreadyRunning" in run.stderr


async def test_ctrl_c_ends_everything_and_leaves_nothing(up: Up) -> None:
    assert processes_in(up.folder)
    up.process.send_signal(signal.SIGINT)
    await asyncio.wait_for(up.process.communicate(), 60)
    assert up.process.returncode == 0
    assert processes_in(up.folder) == []


def test_doctor_says_what_to_do_where_nothing_runs(folder: Path) -> None:
    run = hearthmind("doctor", "--folder", folder)
    assert "./just up" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("demo", "--npcs", "0"), "--npcs"),
        (("demo", "--sample", "2"), "--sample"),
        (("fly",), "fly"),
        (("up", "--game", "a.b"), "not a valid game"),
    ],
)
def test_a_wrong_argument_is_named(arguments: tuple[str, ...], words: str, folder: Path) -> None:
    at = ("--folder", folder) if arguments[0] != "fly" else ()
    run = hearthmind(*arguments, *at)
    assert run.returncode != 0
    assert words in " ".join((run.stdout + run.stderr).split())


def test_a_setting_that_nobody_knows_is_named() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "services.decision"],
        env={"HEARTHMIND_DECISION__TRIAG": "x"},
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert run.returncode == 78
    assert "HEARTHMIND_DECISION__TRIAGE" in run.stderr
