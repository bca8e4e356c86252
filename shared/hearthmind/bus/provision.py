"""The provisioning job: makes every stream, consumer and bucket of `flow.py`, and can be run again at any time."""

from __future__ import annotations

import time

from nats.aio.client import Client as Nats
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RePublish,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    StreamSource,
    SubjectTransform,
)
from nats.js.errors import APIError, BadRequestError, NotFoundError

from hearthmind import flow
from hearthmind.errors import CannotStart, Unavailable
from hearthmind.flow import Consumer, Stream
from hearthmind.ids import check_id

_RETENTION = {
    "workqueue": RetentionPolicy.WORK_QUEUE,
    "interest": RetentionPolicy.INTEREST,
    "limits": RetentionPolicy.LIMITS,
}
_INVALID_CONFIG = 10052
"""The broker's code for a change that it can't make, which it calls an error of its own."""


async def provision(nc: Nats, *, partitions: int = 16, pools: tuple[str, ...] = ("rules",)) -> None:
    """Makes what is missing and brings what is there up to date; what holds messages is never deleted."""
    for pool in pools:
        check_id("pool", pool)
    js = nc.jetstream(timeout=10)
    try:
        for stream in flow.STREAMS:
            await _make_stream(js, stream_config(stream, partitions))
        for service in flow.SERVICES:
            for consumer in flow.consumers_of(service, partitions, pools):
                await js.add_consumer(consumer.stream, consumer_config(consumer))
        await _make_leases(js)
        for bucket in buckets():
            await _make_stream(js, bucket)
    except NatsError as error:
        raise Unavailable(what="JetStream", why=str(error) or type(error).__name__) from error


def stream_config(stream: Stream, partitions: int) -> StreamConfig:
    """A stream of the table as nats-py knows it."""
    storage = StorageType.MEMORY if stream.storage == "memory" else StorageType.FILE
    transform = republish = sources = None
    if stream.transform:
        source, target = stream.transform
        transform = SubjectTransform(source, target.replace("{partitions}", str(partitions)))
    if stream.republish:
        republish = RePublish(*stream.republish)
    if stream.sources:
        sources = [StreamSource(name) for name in stream.sources]
    return StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        storage=storage,
        retention=_RETENTION[stream.retention],
        discard=DiscardPolicy.NEW if stream.when_full == "refuse" else DiscardPolicy.OLD,
        max_age=stream.kept_s,
        max_bytes=stream.bytes_max,
        max_msgs=stream.messages_max,
        max_msgs_per_subject=1 if stream.newest_per_subject else -1,
        duplicate_window=stream.duplicates_s,
        allow_msg_ttl=stream.message_ttl or None,
        subject_transform=transform,
        republish=republish,
        sources=sources,
    )


def consumer_config(consumer: Consumer) -> ConsumerConfig:
    """A consumer of the table as nats-py knows it; deliveries are counted by whoever receives them."""
    return ConsumerConfig(
        durable_name=consumer.name,
        filter_subject=consumer.filter or None,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=consumer.ack_wait_s,
        max_ack_pending=consumer.pending_max,
        max_deliver=-1,
        max_waiting=512,
    )


async def _make_stream(js: JetStreamContext, config: StreamConfig) -> None:
    try:
        await js.update_stream(config)
    except NotFoundError:
        await js.add_stream(config)
    except APIError as error:
        if not isinstance(error, BadRequestError) and error.err_code != _INVALID_CONFIG:
            raise
        why = f"the stream {config.name} is there but can't be changed as flow.py wants it: {error.description}"
        raise CannotStart(why=why) from error


async def _make_leases(js: JetStreamContext) -> None:
    """The leases' bucket. Its sequence starts at the time of day, so that epochs grow even when it is made anew."""
    try:
        await js.stream_info(f"KV_{flow.LEASES}")
    except NotFoundError:
        config = StreamConfig(
            name=f"KV_{flow.LEASES}",
            subjects=[f"$KV.{flow.LEASES}.*"],
            storage=StorageType.MEMORY,
            max_age=flow.LEASE_TTL_S,
            max_msgs_per_subject=1,
            max_bytes=1024 * 1024,
            duplicate_window=1,
            allow_direct=True,
            first_seq=int(time.time() * 1000),
        )
        await js.add_stream(config)


def buckets() -> tuple[StreamConfig, ...]:
    """The buckets, but for that of the leases."""
    return _registry(), _minds(), _adapters(), _answers(), _claims()


def _registry() -> StreamConfig:
    """What is in force, with a few earlier values of each key."""
    return _key_value(flow.REGISTRY, values_max=8)


def _minds() -> StreamConfig:
    """Freezes, each until its own end, and bans until they are lifted."""
    return _key_value(flow.MINDS, values_max=1, message_ttl=True)


def _key_value(bucket: str, *, values_max: int, message_ttl: bool = False) -> StreamConfig:
    """A key-value bucket as its clients expect one; full, it refuses, since what is in force must not go."""
    return StreamConfig(
        name=f"KV_{bucket}",
        subjects=[f"$KV.{bucket}.>"],
        storage=StorageType.FILE,
        max_msgs_per_subject=values_max,
        max_bytes=64 * flow.MIB,
        discard=DiscardPolicy.NEW,
        allow_rollup_hdrs=True,
        allow_direct=True,
        allow_msg_ttl=message_ttl or None,
    )


def _adapters() -> StreamConfig:
    """An object-store bucket as its clients expect one; full, it refuses, since what is in force must not go."""
    return StreamConfig(
        name=f"OBJ_{flow.ADAPTERS}",
        subjects=[f"$O.{flow.ADAPTERS}.C.>", f"$O.{flow.ADAPTERS}.M.>"],
        storage=StorageType.FILE,
        max_bytes=2048 * flow.MIB,
        discard=DiscardPolicy.NEW,
        allow_rollup_hdrs=True,
        allow_direct=True,
    )


def _answers() -> StreamConfig:
    """The response cache: the newest of each key, in memory, and the oldest make room."""
    return StreamConfig(
        name=f"KV_{flow.ANSWERS}",
        subjects=[f"$KV.{flow.ANSWERS}.*"],
        storage=StorageType.MEMORY,
        max_age=flow.ANSWERS_KEPT_S,
        max_msgs_per_subject=1,
        max_bytes=flow.ANSWERS_BYTES_MAX,
        duplicate_window=1,
        allow_direct=True,
    )


def _claims() -> StreamConfig:
    """Claims, in memory: what is created stays as it is until it is gone by itself."""
    return StreamConfig(
        name=f"KV_{flow.CLAIMS}",
        subjects=[f"$KV.{flow.CLAIMS}.*.*.*"],
        storage=StorageType.MEMORY,
        max_age=flow.CLAIMS_KEPT_S,
        max_msgs_per_subject=1,
        max_bytes=flow.CLAIMS_BYTES_MAX,
        duplicate_window=1,
        allow_direct=True,
    )
