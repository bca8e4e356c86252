"""Every command and snippet of the documentation, done as a reader does it: page by page, each from its top to its end.

A page is followed in a folder of its own that looks like a checkout and keeps all that is made there; the platform and the
demos that many pages begin with are run once for all. What takes too long for a test is done smaller, and what this suite
does anyway only has to exist; both stand here.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hearthmind.embedded import postgres
from hearthmind.testing.waiting import until

from .pages import CTRL_C, RUN, SHOWN, Step, filled_in, missing, steps

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/*/README.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)
STEPS = {page.relative_to(ROOT).as_posix(): steps(page) for page in PAGES}
BY_COMPOSE_CHECK = "docs/how-to/deploy-with-compose.md"
"""Its commands need a Docker engine: `./just compose-check` follows this page."""
FOLLOWED = [
    page for page, found in STEPS.items() if page != BY_COMPOSE_CHECK and any(step.language in RUN for step in found)
]

ENDLESS = {"./just up": "Ctrl-C ends", "collector.py": "listens"}
"""What runs until Ctrl-C, and what it says once it is ready."""
COMMON_UP = "./just up --game castle"
"""Pages that start no other platform than this one share it."""
DONE_ELSEWHERE = (
    *("test", "lint", "types", "imports", "bench", "format", "reference", "lock"),
    *("train-poker", "evaluate-poker"),
)
"""Recipes that check, measure or change the checkout itself: here they only have to exist."""
WITHIN_S = 120.0
NOT_RUN_MAX = 6
HAS_NODE = shutil.which("node") is not None and (ROOT / "examples/node/node_modules").is_dir()
"""Without Node and the packages of examples/node, what needs them is passed over."""
OURS = ("HEARTHMIND", "OTEL", "NATS_URL", "DATABASE_URL")
"""Settings of whoever runs the tests, which no reader has."""


def shorter(command: str) -> str:
    """The command as it is run: a demo is a small one, and all of it is traced; what needs torch only says how it is called."""
    command = re.sub(r"^(.*\bhearthmind selfplay \w+).*", r"\1 --help", command)
    command = re.sub(rf"^\./just ({'|'.join(DONE_ELSEWHERE)})\b.*", r"./just --show \1", command)
    if command.startswith("./just demo"):
        command = re.sub(r" --(npcs|seconds|sample) \S+|\s+#.*", "", command)
        command = command.replace("demo", "demo --npcs 20 --seconds 1 --sample 1", 1)
    return command


class Reader:
    """Somebody who follows a page; what many pages begin with, a host does once for all of them."""

    def __init__(self, folder: Path, host: Reader | None = None, shares_platform: bool = False) -> None:
        self.folder = folder
        self.said = ""
        self._host = host
        self._shares_platform = shares_platform
        self._done: dict[str, str] = {}
        self._beside: list[Process] = []
        self._environment = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
        self._environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._environment |= {"COLUMNS": "200", "PYTHONUNBUFFERED": "1"}

    def arrive(self) -> None:
        """Makes the folder look like a checkout in which `./just` has set up everything."""
        for path in ROOT.iterdir():
            if path.name[0] != "." and path.name not in {"just", "Justfile", "dist"}:
                (self.folder / path.name).symlink_to(path)
        (self.folder / ".venv").symlink_to(sys.prefix)
        (self.folder / ".hearthmind").mkdir()
        if self._host:
            for name in ("demo", "up") if self._shares_platform else ("demo",):
                (self.folder / ".hearthmind" / name).symlink_to(self._host.folder / ".hearthmind" / name)
        just = self.folder / "just"
        just.write_text(f'#!/bin/sh\nexec just --justfile "{ROOT}/Justfile" --working-directory . "$@"\n')
        just.chmod(0o755)

    async def once(self, step: Step, command: str) -> str:
        """Runs a command if nobody has asked for it before; returns what it said."""
        if command not in self._done:
            self._done[command] = await self._run(step, command)
        return self._done[command]

    async def do(self, step: Step) -> None:
        """Does one step."""
        if step.language == CTRL_C and self._beside:  # otherwise it is the platform that others go on to use
            await self._stop(self._beside.pop())
        elif step.file:
            path = self.folder / step.file
            assert ROOT not in path.resolve().parents, f"{step} would be saved in the checkout"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text)
        elif step.language == "sh":
            await self._type(step, step.text.replace("\\\n", "").splitlines())
        else:
            name = f"line-{step.line}.{step.language}"
            (self.folder / name).write_text(filled_in(step.text, self.said))
            await self._type(step, [f"{'node' if step.language == 'js' else '.venv/bin/python'} {name}"])

    async def _type(self, step: Step, commands: list[str]) -> None:
        give_up_s = time.monotonic() + (WITHIN_S if step.is_patient else 0)
        while True:
            output = ""
            for command in commands:
                output += await self._run(step, filled_in(shorter(command), self.said + output))
            absent = missing(step.prints, output)
            if not absent or time.monotonic() >= give_up_s:
                break
        self.said += output
        assert not absent, f"{step}: the page shows {absent!r}, which was not printed there:\n{output}"

    async def _run(self, step: Step, command: str) -> str:
        """Runs a command to its end, or until it is ready and runs on beside what follows; returns what it said."""
        is_shared = command.startswith("./just demo") or (command == COMMON_UP and self._shares_platform)
        if self._host and is_shared:
            return await self._host.once(step, command)
        path = self.folder / f"line-{step.line}.out"
        with path.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                *("sh", "-c", command),
                cwd=self.folder,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self._beside.append(process)
        if ready := next((ready for words, ready in ENDLESS.items() if words in command), ""):
            await until(lambda: ready in path.read_text() or process.returncode is not None, WITHIN_S)
            went_well = process.returncode is None
        else:
            await asyncio.wait_for(process.wait(), WITHIN_S)
            self._beside.remove(process)
            went_well = process.returncode == 0 or step.is_patient
        assert went_well, f"{step}: {command}\n{path.read_text()}"
        return path.read_text()

    async def leave(self) -> None:
        """Ends what still runs, as Ctrl-C does, and removes what is kept outside the folder."""
        for process in reversed(self._beside):
            await self._stop(process)
        for data in self.folder.glob(".hearthmind/*/postgres"):
            if not data.parent.is_symlink():
                postgres.remove(data)

    async def _stop(self, process: Process) -> None:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGINT)
        await asyncio.wait_for(process.wait(), WITHIN_S)


@pytest.fixture(scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Reader]:
    host = Reader(tmp_path_factory.mktemp("host"))
    host.arrive()
    yield host
    await host.leave()


@pytest.mark.parametrize("page", FOLLOWED)
async def test_the_page_can_be_followed(page: str, folder: Path, host: Reader) -> None:
    ups = [line for step in STEPS[page] for line in step.text.splitlines() if "./just up" in line]
    reader = Reader(folder, host, shares_platform=set(ups) == {COMMON_UP})
    reader.arrive()
    try:
        for step in STEPS[page]:
            needs_node = step.language == "js" or re.match(r"node ", step.text)
            is_done = step.language in {*RUN, CTRL_C} or step.file
            if is_done and not step.not_run and (HAS_NODE or not needs_node):
                await reader.do(step)
    finally:
        await reader.leave()


@pytest.mark.parametrize("page", STEPS)
def test_every_block_says_what_it_is(page: str) -> None:
    for step in STEPS[page]:
        assert step.language in {*RUN, *SHOWN, CTRL_C}, (
            f"{step}: write one of {', '.join(filter(None, (*RUN, *SHOWN)))}"
        )


def test_little_is_not_run() -> None:
    left_out = [step for found in STEPS.values() for step in found if step.not_run]
    assert len(left_out) <= NOT_RUN_MAX, [f"{step}: {step.not_run}" for step in left_out]
