"""A few rows at once: as one array per column, in the statement that merges them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ARRAY, FromClause, Table, Text, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import JSONB, Insert, insert


def given(table: Table, names: Sequence[str]) -> FromClause:
    """The rows given as one array per column; JSON as text."""
    kinds = [Text() if isinstance(table.c[name].type, JSONB) else table.c[name].type for name in names]
    arrays = [bindparam(f"given_{name}", type_=ARRAY(kind)) for name, kind in zip(names, kinds, strict=True)]
    return func.unnest(*arrays).table_valued(*names).render_derived(name="given")


def insert_given(table: Table, names: Sequence[str]) -> Insert:
    """Inserts them."""
    rows = given(table, names)
    values = [cast(rows.c[name], JSONB) if isinstance(table.c[name].type, JSONB) else rows.c[name] for name in names]
    return insert(table).from_select(list(names), select(*values))


def columns_of(rows: Iterable[tuple[Any, ...]], names: Sequence[str]) -> dict[str, list[Any]]:
    """The arrays."""
    return {f"given_{name}": list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
