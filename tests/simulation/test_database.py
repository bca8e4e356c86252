"""The model of the database is exact: the same random batches through it and through a real Postgres come to the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

import pytest
from psycopg.errors import UniqueViolation
from sqlalchemy import text

from hearthmind import ids
from hearthmind.bus.settle import Attempt
from hearthmind.bus.wire import encode
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.inference import Turn
from hearthmind.contracts.observation import Heard, Observation
from hearthmind.contracts.outcome import CLIENT, PLATFORM, Executed, OutcomeObserved, ReplyRated
from hearthmind.contracts.policy import PolicyViolated
from hearthmind.embedded.postgres import EmbeddedPostgres
from hearthmind.store import ingest
from hearthmind.store.engine import Connection, Engine, create_engine
from hearthmind.store.migrate import upgrade
from hearthmind.store.rows import (
    DayTally,
    DocumentRow,
    LinkRow,
    OutcomeRow,
    PersonaTally,
    RatingRow,
    RewardRow,
    Tally,
    TextRow,
    VariantTally,
)
from hearthmind.store.staging import MANY
from hearthmind.testing.observations import an_observation
from services.reward.reading import Incoming, read
from services.reward.settings import Reward
from services.reward.transaction import store, sweep

from ..service.test_store import database as new_database
from .database import Database, ExperienceKept
from .tables import Table, Transaction, Violation, as_connection, finish

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
        batch = [self._message() for _ in range(self._dice.randint(1, 6))]
        if self._dice.random() < 0.5:
            batch += self.whole(f"d{self._dice.randrange(6, 30)}")
        return batch

    def whole(self, decision: str) -> list[Incoming]:
        """All of a decision at once, in any order."""
        said = [self._fresh(which, decision, "ada") for which in ("action", "detail", "outcome")]
        self._said += said
        return [self._delivered(*one) for one in self._dice.sample(said, 3)]

    def _message(self) -> Incoming:
        dice = self._dice
        if not self._said or dice.random() < 0.7:
            self._said.append(self._any())
        return self._delivered(*dice.choice(self._said))

    def _delivered(self, subject: str, data: bytes) -> Incoming:
        self._sequence += 1
        stored_s = (STARTED + timedelta(milliseconds=self._sequence)).timestamp()
        incoming = read(Delivery(subject, data, self._sequence, stored_s))
        assert isinstance(incoming, Incoming)
        return incoming

    def _any(self) -> tuple[str, bytes]:
        dice = self._dice
        decision, npc = f"d{dice.randrange(6)}", dice.choice(("ada", "ada", "ben"))
        which = dice.choice(("action", "detail", "outcome", "outcome", "rating", "violation"))
        return self._fresh(which, decision, npc)

    def _fresh(self, which: str, decision: str, npc: str) -> tuple[str, bytes]:
        dice = self._dice
        kind = dice.choice(("combat", "economic"))
        seen = an_observation(id=decision, npc=npc, kind=kind, texts=(Heard(speaker="eve", text="hello"),))
        about: dict[str, Any] = {"decision": decision, "game": "realm", "npc": npc, "kind": kind}
        if which == "action":
            persona = dice.choice(("", "miser@1"))
            stages = {"bus": 1.0, "decide": dice.random()}
            source = dice.choice(("rules", "model"))
            chosen = ActionChosen(**about, snapshot=1, action="wait", source=source, persona=persona, stages_ms=stages)
            return ids.chosen_subject("realm", npc), encode(chosen)
        if which == "detail":
            return ids.decision_subject("realm", npc), encode(self._detail(about, seen))
        if which == "rating":
            del about["kind"]
            rated = ReplyRated(**about, rater=dice.choice(("ann", "bob")), score=dice.choice((-1.0, 0.5)))
            return ids.rating_subject("realm", npc), encode(rated)
        if which == "violation":
            forbidden = PolicyViolated(**about, rule=dice.choice(("spam", "harm")), why="no", action="raid")
            return ids.violation_subject("realm", npc), encode(forbidden)
        by = dice.choice((PLATFORM, CLIENT))
        outcome = OutcomeObserved(
            **about,
            executed=Executed(action="wait", by=by),
            success=dice.random() < 0.5,
            facts={"victory": dice.random() < 0.5, "rank": dice.randrange(3), "predicted": "a", "result": "a"},
            opponent=dice.choice((None, "eve")),
            related=("d0", "d1")[: dice.randrange(3)],
            observation=seen if by == CLIENT else None,
        )
        return ids.outcome_subject("realm", npc), encode(outcome)

    def _detail(self, about: dict[str, Any], seen: Observation) -> DecisionMade:
        dice = self._dice
        fields: dict[str, Any] = {"epoch": 7, "partition": 0, "tier": "social", "source": "rules"}
        trial: dict[str, Any] = {"experiment": "e", "variant": dice.choice("ab")} if dice.random() < 0.5 else {}
        prompt = (Turn("system", "who you are"), Turn("user", dice.choice(("what now", "and now"))))
        return DecisionMade(
            **about,
            **fields,
            **trial,
            attempt=dice.randint(1, 3),
            observation=seen,
            answer="words",
            prompt=prompt,
            related=("d0",),
            tokens_in=dice.randrange(9),
            cost_usd=0.25,
        )


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
        expected = finish(sweep(as_connection(both.model), Reward(), self.model))
        assert expected is not None
        assert by_key(await sweep(both.real, Reward())) == by_key(expected)

    async def end(self, both: Both, *, is_kept: bool) -> None:
        both.model.end(is_kept=is_kept)
        await (both.real.commit() if is_kept else both.real.rollback())

    async def compare(self) -> None:
        async with self._engine.connect() as connection:
            for table, columns, expected in self._tables():
                rows = (await connection.execute(text(f"SELECT {columns} FROM {table}"))).all()
                assert sorted(map(comparable, rows)) == sorted(map(comparable, expected)), table

    def _tables(self) -> list[tuple[str, str, list[tuple[Any, ...]]]]:
        """Each table, some of its columns, and what the model has in them."""
        model = self.model
        decision = (
            *("game", "decision", "npc", "kind", "action", "source", "attempt", "tier", "epoch", "state", "answer"),
            *("persona", "variant", "experiment", "tokens_in"),
        )
        outcome = ("game", "decision", "happened_at", "npc", "success", "opponent", "state_after", "digest", "sequence")
        lived = tuple(name for name in ExperienceKept._fields if name not in {"arguments", "reward_parts"})
        return [
            ("inbox", "game, message_id", list(model.inbox.committed)),
            ("games", "game", [(game,) for game in model.games.committed]),
            ("documents", ", ".join(DocumentRow._fields), _tuples(model.documents)),
            ("decisions", ", ".join(decision), _parts(model.decisions, decision)),
            (
                "outcomes",
                f"{', '.join(outcome)}, settled_at IS NOT NULL",
                [
                    (*(getattr(kept.row, name) for name in outcome), kept.is_settled)
                    for kept in model.outcomes.committed.values()
                ],
            ),
            (
                "experiences",
                f"game, decision, happened_at, {', '.join(lived)}",
                [(*key, *(getattr(row, name) for name in lived)) for key, row in model.experiences.committed.items()],
            ),
            ("texts", ", ".join(TextRow._fields), _tuples(model.texts)),
            ("links", ", ".join(LinkRow._fields), _tuples(model.links)),
            ("ratings", ", ".join(RatingRow._fields), _tuples(model.ratings)),
            ("violations", "game, decision, rule", _parts(model.violations, ("game", "decision", "rule"))),
            (
                "dead_letters",
                "game, stream, sequence, reason, body",
                _parts(model.letters, ("game", "stream", "sequence", "reason", "body")),
            ),
            ("npcs", ", ".join(Tally._fields), _tuples(model.npcs)),
            ("personas", ", ".join(PersonaTally._fields), _counters(model.personas)),
            ("variants", ", ".join(VariantTally._fields), _counters(model.variants)),
            ("training_metrics", ", ".join(DayTally._fields), _counters(model.days)),
        ]


def _tuples(table: Table[Any, Any]) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in table.committed.values()]


def _parts(table: Table[Any, Any], names: Sequence[str]) -> list[tuple[Any, ...]]:
    return [tuple(getattr(row, name) for name in names) for row in table.committed.values()]


def _counters(table: Table[Any, Any]) -> list[tuple[Any, ...]]:
    return [(*key, *row) for key, row in table.committed.items()]


def comparable(row: Sequence[Any]) -> str:
    """Sums of floats depend on their order by a little."""
    return repr(tuple(round(float(each), 6) + 0.0 if isinstance(each, float | int) else each for each in row))


def by_key(rewards: list[RewardRow]) -> list[tuple[Any, ...]]:
    return sorted((row.game, row.decision, row.happened_at, row.reward) for row in rewards)


@pytest.fixture
async def engine(database: EmbeddedPostgres) -> AsyncIterator[Engine]:
    url = new_database(database.dsn, "model")
    upgrade(url)
    engine = create_engine(url)
    yield engine
    await engine.dispose()


@pytest.fixture
def side(engine: Engine) -> Side:
    return Side(engine)


@pytest.mark.parametrize("many", [1, MANY])
@pytest.mark.parametrize("seed", range(4))
async def test_the_model_is_exact(side: Side, monkeypatch: pytest.MonkeyPatch, seed: int, many: int) -> None:
    """Transactions come one by one or two at a time, and end in any order, in a commit or without; rows go straight into
    their tables, or are merged as few are.
    """
    monkeypatch.setattr(ingest, "MANY", many)
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


async def test_what_came_at_once_is_written_as_if_it_were_read_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each column of it."""
    game = Game(3)
    batch = [one for number in range(6, 18) for one in game.whole(f"d{number}")]
    found = []
    for many in (1, MANY):
        monkeypatch.setattr(ingest, "MANY", many)
        async with engine.connect() as connection:
            await store(connection, batch)
            rows = await connection.scalars(text("SELECT to_jsonb(e) FROM experiences e ORDER BY decision"))
            found.append(list(rows))
            settled = await connection.scalar(text("SELECT count(*) FROM outcomes WHERE settled_at IS NOT NULL"))
    assert found[0] == found[1]
    assert len(found[0]) == settled == 12


async def test_a_row_that_is_there_is_a_violation_for_both(side: Side) -> None:
    """Without the inbox a message that is delivered again would stop its batch: its key holds the broker's time."""
    game = Game(1)
    row = next(each.row for _ in range(20) for each in game.batch() if isinstance(each.row, OutcomeRow))
    async with AsyncExitStack() as stack:
        both = await side.begin(stack)
        await ingest.add_outcomes(both.real, [row])
        finish(side.model.add_outcomes(as_connection(both.model), [row]))
        with pytest.raises(UniqueViolation):
            await ingest.add_outcomes(both.real, [row])
        with pytest.raises(Violation):
            finish(side.model.add_outcomes(as_connection(both.model), [row]))
