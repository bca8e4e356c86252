"""Leases of partitions as `hearthmind.bus.leases` takes, renews and loses them, over a network that loses the answers.

The shares are the real ones. The steps are those of the real rounds, one by one: each question may never be answered.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

from hearthmind.bus.leases import GOODBYE, share
from hearthmind.flow import ALIVE, LEASE_TTL_S, RENEW_EVERY_S

from .publishing import Publishing
from .streams import Lease

Question = Callable[..., object]
Steps = Generator[tuple[Question, tuple[object, ...]], object, None]
"""What is done in turns with the broker: it yields a question and is sent the answer."""


@dataclass
class Held:
    """The right to act on a partition until `until_s`."""

    epoch: int
    revision: int
    until_s: float


@dataclass
class _Asked:
    """A question that waits for its answer."""

    partition: int
    steps: Steps
    waits: bool = True


class Leases:
    """Those of one process."""

    def __init__(
        self, process: Publishing, partitions: int, on_taken: Callable[[int, int], None], on_lost: Callable[[int], None]
    ) -> None:
        self.held: dict[int, Held] = {}
        self._process = process
        self._partitions = partitions
        self._on_taken = on_taken
        self._on_lost = on_lost
        self._seen: dict[str, float] = {}
        self._busy: set[int] = set()

    def start(self) -> None:
        """Listens for the others, and begins its rounds."""
        self.listen()
        self._round()

    def listen(self) -> None:
        """Hears who lives."""
        process = self._process
        process.send("pull", process.broker.subscribe, process, ALIVE, "alive", self._on_alive)

    def _on_alive(self, who: str) -> None:
        if who.startswith(GOODBYE.decode()):
            self._seen.pop(who[1:], None)
        else:
            self._seen[who] = self._process.clock_s

    def _round(self) -> None:
        process = self._process
        process.send("alive", process.broker.tell_all, ALIVE, process.name)
        now_s = process.clock_s
        self._seen = {member: seen_s for member, seen_s in self._seen.items() if now_s - seen_s < 3 * RENEW_EVERY_S}
        wanted = share(process.name, self._seen, self._partitions)
        for partition in sorted(set(self.held) - wanted):
            self._begin(partition, self._give_back(partition))
        for partition in sorted(wanted):
            self._begin(partition, self._hold(partition))
        process.after(RENEW_EVERY_S, self._round)

    # ---- steps -----------------------------------------------------------------------------------------------------

    def _hold(self, partition: int) -> Steps:
        lease = self.held.get(partition)
        if lease and self._process.clock_s >= lease.until_s:
            self._lose(partition)
        if partition in self.held:
            yield from self._renew(partition, self.held[partition])
        else:
            yield from self._take(partition)

    def _renew(self, partition: int, lease: Held) -> Steps:
        asked_s, me = self._process.clock_s, self._process.name
        revision = yield self._put(partition, me, lease.revision)
        if revision is None:
            current = yield self._get(partition)
            assert isinstance(current, Lease)
            if current.owner != me:
                self._lose(partition)
                return
            revision = current.revision
        assert isinstance(revision, int)
        lease.revision, lease.until_s = revision, asked_s + LEASE_TTL_S

    def _take(self, partition: int) -> Steps:
        asked_s, me = self._process.clock_s, self._process.name
        revision = yield self._put(partition, me, 0)
        if revision is None:
            current = yield self._get(partition)
            assert isinstance(current, Lease)
            if current.owner in {"", me}:
                revision = yield self._put(partition, me, current.revision)
        if isinstance(revision, int):
            self.held[partition] = Held(revision, revision, asked_s + LEASE_TTL_S)
            self._on_taken(partition, revision)

    def _give_back(self, partition: int) -> Steps:
        lease = self.held.pop(partition)
        self._on_lost(partition)
        yield self._put(partition, "", lease.revision)

    def _lose(self, partition: int) -> None:
        del self.held[partition]
        self._on_lost(partition)

    def _put(self, partition: int, owner: str, expected: int) -> tuple[Question, tuple[object, ...]]:
        return self._process.broker.put_lease, (partition, owner, expected)

    def _get(self, partition: int) -> tuple[Question, tuple[object, ...]]:
        return self._process.broker.get_lease, (partition,)

    # ---- questions and answers -------------------------------------------------------------------------------------

    def _begin(self, partition: int, steps: Steps) -> None:
        """One thing at a time for a partition; what gets no answer within a round is given up."""
        if partition not in self._busy:
            self._busy.add(partition)
            self._go_on(partition, steps, None)

    def _go_on(self, partition: int, steps: Steps, answer: object) -> None:
        try:
            question, about = steps.send(answer)
        except StopIteration:
            self._busy.discard(partition)
            return
        asked = _Asked(partition, steps)
        self._process.send("lease", self._at_broker, asked, question, about, self._process.life)
        self._process.after(RENEW_EVERY_S, self._give_up, asked)

    def _at_broker(self, asked: _Asked, question: Question, about: tuple[object, ...], life: int) -> None:
        answer, process = question(*about), self._process
        if process.is_up and process.life == life:
            process.world.network.send("lease answer", process.broker, process, self._answered, asked, answer)

    def _answered(self, asked: _Asked, answer: object) -> None:
        if asked.waits:
            asked.waits = False
            self._go_on(asked.partition, asked.steps, answer)

    def _give_up(self, asked: _Asked) -> None:
        if asked.waits:
            asked.waits = False
            asked.steps.close()
            self._busy.discard(asked.partition)
