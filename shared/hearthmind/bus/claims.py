"""Claims across processes: a key of a bucket that is created only where it isn't there, so the first has it.

The law: `first` takes no longer than it may; of those whom the bucket answers exactly one has the thing, and one whom it does
not answer goes by the rule among those of its own process. Asking twice for the same NPC gives the same answer.
"""

from __future__ import annotations

import asyncio
import time

import msgspec
from nats.aio.client import Client as Nats
from nats.errors import Error as NatsError

from hearthmind.bus.publish import PubAck
from hearthmind.claims import Claim, Held
from hearthmind.flow import CLAIMS

EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_CREATED, _NOTHING_SAID, _WRONG_LAST_SEQUENCE = 0, -1, 10071
"""What comes of it: it is ours, nobody answered, or, as the broker calls it, somebody else's."""
ELSEWHERE = "-"
"""Who has it, where that is nobody of this process."""
SILENT_MAX = 3
REST_S = 5.0
"""A bucket that kept silent several times is left alone for a while: nobody waits for it meanwhile."""

_acks = msgspec.json.Decoder(PubAck)


class Claims:
    """The claims of one process."""

    def __init__(self, nc: Nats, within_s: float = 0.1) -> None:
        self._nc = nc
        self._within_s = within_s
        self._held = Held()
        self._silent = 0
        self._rests_until_s = 0.0

    async def first(self, claim: Claim, after_s: float = 0.0, attempt: int = 1) -> bool:
        """Whether this NPC has it. `after_s` lets others go first; an earlier `attempt` at the decision may have it already."""
        if after_s:
            await asyncio.sleep(after_s)
        known = self._held.known(claim.key, time.monotonic())
        if known:
            return known == claim.npc
        self._held.wants(claim, time.monotonic())
        has_it = await self._asked(claim)
        if has_it is False and attempt > 1:
            has_it = await self._holder(claim.key) == claim.npc
        now_s = time.monotonic()
        if has_it is not None:
            self._held.settled(claim.key, claim.npc if has_it else ELSEWHERE, now_s)
            return has_it
        return self._held.holder(claim.key, now_s) == claim.npc

    async def _asked(self, claim: Claim) -> bool | None:
        """What the bucket says; None where it says nothing in time."""
        if time.monotonic() < self._rests_until_s or not self._nc.is_connected:
            return None
        code = await self._create(claim)
        if code in (_CREATED, _WRONG_LAST_SEQUENCE):
            self._silent = 0
            return code == _CREATED
        self._silent += 1
        if self._silent >= SILENT_MAX:
            self._silent, self._rests_until_s = 0, time.monotonic() + REST_S
        return None

    async def _create(self, claim: Claim) -> int:
        """Creates the key where it isn't there; what the broker says to it."""
        subject, headers = f"$KV.{CLAIMS}.{claim.key}", {EXPECTED: "0"}
        try:
            said = await self._nc.request(subject, claim.npc.encode(), timeout=self._within_s, headers=headers)
            ack = _acks.decode(said.data)
        except (NatsError, TimeoutError, msgspec.MsgspecError):
            return _NOTHING_SAID
        return ack.error.err_code if ack.error else _CREATED

    async def _holder(self, key: str) -> str:
        """Who has it, as the bucket says; empty where it says nothing."""
        subject = f"$JS.API.DIRECT.GET.KV_{CLAIMS}.$KV.{CLAIMS}.{key}"
        try:
            said = await self._nc.request(subject, b"", timeout=self._within_s)
        except (NatsError, TimeoutError):
            return ""
        return "" if "Status" in (said.headers or {}) else said.data.decode(errors="replace")
