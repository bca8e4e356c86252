"""Experiences whole: with their states, prompts and answers, as a line of JSON each, for files and for training."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import date
from pathlib import Path

from sqlalchemy import Boolean, Date, DateTime, Double, Integer, LargeBinary, text
from sqlalchemy.dialects.postgresql import JSONB

from hearthmind.store import parquet
from hearthmind.store.engine import Connection
from hearthmind.store.tables import experiences

_DOCUMENTS = tuple(column.name for column in experiences.columns if isinstance(column.type, LargeBinary))

WHOLE = f"""
SELECT (
    to_jsonb(e) - 'features' - 'prompt'
    || jsonb_build_object({", ".join(f"'{name}', {name}_document.body" for name in _DOCUMENTS)})
    || jsonb_build_object('prompt', (
        SELECT jsonb_agg(jsonb_build_object('role', turn.said ->> 0, 'text', (
            SELECT document.body FROM documents AS document
            WHERE document.game = e.game AND document.key = decode(turn.said ->> 1, 'hex')
        )) ORDER BY turn.number)
        FROM jsonb_array_elements(e.prompt) WITH ORDINALITY AS turn (said, number)
    ))
)::text
FROM {{table}} AS e
{
    "".join(
        f"LEFT JOIN documents AS {name}_document ON {name}_document.game = e.game AND {name}_document.key = e.{name} "
        for name in _DOCUMENTS
    )
}
"""  # noqa: S608
"""What is selected of a table of experiences, `e`; a state that is gone is null. Each turn's text is looked up by itself: where
they are joined, Postgres reads all documents for each prompt."""

_KINDS = {DateTime: "TIMESTAMPTZ", Double: "DOUBLE", Integer: "BIGINT", Boolean: "BOOLEAN", Date: "DATE"}


def columns() -> Mapping[str, str]:
    """The columns of a file of them: JSON stays text, so that a column has one type whatever games say."""
    return {
        column.name: next((kind for of, kind in _KINDS.items() if isinstance(column.type, of)), "VARCHAR")
        for column in experiences.columns
        if column.name != "features"
    }


def is_json(name: str) -> bool:
    """Whether a column's text is JSON."""
    return isinstance(experiences.c[name].type, JSONB)


async def lines(
    connection: Connection, table: str = "experiences", where: str = "true", **given: object
) -> AsyncIterator[str]:
    """Experiences in the order in which they happened, one after the other, whatever their number."""
    statement = text(f"{WHOLE.format(table=table)} WHERE {where} ORDER BY e.happened_at")
    async with connection.stream(statement, given) as found:
        async for line in found.scalars():
            yield line


async def archive(connection: Connection, table: str, day: date, folder: Path) -> int:
    """Writes what was a day's partition to `experiences-<day>.parquet`; returns how many experiences."""
    return await parquet.write(folder / f"experiences-{day}.parquet", columns(), lines(connection, table))
