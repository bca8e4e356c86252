"""A set of processes that is kept alive: started in order, each again when it ends, stopped in reverse order.

The law: as long as the supervisor lives, each of its processes runs or is about to be started; once the supervisor is
gone, however it went, none of them is left. (After its kill by force that holds on Linux, where the kernel ends them with
the thread that started them: run the supervisor in a thread that lives as long as they shall.)
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from hearthmind.embedded.output import Output
from hearthmind.errors import CannotStart, HearthmindError

BACKOFF_FIRST_S = 0.2
BACKOFF_MOST_S = 5.0
SETTLED_AFTER_S = 10.0
"""A process that lived this long is started again as soon as if it had never ended before."""
STARTS_IN_VAIN_MAX = 5
"""So often a process may end before it was ready for the first time."""
POLL_S = 0.02
OUTPUT_CHECK_S = 5.0
KILLED_WITHIN_S = 8.0

ENTRY = Path(__file__).with_name("entry.py")

log = logging.getLogger("hearthmind.embedded")


class AlreadyRunning(CannotStart):
    """process {pid} already works in {folder}. End it first, or take another folder."""


class NotReady(CannotStart):
    """{name} was not ready within {within_s:g} s. {output}"""


class EndedInVain(CannotStart):
    """{name} ended again and again before it was ready ({how}). {output}"""


class Unwell(HearthmindError):
    """{why}"""


class BadConfiguration(CannotStart):
    """{name} can't run with its settings, and starting it again will not change that. {output}"""


