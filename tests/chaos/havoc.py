"""Carries a plan out: each fault at its time, on a running platform, and what it took to recover.

Faults on different targets overlap as the plan has it; one target suffers one fault at a time.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from hearthmind.errors import CannotStart
from hearthmind.flow import game_user

from .battered import Battered, family
from .disk import Disk
from .hostile import GAME as HOSTILE
from .hostile import attack
from .ledger import NEVER_ALONE, Ledger
from .plan import BEHIND_THE_GAME, DELAY, DROP, HALF_OPEN, MACHINE, NATS, POSTGRES, PROCESSES, Fault

RECOVERS_WITHIN_S = 60.0
BEHIND_MAX_S = 5.0
"""How far reward may be behind when the broker's folder is deleted."""


@dataclass(frozen=True)
class Happened:
    """A fault as it went."""

    fault: Fault
    began_s: float
    lasted_s: float
    alive_s: float | None
    """From its end to the first answer that passed all services; None where none came."""
    drained_s: float | None
    """From its end until all outcomes that were reported before are in Postgres."""
    note: str = ""

    def __str__(self) -> str:
        alive = "no answer" if self.alive_s is None else f"{self.alive_s:.1f} s"
        drained = "not drained" if self.drained_s is None else f"{self.drained_s:.1f} s"
        note = f"; {self.note}" if self.note else ""
        return f"{self.began_s:6.1f} s  {self.fault!s:38} {self.lasted_s:6.1f} {alive:>9} {drained:>11}{note}"


class Havoc:
    """What a plan does to a platform."""

    def __init__(
        self, platform: Battered, ledger: Ledger, disks: Mapping[str, Disk], say: Callable[[str], None]
    ) -> None:
        self.happened: list[Happened] = []
        self.taken: list[tuple[float, float]] = []
        self.alone = NEVER_ALONE
        self._platform = platform
        self._ledger = ledger
        self._disks = disks
        self._say = say
        self._suffering: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._began_s = 0.0
        self._ways: dict[str, Callable[[Fault], Awaitable[str | None]]] = {
            "kill": self._kill,
            "stop": self._stop,
            "restart": self._restart,
            "proxy": self._proxy,
            "disk": self._fill_disk,
            "folder": self._delete_folder,
            "away": self._keep_away,
            "dark": self._leave_alone,
            "power": self._cut_power,
            "hostile": self._send_hostile,
        }

    async def carry_out(self, plan: Iterable[Fault]) -> None:
        """Returns when everything has happened and the platform has recovered from it."""
        self._began_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in plan:
                group.create_task(self._inflict(fault))

    async def _inflict(self, fault: Fault) -> None:
        await asyncio.sleep(self._began_s + fault.at_s - time.monotonic())
        async with AsyncExitStack() as suffering:
            for target in _targets(fault):
                await suffering.enter_async_context(self._suffering[target])
            began_s = time.monotonic()
            try:
                note = await self._ways[fault.kind](fault)
            except (CannotStart, TimeoutError) as error:
                note = f"never came back: {error or 'it took too long'}".partition("\n")[0]
            lasted_s = time.monotonic() - began_s
        alive_s, drained_s = await asyncio.gather(
            self._ledger.alive_after(RECOVERS_WITHIN_S), self._ledger.drained_after(RECOVERS_WITHIN_S)
        )
        happened = Happened(fault, began_s - self._began_s, lasted_s, alive_s, drained_s, note or "")
        self.happened.append(happened)
        self._say(str(happened))

    async def _kill(self, fault: Fault) -> None:
        await self._platform.back(fault.target, await self._platform.kill(fault.target))

    async def _restart(self, fault: Fault) -> None:
        politely = self._platform.commands[fault.target].stop_signal
        await self._platform.back(fault.target, await self._platform.kill(fault.target, politely))

    async def _stop(self, fault: Fault) -> None:
        stopped = family(await self._platform.pid(fault.target))
        _signal(stopped, signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.lasts_s)
        finally:
            _signal(stopped, signal.SIGCONT)

    async def _proxy(self, fault: Fault) -> None:
        proxy = self._platform.proxies[fault.target]
        ways = {DROP: proxy.dropping, DELAY: proxy.delaying, HALF_OPEN: proxy.half_open}
        async with ways[fault.way]():
            await asyncio.sleep(fault.lasts_s)

    async def _keep_away(self, fault: Fault) -> None:
        with self._platform.held_down(fault.target):
            pid = await self._platform.kill(fault.target, self._platform.commands[fault.target].stop_signal)
            await asyncio.sleep(fault.lasts_s)
        await self._platform.back(fault.target, pid)

    async def _leave_alone(self, fault: Fault) -> str:
        """Broker, database and inference die in one moment, and none comes back for a while."""
        platform, ledger = self._platform, self._ledger
        with platform.held_down(*BEHIND_THE_GAME):
            pids = {name: await platform.pid(name) for name in BEHIND_THE_GAME}
            began_s, waiting = time.monotonic(), len(ledger.unconfirmed)
            _signal(pids.values(), signal.SIGKILL)
            await asyncio.sleep(fault.lasts_s)
            self.alone = ledger.alone_since(began_s, waiting)
        for name, pid in pids.items():
            await platform.back(name, pid)
        return str(self.alone)

    async def _fill_disk(self, fault: Fault) -> str:
        pid = await self._platform.pid(NATS)
        with self._disks[NATS].full():
            await asyncio.sleep(fault.lasts_s)
        return await self._started_again(pid, "there was room")

    async def _delete_folder(self, _: Fault) -> str:
        pid = await self._platform.pid(NATS)
        deleted_s = time.monotonic()
        empty(self._platform.nats.folder)
        note = await self._started_again(pid, "it was gone")
        self.taken.append((deleted_s - BEHIND_MAX_S, time.monotonic()))
        return note

    async def _started_again(self, pid: int, since: str) -> str:
        """Nobody here does it: the platform has to notice by itself."""
        began_s = time.monotonic()
        await self._platform.back(NATS, pid)
        return f"started again by itself, ready {time.monotonic() - began_s:.1f} s after {since}"

    async def _cut_power(self, fault: Fault) -> str:
        """Everything ends at one moment, the disks first; reward is behind by then, so that the broker alone has much."""
        platform = self._platform
        pids = {name: await platform.pid(name) for name in PROCESSES}
        _signal([pids["reward"]], signal.SIGSTOP)
        await asyncio.sleep(fault.lasts_s)
        with platform.held_down(NATS, POSTGRES):
            everyone = [each for pid in pids.values() for each in family(pid)]
            _signal(everyone, signal.SIGSTOP)
            for disk in self._disks.values():
                disk.cut()
            _signal(everyone, signal.SIGKILL)
            for disk in self._disks.values():
                await disk.back()
        for name, pid in pids.items():
            await platform.back(name, pid)
        return f"{len(self._disks)} disks cut"

    async def _send_hostile(self, fault: Fault) -> str:
        connection = self._platform.connection
        return await attack(connection.nats_url, connection.passwords[game_user(HOSTILE)], round(1000 * fault.at_s))


def _targets(fault: Fault) -> tuple[str, ...]:
    """Who must not suffer anything else meanwhile, in one order for all."""
    if fault.target == MACHINE:
        return PROCESSES
    if fault.kind == "dark":
        return BEHIND_THE_GAME
    return (f"proxy of {fault.target}",) if fault.kind == "proxy" else (fault.target,)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def empty(folder: Path) -> None:
    """Deletes all that is in a folder, which may be a disk of its own, while others still write there."""
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
