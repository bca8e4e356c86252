"""Whether this process lives and whether it is ready, for whoever asks from outside: `/livez` and `/readyz` by HTTP.

The law: the answers come from a thread of their own, so that a process whose event loop stands still says so instead of
hanging; and no answer in time counts as a no. Why not is told in words.

`python -m hearthmind.health livez` asks the process of the same settings: a container's health check without curl.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from hearthmind.errors import EXIT_AGAIN, CannotStart
from hearthmind.settings import load

log = logging.getLogger("hearthmind.health")

LIVE, READY = "livez", "readyz"

BEAT_EVERY_S = 0.25
LOOK_EVERY_S = 0.5
ANSWER_WITHIN_S = 2.0
REQUEST_BYTES_MAX = 8 * 1024
ASKING_AT_ONCE_MAX = 16


class Health(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a service says whether it lives and whether it is ready."""

    address: str = ""
    """Where it answers `/livez` and `/readyz` by HTTP, as in 127.0.0.1:8222; empty: nowhere, and nobody watches its loop."""
    stuck_after_s: Annotated[float, msgspec.Meta(ge=1)] = 5.0
    """How long its event loop stands still before `/livez` says so."""
    exit_after_s: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    """How long, once it was ready, before it ends itself to be started again; 0: never."""


def _nothing() -> str:
    return ""


@dataclass(frozen=True)
class Need:
    """Something that a process can't do without. Both are asked from another thread, so they only look."""

    away: Callable[[], str]
    """Why it can't be reached now; empty where it can."""
    gone: Callable[[], str] = _nothing
    """Why only a new process will reach it; empty where this one may."""


class Vitals:
    """What a process knows of itself: told by its event loop, and watched from outside of it."""

    def __init__(self) -> None:
        self.beats = 0
        self.still_s = 0.0
        self.was_ready = False
        self._seen = 0
        self._stops = False
        self._needs: Sequence[Need] = ()

    def ready(self, needs: Sequence[Need]) -> None:
        """It works from now on, as long as it has what it needs."""
        self._needs = needs
        self.was_ready = True

    def stopping(self) -> None:
        """It was told to end, and takes nothing new."""
        self._stops = True

    async def keep_beating(self) -> None:
        """Shows that the event loop turns."""
        while True:
            self.beats += 1
            await asyncio.sleep(BEAT_EVERY_S)

    def looked(self, after_s: float) -> None:
        """Compares with the last look. Only the watcher's own time counts: a process that was stopped is not stuck."""
        self.still_s = 0.0 if self.beats != self._seen else self.still_s + after_s
        self._seen = self.beats

    def why_not_live(self, stuck_after_s: float) -> str:
        """Why only a new process will help; empty where this one is well."""
        if self.still_s >= stuck_after_s:
            return f"its event loop has stood still for {self.still_s:.0f} s"
        return _first(need.gone() for need in self._needs)

    def why_not_ready(self, stuck_after_s: float) -> str:
        """Why it does nothing now; empty where it works."""
        if self._stops:
            return "it is stopping"
        if not self.was_ready:
            return "it is starting"
        return self.why_not_live(stuck_after_s) or _first(need.away() for need in self._needs)


def _first(reasons: Iterable[str]) -> str:
    return next(filter(None, reasons), "")


class Watch:
    """Looks at the vitals and tells about them, in a thread of its own."""

    def __init__(self, vitals: Vitals, settings: Health, end: Callable[[int], None] = os._exit) -> None:
        self._vitals = vitals
        self._settings = settings
        self._end = end
        self._loop_thread = threading.get_ident()
        self._asking = 0
        self._stop = threading.Event()
        self._socket = _listen(settings.address)
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    @property
    def address(self) -> str:
        """Where it answers."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self) -> Watch:
        """Answers from now on; to be called in the thread that is watched."""
        log.info("health: http://%s/%s and /%s", self.address, LIVE, READY)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Answers no more."""
        self._stop.set()
        self._thread.join(ANSWER_WITHIN_S)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        async with await asyncio.start_server(self._on_client, sock=self._socket, limit=REQUEST_BYTES_MAX):
            while not self._stop.is_set():
                await asyncio.sleep(LOOK_EVERY_S)
                self._look()

    def _look(self) -> None:
        still_s, limits = self._vitals.still_s, self._settings
        self._vitals.looked(LOOK_EVERY_S)
        if still_s < limits.stuck_after_s <= self._vitals.still_s:
            log.error("the event loop stands still:\n%s", self._where())
        if 0 < limits.exit_after_s <= self._vitals.still_s and self._vitals.was_ready:
            log.error("the event loop stood still for %g s; exiting to be started again", limits.exit_after_s)
            self._end(EXIT_AGAIN)

    def _where(self) -> str:
        """What the loop is at: the reason, more often than not."""
        frame = sys._current_frames().get(self._loop_thread)
        return "".join(traceback.format_stack(frame)) if frame else "its thread is gone"

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._asking += 1
        try:
            if self._asking <= ASKING_AT_ONCE_MAX:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    request = await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._answer(request.split(b" ")[1:2]))
                    await writer.drain()
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass  # whoever asks like this gets no answer
        finally:
            self._asking -= 1
            writer.close()

    def _answer(self, path: list[bytes]) -> bytes:
        stuck_after_s = self._settings.stuck_after_s
        asked = {LIVE: self._vitals.why_not_live, READY: self._vitals.why_not_ready}
        ask = asked.get(path[0].decode(errors="replace").strip("/")) if path else None
        if ask is None:
            return _response("404 Not Found", f"ask for /{LIVE} or /{READY}")
        why_not = ask(stuck_after_s)
        return _response("503 Service Unavailable", why_not) if why_not else _response("200 OK", "ok")


def _response(status: str, says: str) -> bytes:
    body = f"{says}\n".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body


def _listen(address: str) -> socket.socket:
    host, port = _host_and_port(address)
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        why = f"health can't be told at {address}: {error.strerror or error}. Set HEARTHMIND_HEALTH__ADDRESS."
        raise CannotStart(why=why) from None


def _host_and_port(address: str) -> tuple[str, int]:
    with contextlib.suppress(ValueError):
        parts = urlsplit(f"//{address}")
        if parts.hostname and parts.port is not None:
            return parts.hostname, parts.port
    why = f"HEARTHMIND_HEALTH__ADDRESS is {address!r}; it looks like 127.0.0.1:8222, or 0.0.0.0:8222 in a container"
    raise CannotStart(why=why)


def ask(address: str, what: str) -> tuple[bool, str]:
    """Asks a process how it is; whether the answer is yes, and what it says."""
    host, port = _host_and_port(address)
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  nothing is opened there
    connection = http.client.HTTPConnection(here, port, timeout=ANSWER_WITHIN_S)
    try:
        connection.request("GET", f"/{what}")
        answer = connection.getresponse()
        return answer.status == http.client.OK, answer.read(REQUEST_BYTES_MAX).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return False, f"no answer from {address}: {error or type(error).__name__}"
    finally:
        connection.close()


def main(arguments: Sequence[str]) -> int:
    """Asks the process of the same settings, for a container's health check: 0 is yes, 1 is no."""
    if len(arguments) != 1 or arguments[0] not in {LIVE, READY}:
        sys.stderr.write(f"ask for {LIVE} or {READY}: python -m hearthmind.health {READY}\n")
        return 1
    try:
        is_well, says = ask(load("health", Health).address, arguments[0])
    except CannotStart as error:
        is_well, says = False, str(error)
    sys.stdout.write(f"{says}\n")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
