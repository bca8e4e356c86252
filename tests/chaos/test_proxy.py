"""The proxy hands on what it gets, unless it is told not to."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from hearthmind.testing.waiting import until

from .proxy import HOST, Proxy


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """A proxy to somebody who says everything again."""

    async def echo(reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(ConnectionError):
            while said := await reader.read(1000):
                writer.write(said)
        writer.close()

    server = await asyncio.start_server(echo, HOST, 0)
    async with server, Proxy(server.sockets[0].getsockname()[1]).listening() as proxy:
        yield proxy


class Party:
    """Who speaks through it, and keeps what it hears."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.writer = writer
        self.heard = b""
        self._hearing = asyncio.create_task(self._hear(reader))

    @classmethod
    async def through(cls, proxy: Proxy) -> Party:
        return cls(*await asyncio.open_connection(HOST, proxy.port))

    @property
    def is_cut(self) -> bool:
        return self._hearing.done()

    async def _hear(self, reader: StreamReader) -> None:
        try:
            while said := await reader.read(1000):
                self.heard += said
        except ConnectionResetError:
            return


async def test_everything_goes_through_in_its_order_however_late(proxy: Proxy) -> None:
    party = await Party.through(proxy)
    said = b"".join(b"%06d" % number for number in range(10_000))
    async with proxy.delaying(0.05):
        party.writer.write(said[:30_000])
    party.writer.write(said[30_000:])
    await until(lambda: party.heard == said)


async def test_a_dropped_connection_is_noticed_and_a_later_one_is_whole(proxy: Proxy) -> None:
    before = await Party.through(proxy)
    before.writer.write(b"before")
    await until(lambda: before.heard == b"before")
    async with proxy.dropping():
        meanwhile = await Party.through(proxy)
        await until(lambda: before.is_cut and meanwhile.is_cut)
    after = await Party.through(proxy)
    after.writer.write(b"after")
    await until(lambda: after.heard == b"after")


async def test_a_half_open_connection_swallows_for_good_and_is_never_told(proxy: Proxy) -> None:
    before = await Party.through(proxy)
    before.writer.write(b"before")
    await until(lambda: before.heard == b"before")
    async with proxy.half_open():
        meanwhile = await Party.through(proxy)
        for party in (before, meanwhile):
            party.writer.write(b"anyone?")
            await party.writer.drain()
        await until(lambda: proxy.swallowed == 14)
    after = await Party.through(proxy)
    after.writer.write(b"after")
    await until(lambda: after.heard == b"after")
    before.writer.write(b"still?")
    await until(lambda: proxy.swallowed == 20)
    assert (before.heard, meanwhile.heard) == (b"before", b"")
    assert not before.is_cut
    assert not meanwhile.is_cut
