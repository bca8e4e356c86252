"""A process that publishes to streams, as `hearthmind.bus.publish` does: again with the same id, until the broker has it
or until it is worth nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hearthmind.bus.publish import RESEND_AFTER_S

from .broker import Broker
from .streams import Ack, Delivered
from .world import Process, World

Then = Callable[[Ack | None], None]
"""Told of the acknowledgement, or that none came in time."""

NEVER_S = float("inf")


@dataclass(slots=True)
class _Pending:
    channel: str
    message: tuple[str, str, bytes, str, float, float]
    give_up_s: float
    then: Then
    is_settled: bool = False


class Publishing(Process):
    """Has a connection to the broker."""

    def __init__(self, world: World, broker: Broker, name: str, clock_s: float) -> None:
        super().__init__(world, name, clock_s)
        self.broker = broker
        broker.clients.append(self)

    def send(self, channel: str, what: Callable[..., object], *arguments: object) -> None:
        """Sends the broker something that it does not answer."""
        self.world.network.send(channel, self, self.broker, what, *arguments)

    def publish(
        self,
        channel: str,
        stream: str,
        subject: str,
        data: bytes,
        message_id: str,
        give_up_after_s: float,
        then: Then,
        deadline_s: float = NEVER_S,
        ends_s: float = NEVER_S,
    ) -> None:
        """Publishes to a stream. The deadline is for its readers; when it ends, the stream forgets it."""
        message = (stream, subject, data, message_id, deadline_s, ends_s)
        self._transmit(_Pending(channel, message, self.world.now_s + give_up_after_s, then))

    def _transmit(self, pending: _Pending) -> None:
        if pending.is_settled:
            return
        left_s = pending.give_up_s - self.world.now_s
        if left_s <= 0:
            self._settle(pending, None)
            return
        self.send(pending.channel, self._arrived, pending, self.life)
        self.after(min(RESEND_AFTER_S, left_s), self._transmit, pending)

    def _arrived(self, pending: _Pending, life: int) -> None:
        """At the broker."""
        ack = self.broker.publish(*pending.message)
        if self.is_up and self.life == life:
            self.world.network.send(f"{pending.channel} ack", self.broker, self, self._settle, pending, ack)

    def _settle(self, pending: _Pending, ack: Ack | None) -> None:
        if not pending.is_settled:
            pending.is_settled = True
            pending.then(ack)

    def acknowledge(self, delivery: Delivered) -> None:
        """It is done."""
        self.send(_settlement(delivery), self.broker.acknowledge, delivery)

    def retry(self, delivery: Delivered, after_s: float) -> None:
        """It comes again after this time."""
        self.send(_settlement(delivery), self.broker.retry, delivery, after_s)

    def extend(self, delivery: Delivered) -> None:
        """It is still being worked on."""
        self.send(_settlement(delivery), self.broker.extend, delivery)


def _settlement(delivery: Delivered) -> str:
    if delivery.stream == "EXPERIENCE":
        return "experience settlement"
    return "request settlement" if delivery.stream.startswith("INFERENCE") else "settlement"
