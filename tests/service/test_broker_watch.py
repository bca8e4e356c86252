"""What the broker says of itself, read from a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from nats.aio.client import Client as Nats
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint

from hearthmind import flow
from hearthmind.embedded.nats import EmbeddedNats, NatsConfig
from hearthmind.embedded.processes import Supervisor
from hearthmind.settings import BadSetting
from hearthmind.telemetry import metrics, names
from hearthmind.telemetry.broker import BrokerWatch, Unread, Watch
from hearthmind.testing.servers import provisioned
from hearthmind.testing.waiting import until

from ..observability.prometheus import free_port


@pytest.fixture
def reader() -> Iterator[InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    metrics.use(provider)
    yield reader
    metrics.use(None)
    provider.shutdown()


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[tuple[EmbeddedNats, Supervisor]]:
    broker = EmbeddedNats(folder, NatsConfig(sync_interval="1m", monitoring_port=free_port()))
    async with Supervisor([broker.command()], folder / "supervisor") as supervisor:
        yield broker, supervisor


def told(reader: InMemoryMetricReader, name: str) -> dict[str, float]:
    """The values of a metric, by their only label."""
    data = reader.get_metrics_data()
    points = [
        point
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
        if metric.name == name
    ]
    return {
        str(next(iter((point.attributes or {}).values()), "")): point.value
        for point in points
        if isinstance(point, NumberDataPoint)
    }


@asynccontextmanager
async def watched(broker: EmbeddedNats) -> AsyncIterator[Nats]:
    """A broker with its streams, which is read again and again."""
    watch = Watch(BrokerWatch(url=f"http://127.0.0.1:{broker.config.monitoring_port}", every_s=0.1))
    watch.measure()
    async with provisioned(broker.url) as nc:
        reading = asyncio.create_task(watch.keep_reading())
        yield nc
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading


async def in_queue(nc: Nats, events: int) -> None:
    for number in range(events):
        await nc.jetstream().publish(f"game.realm.event.n{number}.combat", b"{}")


async def test_depth_age_and_room_are_the_brokers_own_figures(
    server: tuple[EmbeddedNats, Supervisor], reader: InMemoryMetricReader
) -> None:
    broker, _ = server
    async with watched(broker) as nc:
        await in_queue(nc, 3)
        await until(lambda: told(reader, names.QUEUE_DEPTH).get("EVENT") == 3)
        await until(lambda: told(reader, names.QUEUE_AGE)["EVENT"] > 0)
        assert told(reader, names.QUEUE_DEPTH)["OBSERVATION"] == 0
        assert told(reader, names.QUEUE_AGE)["OBSERVATION"] == 0
        assert set(told(reader, names.QUEUE_DEPTH)) == set(told(reader, names.QUEUE_AGE)) == set(flow.QUEUES)
        assert set(told(reader, names.STREAM_STORED)) == {stream.name for stream in flow.STREAMS}
        assert told(reader, names.STREAM_STORED)["EVENT"] == 3
        assert 0 < told(reader, names.STREAM_SIZE)["EVENT"] < told(reader, names.STREAM_SIZE_MAX)["EVENT"]
        assert set(told(reader, names.BROKER_STORAGE)) == {"memory", "file"}
        assert told(reader, names.BROKER_STORAGE_MAX)["file"] == broker.config.file_max_mib * flow.MIB
        assert told(reader, names.BROKER_CONNECTIONS) == {"": 1}
        assert told(reader, names.BROKER_UP) == {"": 1}
        await nc.jetstream().purge_stream("EVENT")
        await until(lambda: told(reader, names.QUEUE_DEPTH)["EVENT"] == 0)
        assert told(reader, names.QUEUE_AGE)["EVENT"] == 0


async def test_of_a_stream_that_keeps_everything_what_its_reader_has_not_done_waits(
    server: tuple[EmbeddedNats, Supervisor], reader: InMemoryMetricReader
) -> None:
    broker, _ = server
    async with watched(broker) as nc:
        js = nc.jetstream()
        for _ in range(3):
            await js.publish("game.realm.outcome.p1", b"{}")
        await until(lambda: told(reader, names.QUEUE_DEPTH).get("EXPERIENCE") == 3)
        await until(lambda: told(reader, names.QUEUE_AGE)["EXPERIENCE"] > 0)
        rewarder = await js.pull_subscribe_bind("reward", "EXPERIENCE")
        for message in await rewarder.fetch(3):
            await message.ack_sync()
        await until(lambda: told(reader, names.QUEUE_DEPTH)["EXPERIENCE"] == 0)
        await until(lambda: told(reader, names.QUEUE_AGE)["EXPERIENCE"] == 0)
        assert (await js.stream_info("EXPERIENCE")).state.messages == 3


async def test_what_leaves_a_stream_before_it_was_read_is_counted(
    server: tuple[EmbeddedNats, Supervisor], reader: InMemoryMetricReader
) -> None:
    broker, _ = server
    async with watched(broker) as nc:
        js = nc.jetstream()
        await until(lambda: told(reader, names.STREAM_UNREAD).get("EXPERIENCE") == 0)
        config = (await js.stream_info("EXPERIENCE")).config
        config.max_msgs = 2
        await js.update_stream(config)
        for _ in range(5):
            await js.publish("game.realm.outcome.p1", b"{}")
        await until(lambda: told(reader, names.STREAM_UNREAD)["EXPERIENCE"] == 3)
        rewarder = await js.pull_subscribe_bind("reward", "EXPERIENCE")
        for message in await rewarder.fetch(2):
            await message.ack_sync()
        for _ in range(2):
            await js.publish("game.realm.outcome.p1", b"{}")
        await until(lambda: told(reader, names.STREAM_STORED)["EXPERIENCE"] == 7)
        assert told(reader, names.STREAM_UNREAD)["EXPERIENCE"] == 3


def test_a_gap_is_counted_once_and_a_new_stream_begins_anew() -> None:
    unread = Unread()
    assert [unread.take(gone, done) for gone, done in [(0, 0), (4, 4), (7, 5), (7, 5), (9, 8), (9, 9), (3, 1)]] == [
        *(0, 0, 2, 2, 3, 3, 5)
    ]


async def test_of_a_broker_that_is_away_only_that_is_told(
    server: tuple[EmbeddedNats, Supervisor], reader: InMemoryMetricReader
) -> None:
    broker, supervisor = server
    watch = Watch(BrokerWatch(url=f"http://127.0.0.1:{broker.config.monitoring_port}", every_s=0.1))
    watch.measure()
    async with provisioned(broker.url):
        reading = asyncio.create_task(watch.keep_reading())
        await until(lambda: told(reader, names.BROKER_UP) == {"": 1} and bool(told(reader, names.QUEUE_DEPTH)))
    await supervisor.stop()
    await until(lambda: told(reader, names.BROKER_UP) == {"": 0})
    assert not told(reader, names.QUEUE_DEPTH), "an old figure would look like a new one"
    await supervisor.start()
    await until(lambda: told(reader, names.BROKER_UP) == {"": 1})
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading


@pytest.mark.parametrize("url", ["nats://127.0.0.1:8222", "127.0.0.1:8222", "http://"])
def test_an_address_that_cannot_be_meant_is_refused_by_name(url: str) -> None:
    with pytest.raises(BadSetting, match="HEARTHMIND_BROKER_WATCH__URL"):
        Watch(BrokerWatch(url=url))
