"""The reward service around its real reading, planning and storing: what `services.reward.handlers` does, on the simulated
bus and the model of the database."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import msgspec

from hearthmind import flow
from hearthmind.bus.settle import Acknowledge, Dead, Retry, settle
from hearthmind.bus.wire import encode
from hearthmind.contracts.outcome import PLATFORM
from hearthmind.errors import Unavailable
from services.reward.handlers import BACKOFF_S
from services.reward.reading import Incoming, readable_of
from services.reward.settings import Reward
from services.reward.transaction import confirmations, store, sweep

from .broker import Broker
from .database import Database
from .laws import Experience, Record
from .plan import NoDatabase, Unsure
from .publishing import Publishing
from .streams import Delivered
from .tables import Transaction, as_connection
from .world import World

BATCH_WAIT_S = 0.1
EXTEND_EVERY_S = 10.0
TURN_S = 0.004
"""How long a statement or a commit takes."""

Settled = list[tuple[Delivered, BaseException | None]]
Statements = Coroutine[Any, Any, object]
Then = Callable[[BaseException | None], None]


class Commits:
    """The database as its users see it: sometimes it is away, and sometimes nobody is told that a commit was done."""

    def __init__(self, world: World, database: Database) -> None:
        self.database = database
        self._world = world
        self._number = 0
        self._away = [fault for fault in world.plan.faults if isinstance(fault, NoDatabase)]
        self._unsure = {fault.nth for fault in world.plan.faults if isinstance(fault, Unsure)}

    @property
    def is_away(self) -> bool:
        """Whether nobody can connect."""
        now_s = self._world.now_s
        return any(fault.at_s <= now_s < fault.at_s + fault.for_s for fault in self._away)

    def commit(self, transaction: Transaction) -> BaseException | None:
        """Commits, and says what the one who asked for it is told."""
        if self.is_away:
            transaction.end(is_kept=False)
            return Unavailable(what="Postgres", why="it is away")
        transaction.end(is_kept=True)
        if not transaction.written:
            return None
        database = self.database
        outcomes = [key[1] for table, key in transaction.written if table is database.outcomes]
        experiences = [self._experience(key) for table, key in transaction.written if table is database.experiences]
        records = [self._record(key) for table, key in transaction.written if table is database.decisions]
        self._world.laws.committed(outcomes, experiences, records)
        self._number += 1
        if self._number - 1 in self._unsure:
            self._world.story.add("postgres", "commits, and the connection breaks before it can say so")
            return Unavailable(what="Postgres", why="the connection broke")
        return None

    def _record(self, key: Any) -> Record:
        row = self.database.decisions.committed[key]
        answer = self.database.documents.committed[row.game, row.answer].body if row.answer else ""
        return Record(row.decision, row.attempt, answer)

    def _experience(self, key: Any) -> Experience:
        kept, outcome = self.database.experiences.committed[key], self.database.outcomes.committed[key].row
        arguments = msgspec.json.decode(kept.arguments)
        by = PLATFORM if outcome.executed_by == PLATFORM else outcome.executed_by
        return Experience(key[1], kept.action, arguments, by, kept.source)


class Rewarder(Publishing):
    """One process."""

    def __init__(self, world: World, broker: Broker, number: int, commits: Commits) -> None:
        super().__init__(world, broker, f"reward-{number}", 9000.0 + number)
        self._commits = commits
        self._settings = Reward(batch_max=world.plan.batch_max)
        self._came: list[Delivered]
        self._batch: list[Delivered]
        self._open: list[Transaction]

    def began(self) -> None:
        self._came, self._batch, self._open = [], [], []
        self.reconnected()
        self.after(self._settings.sweep_every_s, self._sweep)

    def ended(self) -> None:
        """Postgres notices that the connection is gone, and undoes what was not committed."""
        for transaction in self._open:
            transaction.end(is_kept=False)

    def reconnected(self) -> None:
        for consumer in flow.consumers_of("reward", 1, ()):
            if consumer.stream == "EXPERIENCE":
                self.send("pull", self.broker.pull, self, consumer.stream, consumer.name)

    # ---- batches ---------------------------------------------------------------------------------------------------

    def on_delivery(self, delivery: Delivered) -> None:
        """Messages wait for a while for others to share their transaction."""
        self._came.append(delivery)
        if len(self._came) == 1:
            self.after(BATCH_WAIT_S, self._begin)

    def _begin(self) -> None:
        if self._batch or not self._came:
            return
        self._batch = self._came[: self._settings.batch_max]
        del self._came[: len(self._batch)]
        self.after(EXTEND_EVERY_S, self._keep_alive, self._batch)
        self.work_on(self._batch)

    def work_on(self, batch: list[Delivered]) -> None:
        """Stores a batch, tells the game, and settles every message, in this order."""
        readable, settled = readable_of(batch)
        self._store(readable, partial(self._stored, settled))

    def _stored(self, settled: Settled, done: Settled, stored: list[Incoming]) -> None:
        self.confirm(stored)
        self.settle(settled + done)
        self._batch = []
        self._begin()

    def confirm(self, stored: Sequence[Incoming]) -> None:
        """Tells the games which outcomes are stored."""
        for message in confirmations(stored):
            self.send("stored", self.broker.tell_all, "stored", encode(message))

    def settle(self, settled: Settled) -> None:
        """Settles each message as its error says."""
        for delivery, error in settled:
            settlement = settle(error, delivery.attempt)
            if isinstance(settlement, Retry):
                self.retry(delivery, settlement.after_s)
                continue
            if isinstance(settlement, Dead):
                self.tell("buries {} {}: {}", delivery.subject, delivery.sequence, settlement.reason)
            assert isinstance(settlement, Acknowledge | Dead)
            self.acknowledge(delivery)

    def _keep_alive(self, batch: list[Delivered]) -> None:
        if batch is self._batch:
            for delivery in batch:
                self.extend(delivery)
            self.after(EXTEND_EVERY_S, self._keep_alive, batch)

    # ---- storing ---------------------------------------------------------------------------------------------------

    def _store(
        self, batch: Sequence[Incoming], then: Callable[[Settled, list[Incoming]], None], pause_s: float = 0.0
    ) -> None:
        """Stores a batch; where that fails, its halves, down to the one message that is the reason."""
        if not batch:
            then([], [])
            return

        def ended(error: BaseException | None) -> None:
            if error is None:
                self.tell("has committed {}", ", ".join(each.message_id.partition("/")[2] for each in batch))
                then([(_delivery(each), None) for each in batch], list(batch))
            elif isinstance(error, Unavailable):
                longer_s = min(max(2 * pause_s, BACKOFF_S[0]), BACKOFF_S[1])
                self.after(longer_s, self._store, batch, then, longer_s)
            elif len(batch) == 1:
                then([(_delivery(batch[0]), error)], [])
            else:
                self._store_halves(batch, then)

        self._transact(lambda transaction: self.statements(transaction, batch), ended)

    def _store_halves(self, batch: Sequence[Incoming], then: Callable[[Settled, list[Incoming]], None]) -> None:
        middle = len(batch) // 2

        def first_done(first: Settled, stored: list[Incoming]) -> None:
            self._store(batch[middle:], lambda second, more: then(first + second, stored + more))

        self._store(batch[:middle], first_done)

    def statements(self, transaction: Transaction, batch: Sequence[Incoming]) -> Statements:
        """What is done in the transaction of a batch."""
        return store(as_connection(transaction), batch, self._commits.database)

    def _sweep(self) -> None:
        """Looks for outcomes that were left behind; where there is none, nothing would happen."""
        database = self._commits.database
        if any(not kept.is_settled for kept in database.outcomes.committed.values()) and not self._commits.is_away:
            self._transact(
                lambda transaction: sweep(as_connection(transaction), self._settings, database), lambda _: None
            )
        self.after(self._settings.sweep_every_s, self._sweep)

    # ---- transactions ----------------------------------------------------------------------------------------------

    def _transact(self, work: Callable[[Transaction], Statements], then: Then) -> None:
        if self._commits.is_away:
            self.after(TURN_S, then, Unavailable(what="Postgres", why="it is away"))
            return
        transaction = Transaction()
        self._open.append(transaction)
        self._go_on(transaction, work(transaction), then)

    def _go_on(self, transaction: Transaction, statements: Statements, then: Then) -> None:
        if not transaction.is_open:  # its process was killed while it waited
            return
        try:
            waits_for = statements.send(None)
        except StopIteration:
            self.after(TURN_S, self._commit, transaction, then)
        except Exception as error:
            self._open.remove(transaction)
            transaction.end(is_kept=False)
            self.after(TURN_S, then, error)
        else:
            if waits_for is None:
                self.after(TURN_S, self._go_on, transaction, statements, then)
            else:
                waits_for.then.append(partial(self.after, 0.0, self._go_on, transaction, statements, then))

    def _commit(self, transaction: Transaction, then: Then) -> None:
        self._open.remove(transaction)
        then(self._commits.commit(transaction))


def _delivery(incoming: Incoming) -> Delivered:
    assert isinstance(incoming.arrived, Delivered)
    return incoming.arrived
