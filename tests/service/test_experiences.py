"""`hearthmind experiences` on a real Postgres: in, out, and looked at."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from rich.console import Console

from hearthmind.store import experiences, ingest
from hearthmind.store.engine import Engine, create_engine, transaction
from hearthmind.store.experiences import Wanted
from hearthmind.store.migrate import upgrade
from hearthmind.store.rows import RatingRow
from hearthmind.testing.servers import postgres_server
from services.command.experience_files import BadFile, CantRead, UnknownFormat, export_file, import_file
from services.command.experiences import NoExperience, recompute_at, show_at, stats_at, tail_at
from services.reward.registry import Registry

GAME = "castle"
LINES: list[dict[str, Any]] = [
    {
        "context": {"hour": number, "who": {"player_id": f"ann{number}"}},
        "reply": f"Halt {number}!",
        "player_id": f"ann{number}",
        "reward": number / 10,
        "kind": "chat" if number % 2 else "patrol",
        "npc": f"guard{number % 2}",
    }
    for number in range(-5, 6)
]


@pytest.fixture(scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    folder: Path = tmp_path_factory.mktemp("experiences")
    async with postgres_server(folder) as server:
        upgrade(server.dsn)
        made = create_engine(server.dsn)
        yield made
        await made.dispose()


@pytest.fixture(scope="module")
async def filled(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    file = written(tmp_path_factory.mktemp("lines") / "played.jsonl", LINES)
    done = await import_file(engine, file, GAME, Registry(), quiet(), skip_bad=False)
    assert (done.imported, done.known, done.bad) == (len(LINES), 0, 0)
    return engine


def written(file: Path, lines: list[dict[str, Any]], *more: str) -> Path:
    file.write_text("\n".join([*(msgspec.json.encode(line).decode() for line in lines), *more]) + "\n")
    return file


def quiet() -> Console:
    return Console(file=io.StringIO(), width=160)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


async def count(engine: Engine, **wanted: Any) -> int:
    async with transaction(engine) as connection:
        return await experiences.count(connection, Wanted(**wanted))


async def test_a_file_is_imported_once_however_often(filled: Engine, tmp_path: Path) -> None:
    more = {"context": "at the gate", "action": "open", "success": True, "facts": {"victory": True}, "kind": "combat"}
    file = written(tmp_path / "again.jsonl", [*LINES, more, more])
    done = await import_file(filled, file, "castle2", Registry(), quiet(), skip_bad=False)
    assert (done.imported, done.known) == (len(LINES) + 1, 1)
    done = await import_file(filled, file, "castle2", Registry(), quiet(), skip_bad=False)
    assert (done.imported, done.known) == (0, len(LINES) + 2)
    assert await count(filled, game="castle2") == len(LINES) + 1
    assert await count(filled, game="castle2", kind="combat", reward_min=0.5, success=True, source="human") == 1


async def test_a_mistake_imports_nothing_unless_it_is_skipped(engine: Engine, tmp_path: Path) -> None:
    file = written(tmp_path / "bad.jsonl", LINES[:2], "nonsense", '{"context": {}, "reply": "a", "reward": 7}')
    with pytest.raises(BadFile, match=r"(?s)2 lines.*line 3: .*line 4: "):
        await import_file(engine, file, "bad", Registry(), quiet(), skip_bad=False)
    assert await count(engine, game="bad") == 0
    console = quiet()
    done = await import_file(engine, file, "bad", Registry(), console, skip_bad=True)
    assert (done.imported, done.known, done.bad) == (2, 0, 2)
    assert "line 4" in said(console)
    with pytest.raises(CantRead, match="No such file"):
        await import_file(engine, tmp_path / "none", "bad", Registry(), quiet(), skip_bad=False)


async def test_what_is_exported_is_whole_and_without_what_is_personal(filled: Engine, tmp_path: Path) -> None:
    file = tmp_path / "kept.jsonl"
    wanted = Wanted(game=GAME, kind="chat", reward_min=0.1)
    assert await export_file(filled, file, wanted, frozenset({"player_id"}), quiet()) == 3
    told = [msgspec.json.decode(line) for line in file.read_text().splitlines()]
    assert [one["answer"] for one in told] == ["Halt 1!", "Halt 3!", "Halt 5!"]
    assert told[0]["state"] == {"hour": 1, "who": {}}
    assert told[0]["facts"] == {"reward": 0.1}
    assert told[0]["reward_parts"] == {"recorded": 0.1}
    assert told[0]["prompt"][0]["role"] == "user"


async def test_parquet_says_the_same(filled: Engine, tmp_path: Path) -> None:
    file = tmp_path / "kept.parquet"
    wanted = Wanted(game=GAME, npc="guard1", since=datetime.now(UTC) - timedelta(hours=1), success=True)
    assert await export_file(filled, file, wanted, frozenset({"player_id", "opponent"}), quiet()) == 3
    with duckdb.connect() as connection:
        names = [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM '{file}'").fetchall()]
        rows = connection.execute(f"SELECT reward, answer, state, facts FROM '{file}' ORDER BY reward").fetchall()
    assert "opponent" not in names
    assert [row[:2] for row in rows] == [(0.1, "Halt 1!"), (0.3, "Halt 3!"), (0.5, "Halt 5!")]
    assert "ann" not in str([row[2:] for row in rows])
    with pytest.raises(UnknownFormat, match="jsonl"):
        await export_file(filled, tmp_path / "kept.csv", wanted, frozenset(), quiet())


async def test_an_experience_is_shown_with_why_it_was_worth_what_it_was(filled: Engine) -> None:
    async with transaction(filled) as connection:
        newest = (await experiences.newest(connection, Wanted(game=GAME), 1))[0]
        rating = RatingRow(GAME, newest.decision, "reply", "bob\x1b[2J", newest.npc, 1.0, datetime.now(UTC))
        await ingest.add_ratings(connection, [rating])
    console = quiet()
    await show_at(filled, newest.decision, GAME, console)
    shown = said(console)
    for words in ("guard1", "human", "Halt 5!", "recorded", "+0.500", "rated +1.00", "nobody has looked back"):
        assert words in shown
    assert "\x1b[2J" not in shown
    with pytest.raises(NoExperience, match="nothing"):
        await show_at(filled, "nothing", None, quiet())


async def test_stats_and_the_newest_are_listed(filled: Engine) -> None:
    console = quiet()
    await stats_at(filled, GAME, 20, console)
    shown = said(console)
    for words in (
        "guard0",
        "guard1",
        "mean reward",
        f"{datetime.now(UTC).date()}",
        "lost for good, of all games: 0 decisions",
    ):
        assert words in shown
    console = quiet()
    await tail_at(filled, Wanted(game=GAME, kind="chat"), 2, console, follow=False)
    lines = said(console).splitlines()
    assert len(lines) == 2
    assert "+0.50" in lines[-1]


async def test_recomputing_looks_back_on_what_is_over(filled: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTHMIND_REWARD__OVER_AFTER_S", "1e-6")
    monkeypatch.setenv("HEARTHMIND_REWARD__LATE_S", "1e-6")
    assert await recompute_at(filled, GAME, None, quiet(), is_all=False) == len(LINES)
    assert await recompute_at(filled, GAME, None, quiet(), is_all=False) == 0
    assert await recompute_at(filled, GAME, None, quiet(), is_all=True) == len(LINES)
    console = quiet()
    async with transaction(filled) as connection:
        newest = (await experiences.newest(connection, Wanted(game=GAME), 1))[0]
    await show_at(filled, newest.decision, GAME, console)
    assert "n-step return +0.500" in said(console)
