"""A partition for each day of what is kept for long: made ahead, detached when it is old, and dropped when it is exported.

The law: nothing is refused because its day has no partition. What has none goes to `<table>_rest` and moves when its
partition is made. The functions run as the owner of the tables, so that a service needs no right to make or drop any; they
touch nothing but partitions of these two tables.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import NamedTuple

from sqlalchemy import DDL, MetaData, event, text

from hearthmind.store.engine import Connection

PARTITIONED = ("documents", "experiences")
"""The second refers to the first."""

_DAYS = """
CREATE FUNCTION make_partition(parent text, day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    part text := parent || '_' || to_char(day, 'YYYYMMDD');
    at text := CASE parent WHEN 'documents' THEN 'key' ELSE 'happened_at' END;
    low text := partition_bound(parent, day);
    high text := partition_bound(parent, day + 1);
BEGIN
    IF to_regclass(part) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent || '_rest');
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', part, parent);
    EXECUTE format(
        'WITH moved AS (DELETE FROM %I WHERE %I >= %s AND %I < %s RETURNING *) INSERT INTO %I SELECT * FROM moved',
        parent || '_rest', at, low, at, high, part
    );
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', parent, part, low, high);
    RETURN true;
END $$
"""
_BOUND = """
CREATE FUNCTION partition_bound(parent text, day date) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
BEGIN
    CASE parent
        WHEN 'documents' THEN
            RETURN quote_literal('\\x' || lpad(to_hex(day - date '1970-01-01'), 4, '0'));
        WHEN 'experiences' THEN
            RETURN quote_literal(to_char(day, 'YYYY-MM-DD') || ' 00:00:00+00');
    END CASE;
END $$
"""
_DETACH = """
CREATE FUNCTION detach_partition(parent text, day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    part text := parent || '_' || to_char(day, 'YYYYMMDD');
BEGIN
    PERFORM partition_bound(parent, day);
    EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, part);
    EXECUTE format('GRANT SELECT ON %I TO %I', part, session_user);
END $$
"""
_DROP = """
CREATE FUNCTION drop_detached(parent text, day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    part text := parent || '_' || to_char(day, 'YYYYMMDD');
BEGIN
    PERFORM partition_bound(parent, day);
    IF EXISTS (SELECT FROM pg_class WHERE oid = part::regclass AND relispartition) THEN
        RAISE EXCEPTION '% is still in use', part;
    END IF;
    EXECUTE format('DROP TABLE %I', part);
END $$
"""

FUNCTIONS = {
    "partition_bound": _BOUND,
    "make_partition": _DAYS,
    "detach_partition": _DETACH,
    "drop_detached": _DROP,
}
"""Each is of a table's name and a day."""

CALLED = ("make_partition", "detach_partition", "drop_detached")
"""Those that `hearthmind.store.grants` lets the reward service call."""


class Part(NamedTuple):
    """A day's partition, or what was one."""

    table: str
    day: date
    is_detached: bool


def install(metadata: MetaData) -> None:
    """Lets a schema that is made from the tables have what a migrated one has beside them."""
    event.listen(metadata, "before_create", _ddl("CREATE EXTENSION IF NOT EXISTS vector"))
    rests = [f"CREATE TABLE {table}_rest PARTITION OF {table} DEFAULT" for table in PARTITIONED]
    for statement in (*rests, *FUNCTIONS.values()):
        event.listen(metadata, "after_create", _ddl(statement))


def _ddl(statement: str) -> DDL:
    return DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]


_MAKE = text("SELECT make_partition(:table, :day)")
_DETACHED = text("SELECT detach_partition(:table, :day)")
_DROPPED = text("SELECT drop_detached(:table, :day)")
_PARTS = text(
    "SELECT relname, NOT relispartition FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    " AND relname ~ '^(documents|experiences)_[0-9]{8}$' ORDER BY 1"
)


async def make_ahead(connection: Connection, table: str, today: date, days: int) -> int:
    """Makes the partitions of yesterday to so many days from now; returns how many were missing."""
    made = 0
    for number in range(-1, days + 1):
        made += bool(await connection.scalar(_MAKE, {"table": table, "day": today + timedelta(days=number)}))
    return made


async def parts(connection: Connection) -> list[Part]:
    """All partitions of days, and those that were detached and not dropped yet; the oldest of a table first."""
    found = []
    for name, is_detached in await connection.execute(_PARTS):
        table, _, day = name.rpartition("_")
        found.append(Part(table, date(int(day[:4]), int(day[4:6]), int(day[6:])), is_detached))
    return found


async def detach(connection: Connection, part: Part) -> None:
    """Takes a partition out of its table; it stays, as a table of its own."""
    await connection.execute(_DETACHED, {"table": part.table, "day": part.day})


async def drop_detached(connection: Connection, part: Part) -> None:
    """Drops what was detached."""
    await connection.execute(_DROPPED, {"table": part.table, "day": part.day})
