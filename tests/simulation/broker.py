"""The broker, as far as our flow uses it: streams, consumers, the republished action, leases.

It keeps to what is measured and written down about NATS: a stream knows message ids for a while; the newest observation of
an NPC and kind replaces the one before; what is not acknowledged in time is delivered again and counted; a restart empties
what is in memory and keeps what is in files.
"""

from __future__ import annotations

import zlib
from collections import defaultdict

from hearthmind import flow

from .plan import Refused
from .streams import Ack, Delivered, Lease, Pull, Stored, Stream, Subscription, Waiting
from .world import Action, Process, World

SOURCED_AFTER_S = 0.003
"""How long an action takes from its stream into the one that has it as a source."""
RECONNECTED_AFTER_S = 0.3

CHANNEL_OF = {"decision": "delivery", "inference_worker": "request delivery", "reward": "experience"}
"""What a delivery to a service is called."""


class Broker(Process):
    """One server."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "broker", 0.0)
        plan = world.plan
        self.clients: list[Process] = []
        """Who keeps a connection."""
        self.streams = {stream.name: Stream(stream.name, stream) for stream in flow.STREAMS}
        self._consumers = {
            (each.stream, each.name): Waiting(self.streams[each.stream], each, CHANNEL_OF[service])
            for service in flow.SERVICES
            for each in flow.consumers_of(service, plan.partitions, ("rules",))
        }
        self._of_stream = {
            name: [consumer for consumer in self._consumers.values() if consumer.stream.name == name]
            for name in self.streams
        }
        self._sourced = 0
        self._leases: dict[int, Lease] = {}
        self._revision = 0
        self._subscribers: defaultdict[str, list[Subscription]] = defaultdict(list)
        self._refusing = [fault for fault in plan.faults if isinstance(fault, Refused)]

    def began(self) -> None:
        """What is in files is there again; what is in memory begins anew."""
        self._revision = int(self.world.time_of_day_s * 1000)
        for consumer in self._consumers.values():
            self._deliver_again(consumer, list(consumer.pending))
        self.after(SOURCED_AFTER_S, self._source)
        self.reconnected()

    def reconnected(self) -> None:
        """Everybody notices after a while that the broker is there again."""
        for client in self.clients:
            if client.is_up:
                self.world.at(self.world.now_s + RECONNECTED_AFTER_S, client, client.reconnected)

    def ended(self) -> None:
        """Connections, leases and what was in memory are gone."""
        self._leases.clear()
        self._subscribers.clear()
        for consumer in self._consumers.values():
            consumer.pulls.clear()
            if consumer.stream.has.storage == "memory":
                consumer.clear()
        for stream in self.streams.values():
            if stream.has.storage == "memory":
                stream.clear()

    # ---- streams ---------------------------------------------------------------------------------------------------

    def partition_of(self, npc: str) -> int:
        """The partition of an NPC."""
        return zlib.crc32(npc.encode()) % self.world.plan.partitions

    def publish(
        self, stream_name: str, subject: str, data: bytes, message_id: str, deadline_s: float, ends_s: float
    ) -> Ack:
        """Stores a message, or says why not."""
        stream, now_s = self.streams[stream_name], self.world.now_s
        if stream.has.transform:
            _, game, what, npc, kind = subject.split(".")
            subject = f"{what}.{self.partition_of(npc)}.{game}.{npc}.{kind}"
        known = stream.ids.get(message_id)
        if known and now_s - known[0] < stream.has.duplicates_s:
            return Ack(known[1], duplicate=True)
        if self._is_refusing(stream_name):
            return Ack(0, refused="it is full")
        stream.sequence += 1
        sequence = stream.sequence
        stream.ids[message_id] = (now_s, sequence)
        if stream.has.newest_per_subject:
            stream.messages.pop(stream.newest.get(subject, 0), None)
            stream.newest[subject] = sequence
        message = Stored(sequence, subject, data, self.world.time_of_day_s, ends_s, deadline_s)
        stream.messages[sequence] = message
        if stream_name == "ACTION":
            self.tell_all("action", data)
            self.after(SOURCED_AFTER_S, self._source)
        self._offer(stream, message)
        return Ack(sequence)

    def _is_refusing(self, stream: str) -> bool:
        now_s = self.world.now_s
        return any(
            stream.startswith(fault.stream) and fault.at_s <= now_s < fault.at_s + fault.for_s
            for fault in self._refusing
        )

    def _source(self) -> None:
        """Copies actions into the EXPERIENCE stream, each once and in their order."""
        actions = self.streams["ACTION"]
        while self._sourced < actions.sequence:
            self._sourced += 1
            action = actions.messages[self._sourced]
            into = self.streams["EXPERIENCE"]
            into.sequence += 1
            into.messages[into.sequence] = copied = action._replace(
                sequence=into.sequence, stored_s=self.world.time_of_day_s
            )
            self._offer(into, copied)

    def _offer(self, stream: Stream, message: Stored) -> None:
        for consumer in self._of_stream[stream.name]:
            if message.subject.startswith(consumer.has.filter.partition("*")[0]):
                consumer.ready.append(message.sequence)
                self._deliver(consumer)

    # ---- what is said once and not kept ----------------------------------------------------------------------------

    def subscribe(self, process: Process, subject: str, channel: str, hear: Action, number: int = 0) -> None:
        """A process listens from now on."""
        self.unsubscribe(process, subject, number)
        self._subscribers[subject].append(Subscription(process, process.life, number, channel, hear))

    def unsubscribe(self, process: Process, subject: str, number: int = 0) -> None:
        """It listens no more."""
        others = (each for each in self._subscribers[subject] if (each.process, each.number) != (process, number))
        self._subscribers[subject] = list(others)

    def tell_all(self, subject: str, *what: object) -> None:
        """Whoever listens now hears it; a connection ends with its process."""
        for each in self._subscribers[subject]:
            if each.process.life == each.life:
                self.world.network.send(each.channel, self, each.process, each.hear, *what)

    # ---- consumers -------------------------------------------------------------------------------------------------

    def pull(self, process: Process, stream: str, name: str, number: int = 0) -> None:
        """A process has a pull open on a consumer from now on."""
        consumer, pull = self._consumers[stream, name], Pull(process, process.life, number)
        if pull not in consumer.pulls:
            consumer.pulls.append(pull)
        self._deliver(consumer)

    def unpull(self, process: Process, stream: str, name: str, number: int) -> None:
        """It has none any more."""
        pulls, pull = self._consumers[stream, name].pulls, Pull(process, process.life, number)
        if pull in pulls:
            pulls.remove(pull)

    def _deliver(self, consumer: Waiting) -> None:
        while consumer.ready and (process := self._next_puller(consumer)):
            message = consumer.stream.messages.get(consumer.ready.popleft())
            if message is None or message.sequence in consumer.pending or message.ends_s <= self.world.now_s:
                continue
            sequence = message.sequence
            consumer.counts[sequence] += 1
            ends_s = consumer.pending[sequence] = self.world.now_s + consumer.has.ack_wait_s
            self.after(consumer.has.ack_wait_s, self._not_acknowledged, consumer, sequence, ends_s)
            delivered = Delivered(message, consumer, consumer.counts[sequence])
            self.world.network.send(consumer.channel, self, process, process.on_delivery, delivered)

    def _next_puller(self, consumer: Waiting) -> Process | None:
        """Whoever has a pull open, in turn. A connection ends with its process."""
        while consumer.pulls:
            pull = consumer.pulls.popleft()
            if pull.process.is_up and pull.process.life == pull.life:
                consumer.pulls.append(pull)
                return pull.process
        return None

    def _not_acknowledged(self, consumer: Waiting, sequence: int, ends_s: float) -> None:
        if consumer.pending.get(sequence) == ends_s:
            self._deliver_again(consumer, [sequence])

    def _deliver_again(self, consumer: Waiting, sequences: list[int]) -> None:
        for sequence in sequences:
            if consumer.pending.pop(sequence, None) is not None:
                consumer.ready.append(sequence)
        self._deliver(consumer)

    def acknowledge(self, delivery: Delivered) -> None:
        """It is done."""
        consumer = self._consumers[delivery.stream, delivery.consumer]
        if consumer.pending.pop(delivery.sequence, None) is not None:
            consumer.stream.messages.pop(delivery.sequence, None)

    def retry(self, delivery: Delivered, after_s: float) -> None:
        """It comes again after this time."""
        self._wait_for(delivery, after_s)

    def extend(self, delivery: Delivered) -> None:
        """It is still being worked on."""
        self._wait_for(delivery, self._consumers[delivery.stream, delivery.consumer].has.ack_wait_s)

    def _wait_for(self, delivery: Delivered, after_s: float) -> None:
        consumer, sequence = self._consumers[delivery.stream, delivery.consumer], delivery.sequence
        if sequence in consumer.pending:
            ends_s = consumer.pending[sequence] = self.world.now_s + after_s
            self.after(after_s, self._not_acknowledged, consumer, sequence, ends_s)

    # ---- leases ----------------------------------------------------------------------------------------------------

    def put_lease(self, partition: int, owner: str, expected: int) -> int | None:
        """Writes an owner where the lease stands at the expected revision; returns the new one."""
        if self.get_lease(partition).revision != expected:
            return None
        self._revision += 1
        self._leases[partition] = Lease(owner, self._revision, self.world.now_s + flow.LEASE_TTL_S)
        return self._revision

    def get_lease(self, partition: int) -> Lease:
        """The lease as it stands; nobody's at 0 where there is none."""
        lease = self._leases.get(partition)
        return lease if lease and lease.ends_s > self.world.now_s else Lease("", 0, 0.0)
