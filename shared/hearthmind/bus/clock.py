"""The broker's clock, told by monotonic time: deadlines hold whatever the wall clocks of this machine or a game's say."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from datetime import UTC, datetime

import msgspec
from nats.aio.client import Client as Nats
from nats.errors import Error as NatsError

from hearthmind.errors import CannotStartYet, Unavailable

SAMPLE_EVERY_S = 5.0


class BrokerClock:
    """Keeps the offset between the broker's clock and this machine's monotonic one, from its quickest recent answers."""

    def __init__(self, samples_max: int = 6) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=samples_max)
        self._offset_s = time.time() - time.monotonic()

    @property
    def is_known(self) -> bool:
        """Whether the broker has been asked yet; before, this machine's wall clock must do."""
        return bool(self._samples)

    def add(self, sent_s: float, received_s: float, broker_s: float) -> None:
        """Learns from one answer: when it was asked for and came (monotonic), and what the broker's clock said."""
        self._samples.append((received_s - sent_s, broker_s - (sent_s + received_s) / 2))
        self._offset_s = min(self._samples)[1]

    def monotonic_s(self, broker_s: float) -> float:
        """A time on the broker's clock as local monotonic time."""
        return broker_s - self._offset_s

    def broker_s(self, monotonic_s: float) -> float:
        """A local monotonic time as the broker's clock says it."""
        return monotonic_s + self._offset_s


async def learn(clock: BrokerClock, nc: Nats, stream: str, consumer: str, within_s: float) -> None:
    """Waits for the first answer; a consumer that stays away was never provisioned, or not again yet."""
    give_up_s = time.monotonic() + within_s
    while True:
        with contextlib.suppress(NatsError):
            await _sample(clock, nc, stream, consumer)
        if clock.is_known:
            return
        if time.monotonic() > give_up_s:
            why = f"the broker has no consumer {consumer} on {stream}. Run `hearthmind provision` first."
            raise CannotStartYet(why=why)
        await asyncio.sleep(0.2)


async def keep_time(clock: BrokerClock, nc: Nats, stream: str, consumer: str) -> None:
    """Asks again and again, so that drift and a broker that moved are noticed."""
    while True:
        await asyncio.sleep(SAMPLE_EVERY_S)
        with contextlib.suppress(NatsError, Unavailable):
            await _sample(clock, nc, stream, consumer)


class _Stamped(msgspec.Struct):
    ts: str = ""


async def _sample(clock: BrokerClock, nc: Nats, stream: str, consumer: str) -> None:
    """Asks the broker for the time, by a question that every service may ask about its own consumer."""
    sent_s = time.monotonic()
    answer = await nc.request(f"$JS.API.CONSUMER.INFO.{stream}.{consumer}", b"", timeout=2)
    received_s = time.monotonic()
    stamped = msgspec.json.decode(answer.data, type=_Stamped)
    if stamped.ts:
        clock.add(sent_s, received_s, parse_stamp(stamped.ts))


def parse_stamp(stamp: str) -> float:
    """A time stamp of the broker, with nanoseconds, in seconds since 1970."""
    whole, _, rest = stamp.removesuffix("Z").partition(".")
    return datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp() + (float(f"0.{rest}") if rest else 0.0)
