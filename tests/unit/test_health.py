"""Whether a process lives and is ready: what it says, to whom, and when it gives itself up."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearthmind import health
from hearthmind.errors import EXIT_AGAIN, CannotStart
from hearthmind.health import LIVE, READY, Health, Need, Vitals, Watch, ask
from hearthmind.settings import BadSetting, load
from hearthmind.testing.waiting import until

ANYWHERE = "127.0.0.1:0"


@contextmanager
def watched(vitals: Vitals, exits: list[int], **limits: float) -> Iterator[str]:
    settings = load(
        "health",
        Health,
        {"HEARTHMIND_HEALTH__ADDRESS": ANYWHERE}
        | {f"HEARTHMIND_HEALTH__{k.upper()}": str(v) for k, v in limits.items()},
    )
    watch = Watch(vitals, settings, end=exits.append).start()
    try:
        yield watch.address
    finally:
        watch.stop()


async def asked(address: str, what: str) -> tuple[bool, str]:
    return await asyncio.to_thread(ask, address, what)


async def test_a_process_is_live_from_its_start_and_ready_while_it_has_what_it_needs() -> None:
    vitals, away = Vitals(), [""]
    with watched(vitals, []) as address:
        assert await asked(address, LIVE) == (True, "ok")
        assert await asked(address, READY) == (False, "it is starting")
        vitals.ready([Need(away=lambda: ""), Need(away=lambda: away[0])])
        assert await asked(address, READY) == (True, "ok")
        away[0] = "the well is dry"
        assert await asked(address, READY) == (False, "the well is dry")
        assert await asked(address, LIVE) == (True, "ok")
        away[0] = ""
        vitals.stopping()
        assert await asked(address, READY) == (False, "it is stopping")
        vitals.ready([])  # as in a start that was told to end
        assert await asked(address, READY) == (False, "it is stopping")
        assert await asked(address, LIVE) == (True, "ok")
    assert not (await asked(address, LIVE))[0]


async def test_what_only_a_new_process_will_reach_is_a_matter_of_life() -> None:
    vitals = Vitals()
    vitals.ready([Need(away=lambda: "it is away", gone=lambda: "it is gone for good")])
    with watched(vitals, []) as address:
        assert await asked(address, LIVE) == (False, "it is gone for good")
        assert await asked(address, READY) == (False, "it is gone for good")


async def test_a_loop_that_stands_still_is_told_and_where(caplog: pytest.LogCaptureFixture) -> None:
    vitals, exits = Vitals(), list[int]()
    vitals.ready([])
    beating = asyncio.create_task(vitals.keep_beating())
    with watched(vitals, exits, stuck_after_s=1, exit_after_s=2) as address:
        said = stand_still_until(lambda: bool(exits), address)
        await until(lambda: vitals.still_s == 0)
        assert await asked(address, READY) == (True, "ok")
    beating.cancel()
    assert "its event loop has stood still" in said
    assert set(exits) == {EXIT_AGAIN}
    assert "stand_still_until" in caplog.text


def stand_still_until(holds: object, address: str) -> str:
    """Blocks the loop of this thread, as a bug would, and returns what `/livez` said meanwhile."""
    assert callable(holds)
    give_up_s = time.monotonic() + 60
    said = ""
    while not holds() and time.monotonic() < give_up_s:
        is_well, answer = ask(address, LIVE)
        said = said if is_well else answer
    return said


async def test_a_process_that_was_never_ready_may_take_its_time() -> None:
    vitals, exits = Vitals(), list[int]()
    with watched(vitals, exits, stuck_after_s=1, exit_after_s=1) as address:
        await until(lambda: vitals.still_s > 2)
        assert not (await asked(address, LIVE))[0]
    assert exits == []


@given(st.lists(st.tuples(st.booleans(), st.floats(0.1, 1)), max_size=30))
def test_stillness_is_the_time_since_the_last_beat(looks: list[tuple[bool, float]]) -> None:
    vitals = Vitals()
    expected = 0.0
    for beat, after_s in looks:
        vitals.beats += beat
        expected = 0.0 if beat else expected + after_s
        vitals.looked(after_s)
        assert vitals.still_s == expected
        assert bool(vitals.why_not_live(2)) == (expected >= 2)


RUDE = [
    b"",
    b"\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /elsewhere HTTP/1.1\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
    b"GET /livez HTTP/1.1\r\n" + b"x" * 100_000,
]


async def test_whoever_asks_rudely_disturbs_nobody() -> None:
    with watched(Vitals(), []) as address:
        host, port = address.split(":")
        for words in RUDE:
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                connection.sendall(words)
                connection.shutdown(socket.SHUT_WR)
                await asyncio.to_thread(_read_all, connection)
        silent = [socket.create_connection((host, int(port))) for _ in range(health.ASKING_AT_ONCE_MAX)]
        for connection in silent:
            connection.close()
        await until(lambda: ask(address, LIVE) == (True, "ok"))
    assert not [thread for thread in threading.enumerate() if thread.name == "health"]


def _read_all(connection: socket.socket) -> None:
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        pass


@pytest.mark.parametrize("address", ["8222", "0.0.0.0", "host:port", "[::1", "127.0.0.1:99999"])
def test_an_address_that_cant_be_read_is_named(address: str) -> None:
    with pytest.raises(CannotStart, match="HEARTHMIND_HEALTH__ADDRESS is "):
        Watch(Vitals(), Health(address=address))


def test_a_place_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CannotStart, match=f"can't be told at {address}.*Set HEARTHMIND_HEALTH__ADDRESS"):
            Watch(Vitals(), Health(address=address))


def test_limits_have_limits() -> None:
    with pytest.raises(BadSetting, match="STUCK_AFTER_S"):
        load("health", Health, {"HEARTHMIND_HEALTH__STUCK_AFTER_S": "0"})


async def test_the_probe_asks_the_process_of_the_same_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    vitals = Vitals()
    with watched(vitals, []) as address:
        monkeypatch.setenv("HEARTHMIND_HEALTH__ADDRESS", address.replace("127.0.0.1", "0.0.0.0"))
        assert await asyncio.to_thread(health.main, [LIVE]) == 0
        assert await asyncio.to_thread(health.main, [READY]) == 1
    assert await asyncio.to_thread(health.main, [LIVE]) == 1
    assert health.main(["how-are-you"]) == 1
    monkeypatch.setenv("HEARTHMIND_HEALTH__ADDRESS", "")
    assert health.main([LIVE]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[:2] == ["ok", "it is starting"]
    assert "no answer from" in said.out
    assert "it looks like 127.0.0.1:8222" in said.out
    assert "ask for livez or readyz" in said.err
