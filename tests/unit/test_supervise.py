"""The supervisor, on real processes: order, starting again, giving up with the reason, leaving nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hearthmind.embedded.output import Output
from hearthmind.embedded.processes import (
    AlreadyRunning,
    BadConfiguration,
    Command,
    EndedInVain,
    NotReady,
    Supervisor,
)
from hearthmind.testing.waiting import until

FOREVER = "import signal; signal.pause()"


def python(name: str, program: str, **options: object) -> Command:
    return Command(name, (sys.executable, "-u", "-c", program), **options)  # type: ignore[arg-type]


def exists(path: Path) -> Callable[[], Awaitable[bool]]:
    return lambda: asyncio.to_thread(path.exists)


def is_gone(pid: int) -> bool:
    """Gone, or dead and only not yet taken note of by its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


async def test_starts_in_order_and_stops_in_reverse(tmp_path: Path) -> None:
    said: list[str] = []
    ready = tmp_path / "ready"
    commands = [
        python("first", f"open({str(ready)!r}, 'w'); {FOREVER}", ready=exists(ready)),
        python("second", FOREVER),
    ]
    async with Supervisor(commands, tmp_path, say=said.append) as supervisor:
        pids = [supervisor.pid("first"), supervisor.pid("second")]
    assert [line.split(" after")[0] for line in said] == [
        "first: ready",
        "second: ready",
        "second: stopped",
        "first: stopped",
    ]
    assert all(pid and is_gone(pid) for pid in pids)


async def test_starts_again_what_was_killed(tmp_path: Path) -> None:
    lives = 0

    async def after_start() -> None:
        nonlocal lives
        lives += 1

    async with Supervisor([python("it", FOREVER, after_start=after_start)], tmp_path) as supervisor:
        for restarts in (1, 2):
            pid = supervisor.pid("it")
            assert pid
            os.kill(pid, signal.SIGKILL)
            await supervisor.wait_ready("it", other_than=pid)
            assert (lives, supervisor.restarts("it")) == (restarts + 1, restarts)


async def test_a_failure_after_the_start_is_tried_again_once_it_worked_before(tmp_path: Path) -> None:
    said: list[str] = []
    outcomes = iter((None, OSError("not yet"), None))

    async def after_start() -> None:
        if error := next(outcomes):
            raise error

    async with Supervisor([python("it", FOREVER, after_start=after_start)], tmp_path, say=said.append) as supervisor:
        pid = supervisor.pid("it")
        assert pid
        os.kill(pid, signal.SIGKILL)
        await supervisor.wait_ready("it", other_than=pid)
    assert "it: ended (not yet), starts again in 0.4 s" in said


async def test_bad_configuration_is_not_tried_again(tmp_path: Path) -> None:
    program = "import sys; print('the password of reward was refused'); sys.exit(78)"
    it = python("it", program, ready=exists(tmp_path / "never"))
    supervisor = Supervisor([python("before", FOREVER), it], tmp_path)
    with pytest.raises(
        BadConfiguration, match=r"it can't run with its settings(.|\n)*the password of reward was refused"
    ):
        await supervisor.start()
    assert supervisor.restarts("it") == 0
    assert supervisor.pid("before") is None


async def test_bad_configuration_later_ends_the_wait(tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    program = f"import os, sys; os.path.exists({str(changed)!r}) and sys.exit(78); {FOREVER}"
    async with Supervisor([python("it", program)], tmp_path) as supervisor:
        changed.touch()
        pid = supervisor.pid("it")
        assert pid
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(BadConfiguration):
            await supervisor.wait()


async def test_what_never_gets_ready_says_what_it_said(tmp_path: Path) -> None:
    said = tmp_path / "logs" / "it.log"
    command = python("it", f"print('waiting for a miracle'); {FOREVER}", ready=exists(tmp_path / "never"))
    with pytest.raises(NotReady, match="waiting for a miracle"):
        await Supervisor([command], tmp_path, ready_within_s=1).start()
    assert said.read_text() == "waiting for a miracle\n"


async def test_what_needs_longer_than_the_others_gets_it(tmp_path: Path) -> None:
    here = tmp_path / "here"
    program = f"import time; time.sleep(0.5); open({str(here)!r}, 'w'); {FOREVER}"
    command = python("it", program, ready=exists(here), ready_within_s=60)
    async with Supervisor([command], tmp_path, ready_within_s=0.1) as supervisor:
        assert supervisor.pid("it")


async def test_what_ends_again_and_again_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(EndedInVain, match=r"(?s)exit status 1\).*\nZeroDivisionError"):
        await Supervisor([python("it", "1 / 0", ready=exists(tmp_path / "never"))], tmp_path).start()


async def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="no-such-program can't be started: No such file"):
        await Supervisor([Command("it", ("no-such-program",), ready=exists(tmp_path / "never"))], tmp_path).start()


async def test_one_supervisor_for_one_folder(tmp_path: Path) -> None:
    async with Supervisor([], tmp_path):
        with pytest.raises(AlreadyRunning, match=f"process {os.getpid()} already works in {tmp_path}"):
            await Supervisor([], tmp_path).start()
    async with Supervisor([], tmp_path):
        pass


async def test_ends_what_does_not_want_to_with_its_children(tmp_path: Path) -> None:
    child = tmp_path / "child"
    program = (
        "import os, pathlib, signal, subprocess, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pid = subprocess.Popen(['sleep', '1000']).pid\n"
        f"pathlib.Path({str(child)!r}).write_text(f'{{pid}}.')\n"
        "while True: signal.pause()"
    )
    command = python("it", program, ready=exists(child), stop_within_s=0.1)
    async with Supervisor([command], tmp_path) as supervisor:
        pid = supervisor.pid("it")
        await until(lambda: child.read_text().endswith("."))
    assert pid
    assert is_gone(pid)
    await until(lambda: is_gone(int(child.read_text().rstrip("."))))


def test_output_is_bounded(tmp_path: Path) -> None:
    output = Output(tmp_path / "logs" / "it.log", size_max_bytes=1000)
    opened = output.open()
    for number in range(500):
        os.write(opened, f"line {number}\n".encode())
        output.trim()
    os.close(opened)
    assert output.last_lines().endswith("line 499")
    assert len(output.last_lines().splitlines()) <= 12
    files = sorted(path.name for path in output.path.parent.iterdir())
    assert files == ["it.log", "it.log.1"]
    assert all(path.stat().st_size <= 1020 for path in output.path.parent.iterdir())


def test_output_of_an_earlier_life_is_not_taken_for_the_present_one(tmp_path: Path) -> None:
    output = Output(tmp_path / "it.log")
    opened = output.open()
    os.write(opened, b"the old story\n")
    os.close(opened)
    os.close(output.open())
    assert output.last_lines() == ""
