"""Experiences from files and into files: demonstrations in, a record for training out.

The law of both: all or nothing of what was asked for. A file with a mistake imports nothing, unless mistakes are to be
skipped; what was imported before is not imported again; a file that is written is there whole or not at all.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence, Set
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from rich.console import Console
from rich.progress import Progress

from hearthmind.errors import Refused
from hearthmind.store import experiences, parquet
from hearthmind.store.engine import Connection, Engine, transaction
from hearthmind.store.experiences import Wanted
from hearthmind.store.records import columns
from services.reward.demonstrations import BadDemonstration, Recorded, decision_of, incoming_of
from services.reward.reading import Incoming
from services.reward.registry import Registry
from services.reward.transaction import store

BATCH = 500
MISTAKES_SHOWN = 20
ORDER_S = 1e-6
"""Lines happen one after the other, by so much."""

_DOCUMENTS = ("state", "legal_actions", "state_after")
"""Texts that are JSON."""


class BadFile(Refused):
    """{file} has {count} lines that can't be imported, and nothing of it was. Mend them, or import the rest with --skip-bad.
    {mistakes}
    """


class UnknownFormat(Refused):
    """Nobody knows how to write {file}: name it .jsonl or .parquet."""


class CantRead(Refused):
    """{file} can't be read: {why}."""


class Imported(msgspec.Struct):
    """What became of a file's lines."""

    imported: int = 0
    known: int = 0
    bad: int = 0


async def import_file(
    engine: Engine, file: Path, game: str, registry: Registry, console: Console, *, skip_bad: bool
) -> Imported:
    """Imports a file of demonstrations, in batches: what was imported before an interruption is passed over."""
    began_s = time.time()
    done = Imported()
    size = _size_of(file)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("reading", total=size)
        mistakes: list[BadDemonstration] = []
        for read, mistake in _lines(file, game, began_s):
            progress.advance(task, read.size)
            if mistake is not None:
                done.bad += 1
                mistakes = [*mistakes, mistake][:MISTAKES_SHOWN]
        if mistakes and not skip_bad:
            raise BadFile(file=file, count=done.bad, mistakes="".join(f"\n  {mistake}" for mistake in mistakes))
        task = progress.add_task("importing", total=size)
        for batch, size in _batches(_lines(file, game, began_s)):
            async with transaction(engine) as connection:
                await _store(connection, batch, game, registry, done)
            progress.advance(task, size)
    for mistake in mistakes:
        console.print(f"passed over: {mistake}", markup=False, highlight=False)
    return done


class _Line(msgspec.Struct):
    size: int
    incoming: list[Incoming]


def _size_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        raise CantRead(file=file, why=error.strerror) from error


def _lines(file: Path, game: str, began_s: float) -> Iterator[tuple[_Line, BadDemonstration | None]]:
    with file.open("rb") as opened:
        for number, line in enumerate(opened, 1):
            if not line.strip():
                continue
            try:
                yield _Line(len(line), incoming_of(line, number, game, began_s + number * ORDER_S)), None
            except BadDemonstration as mistake:
                yield _Line(len(line), []), mistake


def _batches(read: Iterable[tuple[_Line, BadDemonstration | None]]) -> Iterator[tuple[list[list[Incoming]], int]]:
    batch: list[list[Incoming]] = []
    size = 0
    for line, mistake in read:
        size += line.size
        if mistake is None:
            batch.append(line.incoming)
        if len(batch) >= BATCH:
            yield batch, size
            batch, size = [], 0
    if batch:
        yield batch, size


async def _store(
    connection: Connection, batch: Sequence[list[Incoming]], game: str, registry: Registry, done: Imported
) -> None:
    by_decision = {decision_of(incoming): incoming for incoming in batch}
    there = await experiences.known(connection, game, by_decision)
    new = [each for decision, incoming in by_decision.items() if decision not in there for each in incoming]
    stored = await store(connection, new, registry=Recorded(registry)) if new else []
    done.imported += len(stored)
    done.known += len(batch) - len(stored)


# ---- out ---------------------------------------------------------------------------------------------------------------


async def export_file(engine: Engine, file: Path, wanted: Wanted, without: Set[str], console: Console) -> int:
    """Writes experiences to a file of JSON lines or a Parquet file; returns how many."""
    if file.suffix not in {".jsonl", ".parquet"}:
        raise UnknownFormat(file=file)
    file.parent.mkdir(parents=True, exist_ok=True)
    async with transaction(engine) as connection:
        total = await experiences.count(connection, wanted)
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("exporting", total=total)

            async def told() -> AsyncIterator[str]:
                async for line in experiences.whole(connection, wanted):
                    progress.advance(task)
                    yield told_without(line, without, is_nested=file.suffix == ".jsonl")

            if file.suffix == ".parquet":
                kept = {name: kind for name, kind in columns().items() if name not in without}
                return await parquet.write(file, kept, told())
            return await _write_lines(file, told())


async def _write_lines(file: Path, told: AsyncIterator[str]) -> int:
    rows = 0
    with TemporaryDirectory(dir=file.parent, prefix=".writing-") as folder:
        made = Path(folder, file.name)
        with made.open("w", encoding="utf-8") as writing:  # noqa: ASYNC230  a command waits for nothing else
            async for line in told:
                writing.write(line + "\n")
                rows += 1
        made.replace(file)  # noqa: ASYNC240
    return rows


def told_without(line: str, without: Set[str], *, is_nested: bool) -> str:
    """The experience without these fields, wherever they stand in it; its states as JSON, or as text that is."""
    told = msgspec.json.decode(line)
    for name in _DOCUMENTS:
        if isinstance(told.get(name), str):
            told[name] = _dropped(_decoded(told[name]), without)
            if not is_nested:
                told[name] = msgspec.json.encode(told[name]).decode()
    return msgspec.json.encode(_dropped(told, without)).decode()


def _decoded(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _dropped(value: object, names: Set[str]) -> object:
    if isinstance(value, dict):
        return {key: _dropped(inner, names) for key, inner in value.items() if key not in names}
    return [_dropped(inner, names) for inner in value] if isinstance(value, list) else value
