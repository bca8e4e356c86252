"""How NPCs, personas, variants and days fare, from counters that grew when it happened: as fast with ten million experiences."""

from __future__ import annotations

from datetime import date
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Select, Table, select

from hearthmind.store.engine import Connection
from hearthmind.store.tables import npcs, personas, training_metrics, variants

S = TypeVar("S", bound="Summary")


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What all of them have."""

    experiences: int
    successes: int
    reward_sum: float

    @property
    def reward_mean(self) -> float | None:
        """The average reward; None where there is none yet."""
        return self.reward_sum / self.experiences if self.experiences else None

    @property
    def success_rate(self) -> float | None:
        """The share that came off."""
        return self.successes / self.experiences if self.experiences else None


class NpcSummary(Summary, frozen=True, kw_only=True):
    """One NPC."""

    npc: str
    decisions: int
    won: int
    lost: int
    rank: int | None
    villages: int | None
    population: int | None


class PersonaSummary(Summary, frozen=True, kw_only=True):
    """One persona, whoever plays it."""

    persona: str
    reward_squares: float


class VariantSummary(Summary, frozen=True, kw_only=True):
    """One variant of an experiment."""

    experiment: str
    variant: str
    reward_squares: float
    tokens_in: int
    tokens_out: int
    cost_usd: float
    latency_ms: float


class DaySummary(Summary, frozen=True, kw_only=True):
    """One day, by the broker's clock; the last seven are what learning tells of itself."""

    day: date
    decisions: int
    predicted: int
    foreseen: int
    undetailed: int
    unknown: int
    tokens_in: int
    tokens_out: int
    cost_usd: float
    prompts_optimised: int | None
    prompt_gain: float | None
    generation: int | None
    fitness_mean: float | None
    fitness_best: float | None
    tests_active: int | None
    tests_completed: int | None

    @property
    def accuracy(self) -> float | None:
        """The share of predictions that came true."""
        return self.foreseen / self.predicted if self.predicted else None


async def npc(connection: Connection, game: str, name: str) -> NpcSummary | None:
    """One NPC; None where nothing is known of it."""
    found = await _read(connection, NpcSummary, _of(npcs, game, NpcSummary).where(npcs.c.npc == name))
    return found[0] if found else None


async def npcs_of(connection: Connection, game: str, most: int = 100) -> list[NpcSummary]:
    """NPCs of a game, the busiest first."""
    ordered = _of(npcs, game, NpcSummary).order_by(npcs.c.experiences.desc(), npcs.c.npc).limit(most)
    return await _read(connection, NpcSummary, ordered)


async def personas_of(connection: Connection, game: str) -> list[PersonaSummary]:
    """The personas of a game."""
    return await _read(connection, PersonaSummary, _of(personas, game, PersonaSummary).order_by(personas.c.persona))


async def variants_of(connection: Connection, game: str, experiment: str | None = None) -> list[VariantSummary]:
    """The variants of a game's experiment, or of all."""
    ordered = _of(variants, game, VariantSummary).order_by(variants.c.experiment, variants.c.variant)
    if experiment is not None:
        ordered = ordered.where(variants.c.experiment == experiment)
    return await _read(connection, VariantSummary, ordered)


async def days_of(connection: Connection, game: str, most: int = 30) -> list[DaySummary]:
    """The newest days of a game, the oldest of them first."""
    newest = _of(training_metrics, game, DaySummary).order_by(training_metrics.c.day.desc()).limit(most)
    return (await _read(connection, DaySummary, newest))[::-1]


def _of(table: Table, game: str, kind: type[Summary]) -> Select[Any]:
    return select(*(table.c[name] for name in kind.__struct_fields__)).where(table.c.game == game)


async def _read(connection: Connection, kind: type[S], rows: Select[Any]) -> list[S]:
    return [kind(**row._mapping) for row in await connection.execute(rows)]
