"""Partition leases with epochs: each partition has one owner at a time, and a share of them goes to every live process.

The law: of two leases for a partition the later has the higher epoch, and nobody keeps a partition for longer than a round
after its lease ran out by its own clock. What two owners decide at once in between, the ACTION stream tells apart.
Leases want a connection of their own: on a busy one their answers stand in line behind thousands of observations. So that a
process whose other connection is dead does not keep what it can't work on, `is_well` says whether it can.
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

PAUSE_S = 0.05
"""At least so long between two rounds, also where one took long."""

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
    is_well: Callable[[], Awaitable[bool]]
    held: dict[int, Lease] = field(default_factory=dict)
    _seen: dict[str, float] = field(default_factory=dict)
    _hurry: asyncio.Event = field(default_factory=asyncio.Event)
    _at_work: dict[int, asyncio.Task[None]] = field(default_factory=dict)

    async def stop(self) -> None:
        """Gives all leases back and says goodbye, so that others take them at once; to be called when `run` has ended."""
        for partition in list(self.held):
            await self._give_back(partition)
        with contextlib.suppress(NatsError):
            await self._say(GOODBYE)

    async def _say(self, word: bytes = b"") -> None:
        await self.nc.publish(ALIVE, word + self.me.encode())

    async def _on_alive(self, msg: Msg) -> None:
        who = msg.data[:64].decode(errors="replace")
        if not msg.data.startswith(GOODBYE):
            self._seen[who] = time.monotonic()
        elif (gone := who[len(GOODBYE) :]) != self.me:
            self._seen.pop(gone, None)
            self._hurry.set()

    async def run(self) -> None:
        """Takes and renews what falls to this process, again and again."""
        await self.nc.subscribe(ALIVE, cb=self._on_alive)
        try:
            while True:
                next_s = time.monotonic() + RENEW_EVERY_S
                try:
                    await self._round()
                except HearthmindError as error:
                    log.warning("leases: %s", error)
                except NatsError as error:
                    log.warning("leases: the broker is away: %s", error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), max(PAUSE_S, next_s - time.monotonic()))
                self._hurry.clear()
        finally:
            for task in self._at_work.values():
                task.cancel()
            await asyncio.gather(*self._at_work.values(), return_exceptions=True)
            self._at_work.clear()

    async def _round(self) -> None:
        """Begins what is to be done now. A partition that takes longer than a round does not keep the others waiting."""
        wanted = await self._wanted()
        for partition in (wanted | self.held.keys()) - self._at_work.keys():
            work = self._hold(partition) if partition in wanted else self._give_back(partition)
            self._at_work[partition] = asyncio.create_task(work)
        if not self._at_work:
            return
        done, _ = await asyncio.wait(self._at_work.values(), timeout=RENEW_EVERY_S)
        self._at_work = {partition: task for partition, task in self._at_work.items() if task not in done}
        for error in [task.exception() for task in done]:
            if error:
                raise error

    async def _wanted(self) -> set[int]:
        """What falls to this process, of which the others are told whether it lives; nothing while it isn't well."""
        if not await self.is_well():
            if self.held:
                log.warning("this process hears nothing of its partitions any more, and gives them back")
            await self._say(GOODBYE)
            return set()
        await self._say()
        now_s = time.monotonic()
        self._seen = {member: seen_s for member, seen_s in self._seen.items() if now_s - seen_s < 3 * RENEW_EVERY_S}
        return share(self.me, self._seen, self.partitions)

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
            owner, since = await self._current(partition)
            revision = await self._put(partition, since) if owner in {"", self.me} else None
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
