"""The model of the database is exact: the same random batches through it and through a real Postgres come to the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from hearthmind import ids
from hearthmind.bus.settle import Attempt
from hearthmind.bus.wire import encode
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.observation import Heard, Observation
from hearthmind.contracts.outcome import CLIENT, PLATFORM, Executed, OutcomeObserved
from hearthmind.embedded.postgres import EmbeddedPostgres
from hearthmind.store import ingest
from hearthmind.store.engine import Connection, Engine, create_engine
from hearthmind.store.migrate import upgrade
from hearthmind.store.rows import OutcomeRow, RewardRow
from hearthmind.testing.observations import an_observation
from services.reward.reading import Incoming, read
from services.reward.transaction import reward_parked, store

from ..service.test_store import database as new_database
from .database import Database
from .tables import Transaction, Violation, as_connection, finish

STARTED = datetime(2031, 1, 1, tzinfo=UTC)


@dataclass
class Delivery:
    subject: str
    data: bytes
    sequence: int
    stored_s: float
    stream: str = "EXPERIENCE"
    headers: dict[str, str] = field(default_factory=dict)
    attempt: Attempt = field(default_factory=lambda: Attempt(1, 10))


class Game:
    """Says anything, in any order: halves, repetitions, contradictions, and ids that belong to somebody else."""

    def __init__(self, seed: int) -> None:
        self._dice = Random(seed)
        self._said: list[tuple[str, bytes]] = []
        self._sequence = 0

    def batch(self) -> list[Incoming]:
        return [self._message() for _ in range(self._dice.randint(1, 6))]

    def _message(self) -> Incoming:
        dice = self._dice
        if not self._said or dice.random() < 0.7:
            self._said.append(self._fresh())
        subject, data = dice.choice(self._said)
        self._sequence += 1
        stored_s = (STARTED + timedelta(milliseconds=self._sequence)).timestamp()
        incoming = read(Delivery(subject, data, self._sequence, stored_s))
        assert isinstance(incoming, Incoming)
        return incoming

    def _fresh(self) -> tuple[str, bytes]:
        dice = self._dice
        decision, npc = f"d{dice.randrange(6)}", dice.choice(("ada", "ada", "ben"))
        kind = dice.choice(("combat", "economic"))
        seen = an_observation(id=decision, npc=npc, kind=kind, texts=(Heard(speaker="eve", text="hello"),))
        about: dict[str, Any] = {"decision": decision, "game": "realm", "npc": npc, "kind": kind}
        which = dice.choice(("action", "detail", "outcome", "outcome"))
        if which == "action":
            chosen = ActionChosen(**about, snapshot=1, action="wait", source=dice.choice(("rules", "model")))
            return ids.chosen_subject("realm", npc), encode(chosen)
        if which == "detail":
            return ids.decision_subject("realm", npc), encode(self._detail(about, seen))
        by = dice.choice((PLATFORM, CLIENT))
        outcome = OutcomeObserved(
            **about,
            executed=Executed(action="wait", by=by),
            success=dice.random() < 0.5,
            facts={"victory": dice.random() < 0.5, "rank": dice.randrange(3)},
            observation=seen if by == CLIENT else None,
        )
        return ids.outcome_subject("realm", npc), encode(outcome)

    def _detail(self, about: dict[str, Any], seen: Observation) -> DecisionMade:
        attempt = self._dice.randint(1, 3)
        fields: dict[str, Any] = {"attempt": attempt, "epoch": 7, "partition": 0, "tier": "social", "source": "rules"}
        return DecisionMade(**about, **fields, observation=seen, answer="words")


class Both(NamedTuple):
    """One transaction, in both."""

    real: Connection
    model: Transaction


class Side:
    """The real database and its model, side by side."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.model = Database(lambda: 0.0)

    async def begin(self, stack: AsyncExitStack) -> Both:
        return Both(await stack.enter_async_context(self._engine.connect()), Transaction())

    async def store(self, both: Both, batch: list[Incoming]) -> bool:
        """Whether it could be stored without waiting for another transaction; where not, it is not tried for real."""
        expected = finish(store(as_connection(both.model), batch, self.model))
        if expected is None:
            return False
        assert by_key(await store(both.real, batch)) == by_key(expected)
        return True

    async def sweep(self, both: Both) -> None:
        expected = finish(reward_parked(as_connection(both.model), 3600, 100, self.model))
        assert await reward_parked(both.real, 3600, 100) == expected

    async def end(self, both: Both, *, is_kept: bool) -> None:
        both.model.end(is_kept=is_kept)
        await (both.real.commit() if is_kept else both.real.rollback())

    async def compare(self) -> None:
        async with self._engine.connect() as connection:
            for table, columns, expected in self._tables():
                rows = (await connection.execute(text(f"SELECT {columns} FROM {table}"))).all()
                assert sorted(map(tuple, rows), key=repr) == sorted(expected, key=repr), table

    def _tables(self) -> list[tuple[str, str, list[tuple[Any, ...]]]]:
        model = self.model
        experience = "game, happened_at, decision, npc, kind, episode, action, arguments, source, success, reward"
        decision = "game, decision, npc, kind, action, source, attempt, tier, epoch, answer, observation IS NOT NULL"
        npc = "game, npc, decisions, experiences, round(reward_sum::numeric, 6)::float, rank"
        return [
            ("inbox", "game, message_id", list(model.inbox.committed)),
            ("games", "game", [(game,) for game in model.games.committed]),
            (
                "decisions",
                decision,
                [
                    (
                        *row[:4],
                        row.action,
                        row.source,
                        row.attempt,
                        row.tier,
                        row.epoch,
                        row.answer,
                        row.observation is not None,
                    )
                    for row in model.decisions.committed.values()
                ],
            ),
            (
                "outcomes",
                "game, happened_at, decision, npc, success, digest, sequence, settled_at IS NOT NULL",
                [
                    (*key, row.npc, row.success, row.digest, row.sequence, is_settled)
                    for key, (row, _, is_settled) in model.outcomes.committed.items()
                ],
            ),
            (
                "experiences",
                experience,
                [
                    (*key, *row[:4], msgspec.json.decode(row.arguments), row.source, row.success, row.reward)
                    for key, row in model.experiences.committed.items()
                ],
            ),
            (
                "npcs",
                npc,
                [(*row[:4], round(row.reward_sum, 6), row.rank) for row in model.npcs.committed.values()],
            ),
            (
                "dead_letters",
                "game, stream, sequence, reason, body",
                [
                    (row.game, row.stream, row.sequence, row.reason, row.body)
                    for row in model.letters.committed.values()
                ],
            ),
            (
                "texts",
                "game, decision, number, npc, speaker, text",
                [tuple(row) for row in model.texts.committed.values()],
            ),
        ]


