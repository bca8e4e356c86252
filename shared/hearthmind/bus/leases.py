"""Partition leases with epochs: each partition has one owner at a time, and a share of them goes to every live process.

The law: of two leases for a partition the later has the higher epoch, and nobody keeps a partition for longer than a round
after its lease ran out by its own clock. What two owners decide at once in between, the ACTION stream tells apart.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from hearthmind.bus.publish import NotStored, Publisher
from hearthmind.errors import HearthmindError, Unavailable
from hearthmind.flow import ALIVE, LEASE_TTL_S, LEASES, RENEW_EVERY_S

log = logging.getLogger("hearthmind.bus")

GOODBYE = b"-"
"""Before a name on the subject of the living: this one has given its leases back."""

EXPECTED = "Nats-Expected-Last-Subject-Sequence"


def share(me: str, members: Iterable[str], partitions: int) -> set[int]:
    """The partitions that fall to a member: everybody computes the same, and a change of members moves only few."""
    everybody = sorted({me, *members})
    ranked = {p: sorted(everybody, key=lambda member: _weight(member, p)) for p in range(partitions)}
    room = {member: -(-partitions // len(everybody)) for member in everybody}
    mine: set[int] = set()
    for partition, order in ranked.items():
        owner = next(member for member in order if room[member] > 0)
        room[owner] -= 1
        if owner == me:
            mine.add(partition)
    return mine


def _weight(member: str, partition: int) -> bytes:
    return hashlib.blake2b(f"{member}/{partition}".encode(), digest_size=8).digest()


@dataclass(slots=True)
class Lease:
    """The right to act on a partition until `until_s` (monotonic)."""

    partition: int
    epoch: int
    revision: int
    until_s: float


@dataclass
class Leases:
    """Takes, renews and gives back the leases of one process."""

    nc: Nats
    publisher: Publisher
    me: str
    partitions: int
    on_taken: Callable[[Lease], Awaitable[None]]
    on_lost: Callable[[int], Awaitable[None]]
    held: dict[int, Lease] = field(default_factory=dict)
    _seen: dict[str, float] = field(default_factory=dict)
    _hurry: asyncio.Event = field(default_factory=asyncio.Event)

    async def stop(self) -> None:
        """Gives all leases back and says goodbye, so that others take them at once; to be called when `run` has ended."""
        for partition in list(self.held):
            await self._give_back(partition)
        with contextlib.suppress(NatsError):
            await self.nc.publish(ALIVE, GOODBYE + self.me.encode())

    async def _on_alive(self, msg: Msg) -> None:
        who = msg.data[:64].decode(errors="replace")
        if msg.data.startswith(GOODBYE):
            self._seen.pop(who[len(GOODBYE) :], None)
            self._hurry.set()
        else:
            self._seen[who] = time.monotonic()

    async def run(self) -> None:
        """Takes and renews what falls to this process, again and again."""
        await self.nc.subscribe(ALIVE, cb=self._on_alive)
        while True:
            try:
                await self._round()
            except HearthmindError as error:
                log.warning("leases: %s", error)
            except NatsError as error:
                log.warning("leases: the broker is away: %s", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), RENEW_EVERY_S)
            self._hurry.clear()

    async def _round(self) -> None:
        await self.nc.publish(ALIVE, self.me.encode())
        now_s = time.monotonic()
        self._seen = {member: seen_s for member, seen_s in self._seen.items() if now_s - seen_s < 3 * RENEW_EVERY_S}
        wanted = share(self.me, self._seen, self.partitions)
        for partition in set(self.held) - wanted:
            await self._give_back(partition)
        results = await asyncio.gather(*(self._hold(partition) for partition in wanted), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _hold(self, partition: int) -> None:
        lease = self.held.get(partition)
        if lease and time.monotonic() >= lease.until_s:
            await self._lose(partition)
        if partition in self.held:
            await self._renew(self.held[partition])
        else:
            await self._take(partition)

    async def _renew(self, lease: Lease) -> None:
        asked_s = time.monotonic()
        revision = await self._put(lease.partition, lease.revision)
        if revision is None:
            owner, revision = await self._current(lease.partition)
            if owner != self.me:
                await self._lose(lease.partition)
                return
        lease.revision, lease.until_s = revision, asked_s + LEASE_TTL_S

    async def _take(self, partition: int) -> None:
        asked_s = time.monotonic()
        revision = await self._put(partition, 0)
        if revision is None:
            owner, free_since = await self._current(partition)
            revision = await self._put(partition, free_since) if not owner else None
        if revision is not None:
            self.held[partition] = lease = Lease(partition, revision, revision, asked_s + LEASE_TTL_S)
            log.info("partition %d is ours, epoch %d", partition, revision)
            await self.on_taken(lease)

    async def _put(self, partition: int, expected: int, owner: str | None = None) -> int | None:
        """Writes the owner where the lease stands at the expected revision (0: nowhere); None where it doesn't."""
        name = self.me if owner is None else owner
        unique = f"{self.me}/{partition}/{expected}/{name}/{time.monotonic_ns()}"
        subject, headers = f"$KV.{LEASES}.{partition}", {EXPECTED: str(expected)}
        try:
            ack = await self.publisher.publish(subject, name.encode(), unique, headers, give_up_after_s=RENEW_EVERY_S)
        except NotStored:
            return None
        return ack.seq

    async def _current(self, partition: int) -> tuple[str, int]:
        """Who holds the lease and at which revision; nobody at 0 where there is none, nobody at n where it was given back."""
        try:
            answer = await self.nc.request(f"$JS.API.DIRECT.GET.KV_{LEASES}.$KV.{LEASES}.{partition}", b"", timeout=1)
        except NatsError as error:
            raise Unavailable(what="The bucket of leases", why=error) from error
        headers = answer.headers or {}
        return answer.data.decode(), int(headers.get("Nats-Sequence", 0))

    async def _lose(self, partition: int) -> None:
        self.held.pop(partition, None)
        log.warning("partition %d is no longer ours", partition)
        await self.on_lost(partition)

    async def _give_back(self, partition: int) -> None:
        lease = self.held.pop(partition)
        await self.on_lost(partition)
        try:
            await self._put(partition, lease.revision, owner="")
        except HearthmindError as error:
            log.info("the lease of partition %d ends by itself: %s", partition, error)
