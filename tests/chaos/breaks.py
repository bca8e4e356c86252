"""The safeguards taken away on purpose, from outside, each with faults that must then turn the harness red."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import psycopg

from .plan import MACHINE, POSTGRES, Fault


def drop_the_inbox(database_url: str) -> None:
    """Empties the inbox after every insert: what it knew is forgotten."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM inbox; RETURN NULL; END'"
        )
        connection.execute("CREATE TRIGGER forget AFTER INSERT ON inbox EXECUTE FUNCTION forget()")


class Break(msgspec.Struct, frozen=True):
    """What is other than it should be, and the least that shows it."""

    plan: tuple[Fault, ...]
    seconds: float = 5.0
    sync_interval: str = "always"
    instead: Mapping[str, str] = {}
    in_database: Callable[[str], None] | None = None


BREAKS = {
    "inbox": Break((Fault(1.0, "stop", "reward", lasts_s=7.0),), in_database=drop_the_inbox),
    "sync": Break((Fault(2.0, "power", MACHINE, lasts_s=2.0),), sync_interval="2m"),
    "acknowledgement": Break((Fault(2.0, "restart", POSTGRES),), instead={"reward": "tests.chaos.careless"}),
}
"""The inbox; the broker's `sync_interval`, at its own default; that reward acknowledges what is stored, and not whatever came."""
