"""The I/O of a check: a broker with the game's own user, our ears at it, and the effects of the machine carried out.

The law: what the game says is heard in its order, and what the machine says leaves in its order.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec

from hearthmind import ids
from hearthmind.alarm import Alarm
from hearthmind.bus.accounts import PROVISION, authorization, new_passwords
from hearthmind.bus.connect import Connection as Nats
from hearthmind.bus.connect import Msg, close, connect
from hearthmind.bus.publish import MSG_ID, PubAck, Publisher
from hearthmind.bus.wire import encode
from hearthmind.contracts.outcome import OutcomesStored
from hearthmind.embedded.nats import EmbeddedNats, NatsConfig
from hearthmind.embedded.processes import Supervisor
from hearthmind.errors import HearthmindError
from hearthmind.flow import game_user
from hearthmind.settings import Flow
from services.command.conformance.effects import Confirm, Effect, Say
from services.command.conformance.play import Play
from services.command.conformance.reading import Said
from services.command.platform import CONNECTION, Connection, provision_at, read_connection

NATS = "nats"
LOOK_EVERY_S = 0.01
SAID = ("observation", "event", "outcome")
HEARD_MAX = 200_000
"""Messages that wait to be judged; beyond, the connection would drop them and say so."""


class Stage:
    """Everything that runs for one check."""

    def __init__(self, folder: Path, game: str, port: int) -> None:
        self.folder = folder.resolve()
        self.game = game
        known = read_connection(self.folder)
        passwords = new_passwords((game,), known.passwords if known else None)
        config = NatsConfig(port=port or None, sync_interval="1s", authorization=authorization((game,), passwords))
        self._nats = EmbeddedNats(self.folder / NATS, config)
        self.connection = Connection(self._nats.url, "", passwords)
        command = replace(self._nats.command(NATS), before_start=self._before_start, after_start=self._after_start)
        self._configure = self._nats.command(NATS).before_start
        self._supervisor = Supervisor([command], self.folder)
        self._is_fresh = False

    @property
    def address(self) -> str:
        """Where the game connects to, with its name and password."""
        return self.connection.url_of(game_user(self.game))

    def broker_log(self) -> str:
        """All that the broker said in this check."""
        log = self.folder / "logs" / f"{NATS}.log"
        return log.read_text(errors="replace") if log.exists() else ""

    async def __aenter__(self) -> Stage:
        await self._supervisor.start()
        path = self.folder / CONNECTION  # so that the address stays the same the next time
        path.touch(mode=0o600)
        path.write_bytes(msgspec.json.encode(self.connection))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._supervisor.stop()

    async def cut(self) -> None:
        """Ends the broker at once, and returns when it runs again with all its streams."""
        pid = self._supervisor.pid(NATS)
        assert pid, "a cut comes while the broker runs"
        os.kill(pid, signal.SIGKILL)
        await self._supervisor.wait_ready(NATS, other_than=pid)

    async def _before_start(self) -> None:
        """At the first start nothing is left of an earlier check: a game may count its ids from 1 each time."""
        if not self._is_fresh:
            shutil.rmtree(self.folder / NATS / "jetstream", ignore_errors=True)
            (self.folder / "logs" / f"{NATS}.log").unlink(missing_ok=True)
            self._is_fresh = True
        assert self._configure
        await self._configure()

    async def _after_start(self) -> None:
        await provision_at(self.connection.broker(PROVISION), Flow(partitions=1, games=(self.game,)))


class Player:
    """Feeds the machine with what the game says and carries out what it wants."""

    def __init__(self, stage: Stage, play: Play) -> None:
        self.play = play
        self.over = asyncio.Event()
        self._stage = stage
        self._nc: Nats
        self._publisher: Publisher
        self._alarm = Alarm(self._on_alarm)
        self._wanted: asyncio.Queue[Effect] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Player:
        broker = self._stage.connection.broker(PROVISION)
        self._nc = await connect(broker, "check-game", on_closed=_nothing)
        self._publisher = await Publisher(self._nc).start()
        await self._nc.subscribe(f"game.{self._stage.game}.>", cb=self._on_message, pending_msgs_limit=HEARD_MAX)
        await self._nc.flush()
        self._spawn(self._carry_out())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._alarm.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._publisher.stop(0)
        await close(self._nc)

    def tick(self) -> None:
        """Looks at the time."""
        self._want(self.play.ticked(time.monotonic()))

    async def _on_message(self, msg: Msg) -> None:
        if msg.subject.split(".")[2] in SAID:
            said = Said(msg.subject, msg.data, (msg.headers or {}).get(MSG_ID, ""))
            self._want(self.play.heard(said, time.monotonic()))

    def _on_alarm(self) -> None:
        self.tick()

    def _want(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            self._wanted.put_nowait(effect)
        self._alarm.set(self.play.wakes_s)
        if self.play.is_over:
            self.over.set()

    async def _carry_out(self) -> None:
        while True:
            effect = await self._wanted.get()
            if isinstance(effect, Say):
                await self._say(effect)
            elif isinstance(effect, Confirm):
                stored = OutcomesStored(game=self._stage.game, decisions=effect.decisions)
                await self._nc.publish(ids.stored_subject(self._stage.game), encode(stored))
            else:
                self._spawn(self._cut())

    async def _say(self, say: Say) -> None:
        """Through the ACTION stream, as the decision service does."""
        seen = say.asked.observation
        message_id = ids.message_id(seen.game, seen.npc, seen.id, say.part)
        subject = ids.chosen_subject(seen.game, seen.npc)
        with suppress(HearthmindError):
            stored = await self._publisher.send(subject, say.data, message_id, None, say.give_up_after_s)
            stored.add_done_callback(lambda done: self._on_stored(say, done))

    def _on_stored(self, say: Say, done: asyncio.Future[PubAck]) -> None:
        if not done.cancelled() and done.exception() is None and say.counts:
            self.play.answered(say.asked, time.monotonic())

    async def _cut(self) -> None:
        before = self._nc.stats["reconnects"]
        await self._stage.cut()
        while True:
            if self._nc.stats["reconnects"] > before and self._nc.is_connected:
                break
            await asyncio.sleep(LOOK_EVERY_S)
        await self._nc.flush()
        self._want(self.play.back(time.monotonic()))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        """An error ends the check; it is raised where the check waits."""
        if not task.cancelled() and task.exception():
            self.over.set()

    def raise_errors(self) -> None:
        """Where one of our own tasks has failed."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()


def _nothing() -> None:
    """The check ends with an error of its own."""