@dataclass(frozen=True)
class Command:
    """A process to be kept alive."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment of the supervisor."""
    user: tuple[int, int] | None = None
    """The uid and gid to run as; only root can choose."""
    cwd: Path | None = None
    before_start: Callable[[], Awaitable[None]] | None = None
    """Run before each start."""
    ready: Callable[[], Awaitable[bool]] | None = None
    """Asked again and again after each start, until it says yes."""
    after_start: Callable[[], Awaitable[None]] | None = None
    """Run once it is ready, after each start; only then it counts as ready."""
    until_unwell: Callable[[], Awaitable[str]] | None = None
    """Run beside it as soon as it is ready; returns why it has to be started again."""
    ready_within_s: float | None = None
    """How long a start may take; None: as long as the supervisor gives to all."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within_s: float = 10.0
    kill_signal: signal.Signals = signal.SIGKILL
    """What ends it at once with all its own processes: after `stop_within_s`, and when the supervisor is gone."""


async def spawn(command: Command, output: int, stdin: int = DEVNULL) -> Process:
    """Starts a process that ends when this one does."""
    uid, gid = command.user or (-1, -1)
    entry = (ENTRY, os.getpid(), int(command.kill_signal), uid, gid)
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-S",
        *map(str, entry),
        *command.argv,
        stdin=stdin,
        stdout=output,
        stderr=STDOUT,
        env={**os.environ, **command.env},
        cwd=command.cwd,
        start_new_session=True,
    )


class Supervisor:
    """Keeps processes alive. They work in `folder`, where their output is kept too; `say` hears of each event."""

    def __init__(
        self,
        commands: Sequence[Command],
        folder: Path,
        *,
        say: Callable[[str], None] = log.info,
        ready_within_s: float = 30.0,
    ) -> None:
        self.folder = folder
        self.ready_within_s = ready_within_s
        self._lock: int | None = None
        self._kept = {
            command.name: _Kept(command, Output(folder / "logs" / f"{command.name}.log"), say, ready_within_s)
            for command in commands
        }

    async def start(self) -> None:
        """Starts one after the other, each when the one before is ready; raises when one can't be, and stops them."""
        self._lock = _lock(self.folder)
        try:
            for kept in self._kept.values():
                kept.task = asyncio.create_task(kept.keep(), name=kept.command.name)
                await kept.until_ready()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stops all, the last one first. Nothing is left behind."""
        for kept in reversed(self._kept.values()):
            await kept.stop()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def wait(self) -> None:
        """Waits until one of them is given up, and raises why."""
        tasks = [kept.task for kept in self._kept.values() if kept.task]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def wait_ready(self, name: str, *, other_than: int | None = None) -> None:
        """Waits until it is ready, as another process than `other_than`: give the pid that was just killed."""
        kept = self._kept[name]
        try:
            async with asyncio.timeout(kept.ready_within_s):
                await kept.until_ready(other_than)
        except TimeoutError:
            raise kept.not_ready() from None

    def pid(self, name: str) -> int | None:
        """The process as it runs now; None between two lives."""
        return self._kept[name].pid

    def restarts(self, name: str) -> int:
        """How often it was started again."""
        return max(0, self._kept[name].starts - 1)

    async def __aenter__(self) -> Supervisor:
        await self.start()
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.stop()


class _Kept:
    """One process through all its lives."""

    def __init__(self, command: Command, output: Output, say: Callable[[str], None], ready_within_s: float) -> None:
        self.command = command
        self.output = output
        self.ready_within_s = command.ready_within_s or ready_within_s
        self.task: asyncio.Task[None] | None = None
        self.pid: int | None = None
        self.starts = 0
        self._ready = False
        self._was_ready = False
        self._tell = say

    async def keep(self) -> None:
        """Runs it again and again, until cancelled; ends by itself only with the error of a start in vain."""
        loop = asyncio.get_running_loop()
        backoff_s = BACKOFF_FIRST_S
        self.starts, self._was_ready = 0, False
        while True:
            born_s = loop.time()
            self.starts += 1
            status = 0
            try:
                status = await self._live()
                how = _how(status)
            except Exception as error:
                if not self._was_ready:
                    raise
                how = (str(error) or type(error).__name__).splitlines()[0]
            self._give_up_in_vain(status)
            if loop.time() - born_s >= SETTLED_AFTER_S:
                backoff_s = BACKOFF_FIRST_S
            self._say(f"ended ({how}), starts again in {backoff_s:g} s")
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_MOST_S)

    async def until_ready(self, other_than: int | None = None) -> None:
        """Returns when it is ready, and raises when it was given up."""
        assert self.task is not None, "it was never started"
        while not self._ready or self.pid == other_than:
            if self.task.done():
                self.task.result()
            await asyncio.sleep(POLL_S)

    async def stop(self) -> None:
        """Ends it, and keeps it ended."""
        if self.task is None:
            return
        self.task.cancel()
        await asyncio.wait({self.task})
        if self.task.cancelled() or self.task.exception() is None:
            self._say("stopped")
        self.task = None

    def not_ready(self) -> NotReady:
        """The error of a start that takes too long."""
        return NotReady(name=self.command.name, within_s=self.ready_within_s, output=self._said())

    async def _live(self) -> int:
        """One life, from the start to the end, whoever ends it. Returns the exit status."""
        if self.command.before_start:
            await self.command.before_start()
        loop = asyncio.get_running_loop()
        born_s = loop.time()
        process = await self._spawn()
        self.pid = process.pid
        ended = asyncio.create_task(process.wait())
        coming_up = asyncio.create_task(self._come_up())
        watching = asyncio.create_task(self._watch(coming_up))
        try:
            await asyncio.wait({ended, coming_up}, timeout=self.ready_within_s, return_when=asyncio.FIRST_COMPLETED)
            if coming_up.done():
                coming_up.result()
                self._ready = self._was_ready = True
                self._say(f"ready after {loop.time() - born_s:.1f} s, process {process.pid}")
            elif not ended.done():
                raise self.not_ready()
            while not (ended.done() or watching.done()):
                await asyncio.wait({ended, watching}, timeout=OUTPUT_CHECK_S, return_when=asyncio.FIRST_COMPLETED)
                self.output.trim()
            if not ended.done():
                watching.result()
            return ended.result()
        finally:
            self._ready = False
            coming_up.cancel()
            watching.cancel()
            await _end(process, self.command)
            self.pid = None

    async def _spawn(self) -> Process:
        opened = self.output.open()
        try:
            return await spawn(self.command, opened)
        finally:
            os.close(opened)

    async def _come_up(self) -> None:
        while self.command.ready:
            if await self.command.ready():
                break
            await asyncio.sleep(POLL_S)
        if self.command.after_start:
            await self.command.after_start()

    async def _watch(self, coming_up: asyncio.Task[None]) -> None:
        """Raises why this life has to end; without a reason it never does."""
        await asyncio.wait({coming_up})
        if self._ready and self.command.until_unwell:
            raise Unwell(why=await self.command.until_unwell())
        await asyncio.Event().wait()

    def _give_up_in_vain(self, status: int) -> None:
        if status == os.EX_CONFIG:
            raise BadConfiguration(name=self.command.name, output=self._said())
        if not self._was_ready and self.starts >= STARTS_IN_VAIN_MAX:
            raise EndedInVain(name=self.command.name, how=_how(status), output=self._said())

    def _say(self, line: str) -> None:
        self._tell(f"{self.command.name}: {line}")

    def _said(self) -> str:
        lines = self.output.last_lines()
        return f"It said last:\n{lines}\n(all of it: {self.output.path})" if lines else "It said nothing."


async def _end(process: Process, command: Command) -> None:
    """Ends a process and what it left in its group: politely, then at once; when cancelled meanwhile, at once."""
    steps = (
        (command.stop_signal, command.stop_within_s),
        (command.kill_signal, KILLED_WITHIN_S),
        (signal.SIGKILL, KILLED_WITHIN_S),
    )
    try:
        for stop_signal, within_s in steps:
            if process.returncode is not None:
                break
            process.send_signal(stop_signal)
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await process.wait()
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _how(status: int) -> str:
    return f"exit status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"


def _lock(folder: Path) -> int:
    """Makes the folder ours, until we close it or end in any way."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    opened = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(opened, 20).decode() or "(unknown)"
        os.close(opened)
        raise AlreadyRunning(pid=pid, folder=folder) from None
    os.ftruncate(opened, 0)
    os.write(opened, str(os.getpid()).encode())
    return opened
