"""A key-value bucket as a cache: what it does not say at once it does not say.

The law: `get` takes no longer than it may, whatever the broker does; one that kept silent several times is left alone for a
while; `put` never waits for anybody.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

from nats.aio.client import Client as Nats
from nats.errors import Error as NatsError

SILENT_MAX = 3
REST_S = 5.0


@dataclass
class Bucket:
    """One bucket, by whoever may read and write it."""

    nc: Nats
    name: str
    within_s: float
    """How long an answer of the bucket is waited for; 0: it is never asked."""
    _silent: int = 0
    _rests_until_s: float = 0.0

    async def get(self, key: str) -> bytes | None:
        """The value of a key; None where there is none, or where nobody says so in time."""
        if not self.within_s or time.monotonic() < self._rests_until_s or not self.nc.is_connected:
            return None
        subject = f"$JS.API.DIRECT.GET.KV_{self.name}.$KV.{self.name}.{key}"
        try:
            answer = await self.nc.request(subject, b"", timeout=self.within_s)
        except (NatsError, TimeoutError):
            self._silent += 1
            if self._silent >= SILENT_MAX:
                self._silent, self._rests_until_s = 0, time.monotonic() + REST_S
            return None
        self._silent = 0
        return None if "Status" in (answer.headers or {}) else answer.data

    async def put(self, key: str, value: bytes) -> None:
        """Tells the bucket a value; whether it is kept is not asked."""
        if self.within_s and self.nc.is_connected:
            with contextlib.suppress(NatsError):
                await self.nc.publish(f"$KV.{self.name}.{key}", value)