def by_key(rewards: list[RewardRow]) -> list[tuple[Any, ...]]:
    return sorted((row.game, row.happened_at, row.decision, row.reward) for row in rewards)


@pytest.fixture
async def side(database: EmbeddedPostgres) -> AsyncIterator[Side]:
    url = new_database(database.dsn, "model")
    upgrade(url)
    engine = create_engine(url)
    yield Side(engine)
    await engine.dispose()


@pytest.mark.parametrize("seed", range(6))
async def test_the_model_is_exact(side: Side, seed: int) -> None:
    """Transactions come one by one or two at a time, and end in any order, in a commit or without."""
    game, dice = Game(seed), Random(seed)
    for _ in range(25):
        async with AsyncExitStack() as stack:
            open_ones = [await side.begin(stack) for _ in range(dice.choice((1, 2)))]
            for both in open_ones:
                if dice.random() < 0.2:
                    await side.sweep(both)
                elif not await side.store(both, game.batch()):
                    both.model.end(is_kept=False)
            dice.shuffle(open_ones)
            for both in open_ones:
                await side.end(both, is_kept=both.model.is_open and dice.random() < 0.8)
        await side.compare()
    assert side.model.experiences.committed
    assert side.model.letters.committed


async def test_a_row_that_is_there_is_a_violation_for_both(side: Side) -> None:
    """Without the inbox a message that is delivered again would stop its batch: its key holds the broker's time."""
    game = Game(1)
    row = next(each.row for _ in range(20) for each in game.batch() if isinstance(each.row, OutcomeRow))
    async with AsyncExitStack() as stack:
        both = await side.begin(stack)
        await ingest.add_outcomes(both.real, [row])
        finish(side.model.add_outcomes(as_connection(both.model), [row]))
        with pytest.raises(IntegrityError):
            await ingest.add_outcomes(both.real, [row])
        with pytest.raises(Violation):
            finish(side.model.add_outcomes(as_connection(both.model), [row]))
