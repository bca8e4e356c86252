"""Who holds an adapter: a request for one goes first to a worker that has it loaded, if that one has room.

So a large set of adapters is spread over the workers of a pool: whoever loads a version first answers for it, within its tiers,
and another one loads it too only while that one is busy.

The law: a request that was handed over belongs to whoever took it, the broker's delivery included; when that worker ends, the
broker delivers it again. Where nobody says in time that it is taken, it is not handed over, and two may answer: one counts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from hearthmind.bus.connect import Connection
from hearthmind.bus.consume import Delivery
from hearthmind.bus.wire import decode
from hearthmind.contracts.inference import Infer
from hearthmind.errors import HearthmindError
from hearthmind.flow import CONSUMERS
from hearthmind.ids import adapter_subject, request_subject

log = logging.getLogger("hearthmind.inference_worker")

DELIVERY = "Hearthmind-Delivery"
"""Where the request is settled that was handed over: as the broker named it to whoever got it first."""
ONE_OF = "holders"
TAKEN, BUSY = b"taken", b"busy"
SAID_WITHIN_S = 0.3
DELIVERIES_MAX = next(each.deliveries_max for each in CONSUMERS if each.service == "inference_worker")

Take = Callable[[Delivery, Infer], bool]
"""Takes a request that another worker got; False where there is no room for it."""


class Holders:
    """The workers of a pool, as far as they hold adapters."""

    def __init__(self, nc: Connection, pool: str, tiers: Iterable[str]) -> None:
        self._nc = nc
        self._pool = pool
        self._tiers = tuple(tiers)
        self._heard: dict[str, list[Subscription]] = {}
        self.take: Take = lambda *_: False

    async def hold(self, version: str) -> None:
        """From now on this worker answers for the version, too."""
        subjects = (adapter_subject(tier, self._pool, version) for tier in self._tiers)
        hear = self._nc.subscribe
        self._heard[version] = [await hear(subject, queue=ONE_OF, cb=self._on_handed) for subject in subjects]

    async def let_go(self, version: str) -> None:
        """It is unloaded."""
        for heard in self._heard.pop(version, ()):
            await heard.unsubscribe()

    async def stop(self) -> None:
        """Takes no more."""
        for version in list(self._heard):
            await self.let_go(version)

    async def took(self, delivery: Delivery, infer: Infer, version: str) -> bool:
        """Whether another worker holds the version and has taken the request."""
        subject = adapter_subject(infer.tier, self._pool, version)
        headers = {**delivery.headers, DELIVERY: delivery.reply}
        try:
            said = await self._nc.request(subject, delivery.data, timeout=SAID_WITHIN_S, headers=headers)
        except (TimeoutError, NatsError):  # nobody holds it, or nobody says so
            return False
        return said.data == TAKEN

    async def _on_handed(self, msg: Msg) -> None:
        headers = dict(msg.headers or {})
        try:
            infer = decode(msg.data, Infer)
            subject, reply = request_subject(infer.tier, infer.pool), headers.pop(DELIVERY, "")
            is_taken = self.take(Delivery(self._nc, subject, reply, headers, msg.data, DELIVERIES_MAX), infer)
        except (HearthmindError, LookupError, ValueError) as error:
            log.warning("what another worker handed over is passed over: %s", error)
            is_taken = False
        await msg.respond(TAKEN if is_taken else BUSY)
