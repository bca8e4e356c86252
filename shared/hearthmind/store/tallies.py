"""Counters that grow in the transaction that made them grow, so that summaries are as fast with ten million experiences.

They come last in a transaction, since they are where processes meet.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Table, func

from hearthmind.store.arrays import columns_of, insert_given
from hearthmind.store.engine import Connection
from hearthmind.store.rows import DayTally, PersonaTally, Tally, VariantTally
from hearthmind.store.tables import npcs, personas, training_metrics, variants

_LAST = {"rank", "villages", "population"}
"""Not sums: the last fact of that name."""


def _grow(table: Table, fields: tuple[str, ...]) -> Any:
    growing = insert_given(table, fields)
    known, new = table.c, growing.excluded
    keys = {column.name for column in table.primary_key}
    values = {
        name: func.coalesce(new[name], known[name]) if name in _LAST else known[name] + new[name]
        for name in fields
        if name not in keys
    }
    return growing.on_conflict_do_update(index_elements=list(table.primary_key), set_=values)


_NPCS = _grow(npcs, Tally._fields)
_PERSONAS = _grow(personas, PersonaTally._fields)
_VARIANTS = _grow(variants, VariantTally._fields)
_DAYS = _grow(training_metrics, DayTally._fields)


async def add_tallies(connection: Connection, tallies: Iterable[Tally]) -> None:
    """Lets the counters of NPCs grow."""
    wanted = sorted(tallies, key=lambda tally: tally[:2])
    if wanted:
        await connection.execute(_NPCS, columns_of(wanted, Tally._fields))


async def add_personas(connection: Connection, tallies: Iterable[PersonaTally]) -> None:
    """Lets those of personas grow."""
    wanted = sorted(tallies)
    if wanted:
        await connection.execute(_PERSONAS, columns_of(wanted, PersonaTally._fields))


async def add_variants(connection: Connection, tallies: Iterable[VariantTally]) -> None:
    """Lets those of variants on trial grow."""
    wanted = sorted(tallies)
    if wanted:
        await connection.execute(_VARIANTS, columns_of(wanted, VariantTally._fields))


async def add_days(connection: Connection, tallies: Iterable[DayTally]) -> None:
    """Lets those of days grow."""
    wanted = sorted(tallies)
    if wanted:
        await connection.execute(_DAYS, columns_of(wanted, DayTally._fields))
