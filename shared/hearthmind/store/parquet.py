"""Rows into a Parquet file: streamed through a file of JSON lines, so that it takes as much memory for a million as for one.

The law: the file is there whole, or not at all.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

MEMORY_MAX = "256MB"
THREADS = 1
"""It runs beside services that have more urgent things to do."""


async def write(path: Path, columns: Mapping[str, str], lines: AsyncIterator[str]) -> int:
    """Writes JSON objects, a line each, as a table with these columns and DuckDB's types; returns how many rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as name:
        said, made = Path(name) / "rows.jsonl", Path(name) / "rows.parquet"
        rows = 0
        with said.open("w") as file:
            async for line in lines:
                file.write(line + "\n")
                rows += 1
        await asyncio.to_thread(_convert, said, made, columns)
        made.replace(path)
    return rows


def _convert(said: Path, made: Path, columns: Mapping[str, str]) -> None:
    import duckdb

    with duckdb.connect(config={"threads": THREADS, "memory_limit": MEMORY_MAX}) as connection:
        types = ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())
        reading = (
            f"read_json('{said}', format = 'newline_delimited', columns = {{{types}}}, maximum_object_size = 67108864)"
        )
        connection.execute(f"COPY (SELECT * FROM {reading}) TO '{made}' (FORMAT parquet, COMPRESSION zstd)")  # noqa: S608
