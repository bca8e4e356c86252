"""The platform as the demo starts it, with what it takes to hurt it: gates, proxies, and other programs in a service's place."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from hearthmind.embedded.processes import Command
from hearthmind.flow import game_user
from hearthmind.testing.waiting import until
from services.command.platform import Options, Platform

from .plan import GAME, PROCESSES
from .proxy import Proxy

BROKER_URL = "HEARTHMIND_BROKER__URL"
BACK_WITHIN_S = 90.0


class Battered(Platform):
    """A platform whose processes can be held down, and whose parties may reach the broker through a proxy each.

    `instead` names the module that is run in place of a service.
    """

    def __init__(
        self,
        options: Options,
        say: Callable[[str], None],
        proxied: Iterable[str] = (),
        instead: Mapping[str, str] | None = None,
    ) -> None:
        self.commands: dict[str, Command] = {}
        self.proxies: dict[str, Proxy] = {}
        self._proxied = frozenset(proxied)
        self._instead = instead or {}
        self._gates = {name: asyncio.Event() for name in PROCESSES}
        for gate in self._gates.values():
            gate.set()
        super().__init__(options, say)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Battered]:
        """The proxies, and behind them the platform."""
        async with AsyncExitStack() as open_ones:
            for proxy in self.proxies.values():
                await open_ones.enter_async_context(proxy.listening())
            async with self:
                yield self

    def address_of(self, game: str) -> str:
        """Where the game connects to."""
        address = self.connection.url_of(game_user(game))
        proxy = self.proxies.get(GAME)
        return address.replace(f":{self.nats.port}", f":{proxy.port}") if proxy else address

    @contextmanager
    def held_down(self, *names: str) -> Iterator[None]:
        """They do not start again before the block ends."""
        for name in names:
            self._gates[name].clear()
        try:
            yield
        finally:
            for name in names:
                self._gates[name].set()

    async def pid(self, name: str) -> int:
        """The process as it runs now, or after its next start."""
        while (pid := self.supervisor.pid(name)) is None:
            await until(lambda: self.supervisor.pid(name) is not None, BACK_WITHIN_S)
        return pid

    async def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> int:
        """Sends it a signal; returns its pid, for `back`."""
        pid = await self.pid(name)
        os.kill(pid, how)
        return pid

    async def back(self, name: str, other_than: int) -> None:
        """Returns when it runs again and is ready."""
        await until(lambda: self.supervisor.pid(name) not in (None, other_than), BACK_WITHIN_S)
        await self.supervisor.wait_ready(name, other_than=other_than)

    def _commands(self) -> list[Command]:
        commands = [self._battered(command) for command in super()._commands()]
        self.commands = {command.name: command for command in commands}
        if GAME in self._proxied:
            self.proxies[GAME] = Proxy(self.nats.port)
        return commands

    def _battered(self, command: Command) -> Command:
        if gate := self._gates.get(command.name):
            command = replace(command, before_start=_after(gate, command.before_start))
        if module := self._instead.get(command.name):
            command = replace(command, argv=(*command.argv[:-1], module))
        if command.name in self._proxied:
            proxy = self.proxies[command.name] = Proxy(self.nats.port)
            url = self.connection.nats_url.replace(f":{self.nats.port}", f":{proxy.port}")
            command = replace(command, env={**command.env, BROKER_URL: url})
        return command


def _after(gate: asyncio.Event, then: Callable[[], Awaitable[None]] | None) -> Callable[[], Awaitable[None]]:
    async def before_start() -> None:
        await gate.wait()
        if then:
            await then()

    return before_start


def family(pid: int) -> list[int]:
    """A process and all that came from it; Postgres is many."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found
