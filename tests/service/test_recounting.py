"""A few thousand outcomes while the service and Postgres are killed: each is one experience, and SQL finds the same rewards.

The long version is `python -m tests.service.recounting`.
"""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from hearthmind.store.migrate import upgrade
from hearthmind.testing.servers import postgres_server

from .recounting import broken, run


async def test_each_outcome_is_one_experience_and_sql_finds_the_same_rewards(tmp_path: Path) -> None:
    report = await run(outcomes=3_000, kills=3, folder=tmp_path)
    assert report.broken == []
    assert report.kills == {"reward": 2, "postgres": 1}


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ("UPDATE experiences SET reward = 0.25", "rewards are others than SQL finds"),
        ("DELETE FROM experiences", "became"),
        ("UPDATE npcs SET experiences = 2", "of NPCs"),
    ],
)
async def test_the_recount_sees_what_is_wrong(tmp_path: Path, change: str, finding: str) -> None:
    async with postgres_server(tmp_path) as server:
        upgrade(server.dsn)
        with psycopg.connect(server.dsn) as connection:
            connection.execute(
                "INSERT INTO experiences (game, decision, happened_at, npc, kind, episode, game_time, action, arguments, source,"
                " tier, success, facts, state_after, answers, reward, reward_parts)"
                " VALUES ('realm', 'd1', now(), 'p1', 'combat', 'main', 0, 'wait', '{}', 'rules', 'routine', true,"
                " '{\"victory\": true}', '', '[]', 0.5, '{}')"
            )
            for counters in (
                "npcs VALUES ('realm', 'p1', 1, 1, 1, 0, 0, 0.5)",
                "personas VALUES ('realm', 'miser', 1, 1, 0.5, 0.25)",
                "variants VALUES ('realm', 'e', 'a', 1, 1, 0.5, 0.25, 0, 0, 0, 0)",
                "training_metrics VALUES ('realm', now(), 1, 1, 1, 0.5, 0, 0, 0, 0, 0, 0, 0)",
            ):
                connection.execute(f"INSERT INTO {counters}")
        assert broken(server.dsn, 1) == []
        with psycopg.connect(server.dsn) as connection:
            connection.execute(change)
        assert any(finding in each for each in broken(server.dsn, 1))
