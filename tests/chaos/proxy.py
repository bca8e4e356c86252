"""A TCP proxy between one party and the broker, that can be told to misbehave.

It drops connections and refuses new ones, hands bytes on late, or goes half-open: connections stay up, or are accepted, and
whatever is said over them is swallowed. Who is on a half-open connection is never told; new ones are whole again afterwards.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

HOST = "127.0.0.1"
CHUNK_BYTES = 64 * 1024
CHUNKS_MAX = 256
"""What waits in one direction; beyond, the sender waits."""
DELAY_S = 0.3


@dataclass(eq=False)
class _Link:
    """One connection, through to the broker."""

    party: StreamWriter
    broker: StreamWriter
    swallows: bool
    said_first: bytes = b""
    """By the party: there it tells its name."""

    def is_named(self, name: bytes) -> bool:
        """Whether the party's name holds these bytes; nobody's holds none."""
        return bool(name) and name in self.said_first

    def cut(self) -> None:
        for side in (self.party, self.broker):
            side.transport.abort()


class Proxy:
    """Listens from the start of its block to the end, whatever else it does."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._socket = socket.create_server((HOST, 0))
        self.port: int = self._socket.getsockname()[1]
        self.swallowed = 0
        """How many bytes nobody heard."""
        self.accepted = 0
        """How many connections there have been."""
        self._links: set[_Link] = set()
        self._refuses = self._swallows = False
        self._delay_s = 0.0
        self._in_time = b""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Proxy]:
        """Hands on until the block ends."""
        server = await asyncio.start_server(self._on_connection, sock=self._socket)
        try:
            yield self
        finally:
            server.close()
            self._cut_all()

    @asynccontextmanager
    async def dropping(self) -> AsyncIterator[None]:
        """Cuts every connection, and each new one at once."""
        self._refuses = True
        self._cut_all()
        try:
            yield
        finally:
            self._refuses = False

    @asynccontextmanager
    async def delaying(self, delay_s: float = DELAY_S, but: bytes = b"") -> AsyncIterator[None]:
        """Hands everything on, in its order, but late; but for connections whose name holds these bytes."""
        self._delay_s, self._in_time = delay_s, but
        try:
            yield
        finally:
            self._delay_s = 0.0

    @asynccontextmanager
    async def half_open(self, but: bytes = b"") -> AsyncIterator[None]:
        """Swallows what is said over the connections that there are and over new ones, also after the block; but for
        connections there are whose name holds these bytes."""
        self._swallows = True
        for link in self._links:
            link.swallows = not link.is_named(but)
        try:
            yield
        finally:
            self._swallows = False

    def _delay_of(self, link: _Link) -> float:
        return 0.0 if link.is_named(self._in_time) else self._delay_s

    def _cut_all(self) -> None:
        for link in self._links:
            link.cut()

    async def _on_connection(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        try:
            from_broker, to_broker = await asyncio.open_connection(HOST, self._to)
        except OSError:
            writer.transport.abort()
            return
        self.accepted += 1
        link = _Link(writer, to_broker, self._swallows)
        self._links.add(link)
        there = asyncio.create_task(self._hand_on(link, reader, to_broker))
        back = asyncio.create_task(self._hand_on(link, from_broker, writer))
        try:
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            if link.swallows:
                await there  # the broker's end is not heard of either
        finally:
            there.cancel()
            back.cancel()
            self._links.discard(link)
            link.cut()

    async def _hand_on(self, link: _Link, reader: StreamReader, writer: StreamWriter) -> None:
        """One direction, until its end."""
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_MAX)
        writing = asyncio.create_task(_write(late, writer))
        loop = asyncio.get_running_loop()
        try:
            with suppress(OSError):
                while chunk := await reader.read(CHUNK_BYTES):
                    if writer is link.broker:
                        link.said_first = link.said_first or chunk
                    if link.swallows:
                        self.swallowed += len(chunk)
                    else:
                        await late.put((loop.time() + self._delay_of(link), chunk))
            await late.put((loop.time() + self._delay_of(link), b""))
            await writing
        finally:
            writing.cancel()


async def _write(late: asyncio.Queue[tuple[float, bytes]], writer: StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due_s, chunk = await late.get()
        if not chunk:
            return
        await asyncio.sleep(due_s - loop.time())
        with suppress(OSError):
            writer.write(chunk)
            await writer.drain()
