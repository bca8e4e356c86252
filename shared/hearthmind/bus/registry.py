"""What is in force, and what minds may: a key-value bucket that every service has a copy of, kept fresh by what is written to it.

The law: after `start`, a key's value here is one that was stored, and the newest one at the latest `REFRESH_EVERY_S` after it
was stored, however many announcements were missed meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable

import msgspec
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import BadRequestError

from hearthmind.errors import Refused, Unavailable
from hearthmind.flow import REGISTRY

log = logging.getLogger("hearthmind.bus")

REFRESH_EVERY_S = 30.0
LOOK_AFTER_S = (0.0, 0.02, 0.1, 0.5)
KEYS_MAX = 10_000
_WRONG_LAST_SEQUENCE = 10071


class Taken(Refused):
    """{key} has changed meanwhile or is there already. Look at it again and repeat what you wanted."""


class _Entry(msgspec.Struct):
    value: bytes
    revision: int


class Registry:
    """A copy of the bucket in memory."""

    def __init__(
        self, nc: Nats, on_change: Callable[[str], None] = lambda _: None, bucket: str = REGISTRY, under: str = ""
    ) -> None:
        """With `under` only what is written below that prefix is heard at once; everything else with the next refresh."""
        self._nc = nc
        self._bucket = bucket
        self._subject = f"$KV.{bucket}."
        self._heard = f"$KV.{bucket}.{under}>"
        self._on_change = on_change
        self._entries: dict[str, _Entry] = {}

    async def start(self) -> Registry:
        """Listens, then reads everything, so that nothing falls in between."""
        await self._nc.subscribe(self._heard, cb=self._on_written)
        await self.refresh()
        return self

    async def keep_fresh(self) -> None:
        """Reads everything again from time to time: announcements are not kept for who is away."""
        while True:
            await asyncio.sleep(REFRESH_EVERY_S)
            await self.look_again()

    async def look_again(self, within_s: float = 5.0) -> None:
        """Reads everything now, as far as the broker lets it."""
        try:
            await self.refresh(within_s)
        except (NatsError, TimeoutError, Unavailable) as error:
            log.warning("the bucket %s could not be read again: %s", self._bucket, error)

    def get(self, key: str) -> bytes | None:
        """The value of a key."""
        entry = self._entries.get(key)
        return entry.value if entry else None

    def under(self, prefix: str) -> dict[str, bytes]:
        """Every key that begins so, with its value."""
        return {key: entry.value for key, entry in sorted(self._entries.items()) if key.startswith(prefix)}

    async def put(self, key: str, value: bytes) -> None:
        """Writes a key, if nobody else has written it since it was read here."""
        known = self._entries.get(key)
        headers = {"Nats-Expected-Last-Subject-Sequence": str(known.revision if known else 0)}
        try:
            stored = await self._nc.jetstream(timeout=5).publish(f"{self._subject}{key}", value, headers=headers)
        except BadRequestError as error:
            if error.err_code == _WRONG_LAST_SEQUENCE:
                raise Taken(key=key) from None
            raise
        self._take(key, value, stored.seq)

    async def refresh(self, within_s: float = 5.0) -> None:
        """Reads the newest value of every key, in one request with many answers."""
        inbox = f"{self._nc._inbox_prefix.decode()}.registry{secrets.token_hex(6)}"
        answers = await self._nc.subscribe(inbox, max_msgs=KEYS_MAX + 1)
        try:
            wanted = msgspec.json.encode({"multi_last": [f"{self._subject}>"], "batch": KEYS_MAX})
            await self._nc.publish(f"$JS.API.DIRECT.GET.KV_{self._bucket}", wanted, reply=inbox)
            async with asyncio.timeout(within_s):
                while await self._read(await answers.next_msg(timeout=within_s)):
                    pass
        finally:
            await answers.unsubscribe()

    async def _read(self, msg: Msg) -> bool:
        """Takes one of the answers; whether more will come."""
        headers = msg.headers or {}
        status = headers.get("Status", "")
        if status in ("204", "404"):  # the end, or nothing there yet
            return False
        if status:
            raise Unavailable(what=f"the bucket {self._bucket}", why=f"{status} {headers.get('Description', '')}")
        key = headers["Nats-Subject"].removeprefix(self._subject)
        self._take(key, msg.data, int(headers["Nats-Sequence"]))
        return True

    async def _on_written(self, msg: Msg) -> None:
        """Somebody wrote: which revision that is, and whether it is stored at all, is asked.

        The announcement may come before it is stored; what is not there in the end is read with the next refresh.
        """
        key = msg.subject.removeprefix(self._subject)
        for pause_s in LOOK_AFTER_S:
            await asyncio.sleep(pause_s)
            with contextlib.suppress(NatsError, TimeoutError):
                said = await self._nc.jetstream(timeout=5).get_last_msg(f"KV_{self._bucket}", msg.subject, direct=True)
                self._take(key, said.data or b"", said.seq or 0)
                if said.data == msg.data:
                    return

    def _take(self, key: str, value: bytes, revision: int) -> None:
        known = self._entries.get(key)
        if known is None or known.revision < revision:
            self._entries[key] = _Entry(value, revision)
            self._on_change(key)
