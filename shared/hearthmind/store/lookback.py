"""What has to be known to see what experiences led to, and where it is written.

An experience is due when its episode has come as far as it takes, or is over. Whatever tells of something within the time of
others that were looked at before makes these due again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Row, text, update
from sqlalchemy import func as sql

from hearthmind.store.engine import Connection
from hearthmind.store.rows import Blow, LongTermRow, Moment, Score
from hearthmind.store.staging import Staging
from hearthmind.store.tables import experiences

WAITING_MAX = 5_000
"""Of each game so many of the oldest and of the newest that wait are looked at to find its episodes."""
CONTROLS_MAX = 64
"""With so many NPCs of a game it is compared what one gained."""
DELAY_MAX = timedelta(days=8)
"""What an NPC lived through later was stored at most so much earlier: as long as messages wait."""
EARLY = timedelta(minutes=10)
"""So much earlier than it was decided it may have happened, by clocks that differ."""
RACE = 0.8
"""The share of the delay within which what was stored may not have been seen: less than 1, so that what came in time is."""


class Waiting(NamedTuple):
    """An episode with experiences that nobody has looked back on."""

    game: str
    episode: str
    lived_to: float
    since: datetime
    """When the first of them happened."""
    is_over: bool


class Due(NamedTuple):
    """An experience that can be looked back on."""

    decision: str
    happened_at: datetime
    since: datetime
    """When the game was there for certain: what happened in it later was stored later."""
    is_new: bool


_EPISODES = text("""
SELECT w.game, w.episode, min(w.happened_at) AS since
FROM games AS g CROSS JOIN LATERAL (
    (SELECT e.game, e.episode, e.happened_at FROM experiences AS e
        WHERE e.game = g.game AND e.long_term_at IS NULL ORDER BY e.happened_at LIMIT :most)
    UNION ALL
    (SELECT e.game, e.episode, e.happened_at FROM experiences AS e
        WHERE e.game = g.game AND e.long_term_at IS NULL ORDER BY e.happened_at DESC LIMIT :most)
) AS w
WHERE cast(:only AS text) IS NULL OR g.game = :only
GROUP BY 1, 2 ORDER BY 3
""")
_CLOCK = text("""
SELECT max(game_time) AS lived_to, max(happened_at) < now() - cast(:over_after AS interval) AS is_over FROM (
    (SELECT game_time, happened_at FROM experiences
        WHERE game = :game AND episode = :episode AND long_term_at IS NULL AND happened_at < now() - cast(:late AS interval)
        ORDER BY happened_at DESC LIMIT :most)
    UNION ALL
    (SELECT newest.game_time, newest.happened_at
        FROM (SELECT npc FROM npcs WHERE game = :game ORDER BY md5(npc) LIMIT :controls) AS known
        CROSS JOIN LATERAL (
            SELECT game_time, happened_at FROM experiences AS e
            WHERE e.game = :game AND e.npc = known.npc AND e.episode = :episode AND happened_at >= :since
                AND happened_at < now() - cast(:late AS interval)
            ORDER BY happened_at DESC LIMIT 1
        ) AS newest)
) AS told
""")
"""The newest that nobody has looked back on, for which there is an index; where all but a few were, some NPCs' newest."""


async def waiting(connection: Connection, over_after_s: float, late_s: float, game: str | None = None) -> list[Waiting]:
    """Episodes with experiences that wait, of one game or of all, and how far each had come a moment ago: so that what
    happened at the same time is stored as well.
    """
    found = (await connection.execute(_EPISODES, {"most": WAITING_MAX, "only": game})).all()
    clocks = []
    for row in found:
        given = {**row._mapping, "over_after": timedelta(seconds=over_after_s), "late": timedelta(seconds=late_s)}
        given |= {"most": WAITING_MAX, "controls": CONTROLS_MAX}
        clock = (await connection.execute(_CLOCK, given)).one()
        if clock.lived_to is not None:
            clocks.append(Waiting(row.game, row.episode, clock.lived_to, row.since, clock.is_over))
    return clocks


_DUE = text("""
SELECT decision, happened_at,
    least(coalesce(decided_at, happened_at - interval '1 hour'), happened_at) - cast(:early AS interval),
    n_step_return IS NULL
FROM experiences
WHERE game = :game AND episode = :episode AND long_term_at IS NULL AND happened_at >= :since
    AND (:is_over OR game_time <= :lived_to - cast(:horizon AS double precision))
ORDER BY happened_at, decision LIMIT :most FOR UPDATE SKIP LOCKED
""")


async def due(connection: Connection, episode: Waiting, horizon: float, most: int) -> list[Due]:
    """Experiences of an episode that can be looked back on; they are held until the transaction ends."""
    found = await connection.execute(_DUE, {**episode._asdict(), "horizon": horizon, "most": most, "early": EARLY})
    return [Due(*row) for row in found]


_MOMENT = """
    SELECT e.npc, e.decision, e.happened_at, e.game_time, e.kind, e.action,
        CASE WHEN jsonb_typeof(e.facts -> 'rank') = 'number' THEN
            CASE WHEN abs((e.facts ->> 'rank')::numeric) <= 1e15 THEN (e.facts ->> 'rank')::double precision END
        END, e.reward
    FROM experiences AS e
"""
_THESE = text(f"{_MOMENT} WHERE e.game = :game AND e.decision = ANY(:decisions) AND e.happened_at >= :since")
_CONTROLS = text("SELECT npc FROM npcs WHERE game = :game ORDER BY md5(npc) LIMIT :most")
_LIVES = text(
    f"{_MOMENT} WHERE e.game = :game AND e.npc = ANY(:npcs) AND e.episode = :episode AND e.happened_at >= :since"
    " AND e.happened_at < :until AND e.game_time BETWEEN :first AND :last"
)


def _moment(row: Row[Any]) -> Moment:
    npc, decision, happened_at, game_time, kind, action, rank, reward = row  # type: ignore[misc]
    return Moment(npc, decision, happened_at.timestamp(), game_time, kind, action, rank, reward)


async def moments(connection: Connection, game: str, rows: Sequence[Due]) -> list[Moment]:
    """The moments of experiences, in their order."""
    given = {
        "game": game,
        "decisions": [row.decision for row in rows],
        "since": min(row.happened_at for row in rows),
    }
    found = {(one.decision, one.happened_s): one for one in map(_moment, await connection.execute(_THESE, given))}
    return [found[row.decision, row.happened_at.timestamp()] for row in rows]


async def controls(connection: Connection, game: str) -> list[str]:
    """NPCs to compare with: always the same ones, and no particular ones."""
    return list(await connection.scalars(_CONTROLS, {"game": game, "most": CONTROLS_MAX}))


async def lives(
    connection: Connection, episode: Waiting, npcs: Iterable[str], first: float, last: float, rows: Sequence[Due]
) -> list[Moment]:
    """What NPCs lived through in an episode from one time of the game to another, of which these are some."""
    given = {
        "game": episode.game,
        "episode": episode.episode,
        "npcs": sorted(set(npcs)),
        "first": first,
        "last": last,
        "since": min(row.since for row in rows),
        "until": max(row.happened_at for row in rows) + DELAY_MAX,
    }
    return [_moment(row) for row in await connection.execute(_LIVES, given)]


_BLOWS = text("""
SELECT l.earlier, e.npc, e.game_time, e.reward, jsonb_array_length(e.answers)
FROM links AS l JOIN experiences AS e ON e.game = l.game AND e.decision = l.decision AND e.npc = l.npc
WHERE l.game = :game AND l.earlier = ANY(:decisions) AND l.how = 'answers'
    AND e.facts ?| ARRAY['victory', 'enemy_losses', 'retaliation'] AND e.facts -> 'retaliation' IS DISTINCT FROM 'false'
""")
_SCORES = text("SELECT decision, rater, score FROM ratings WHERE game = :game AND decision = ANY(:decisions)")


async def blows(connection: Connection, game: str, decisions: Sequence[str]) -> list[Blow]:
    """Who struck back for these: answers that say how a fight went."""
    return [Blow(*row) for row in await connection.execute(_BLOWS, {"game": game, "decisions": list(decisions)})]


async def scores(connection: Connection, game: str, decisions: Sequence[str]) -> list[Score]:
    """What players thought of these."""
    return [Score(*row) for row in await connection.execute(_SCORES, {"game": game, "decisions": list(decisions)})]


_WORTH = Staging(experiences, LongTermRow._fields, "given_long_term")
_VALUES = ("long_term_reward", "long_term_parts", "n_step_return")
_WRITE = (
    update(experiences)
    .where(*(experiences.c[name] == _WORTH.given.c[name] for name in ("game", "decision", "happened_at")))
    .values({name: _WORTH.given.c[name] for name in _VALUES} | {"long_term_at": sql.clock_timestamp()})
)


async def write(connection: Connection, rows: Sequence[LongTermRow]) -> None:
    """Writes what they came to be worth."""
    if rows:
        await _WORTH.fill(connection, rows)
        await connection.execute(_WRITE)


_LATE = text("""
WITH late AS (
    SELECT e.game, e.decision, e.npc, e.episode, e.game_time, o.settled_at + cast(:race AS interval) AS seen_from
    FROM experiences AS e JOIN outcomes AS o USING (game, decision, happened_at)
    WHERE e.game = :game AND e.decision = ANY(:decisions) AND e.happened_at >= :since
        AND (o.settled_at > e.happened_at + cast(:race AS interval) OR e.decision = ANY(:out_of_order))
), stale AS (
    SELECT e.game, e.decision, e.happened_at FROM late JOIN experiences AS e ON e.game = late.game AND e.npc = late.npc
        AND e.episode = late.episode AND e.game_time BETWEEN late.game_time - :horizon AND late.game_time
        AND e.happened_at >= :early AND e.long_term_at < late.seen_from
    UNION
    SELECT e.game, e.decision, e.happened_at FROM late JOIN links AS l ON l.game = late.game
        AND l.decision = late.decision AND l.how = 'answers'
        JOIN experiences AS e ON e.game = l.game AND e.decision = l.earlier AND e.long_term_at < late.seen_from
)
UPDATE experiences AS e SET long_term_at = NULL FROM stale
WHERE e.game = stale.game AND e.decision = stale.decision AND e.happened_at = stale.happened_at
""")


async def reopen(
    connection: Connection, game: str, rows: Sequence[Due], out_of_order: Sequence[str], horizon: float, late_s: float
) -> int:
    """Makes those due again within whose time these came to be known after they were looked at; returns how many. That may be
    so where an experience waited for its decision, or is out of order: later ones were stored before it.
    """
    new = [row for row in rows if row.is_new]
    if not new:
        return 0
    since = min(row.happened_at for row in new)
    given = {
        "game": game,
        "decisions": [row.decision for row in new],
        "out_of_order": list(out_of_order),
        "since": since,
        "early": since - DELAY_MAX,
        "horizon": horizon,
        "race": RACE * timedelta(seconds=late_s),
    }
    return (await connection.execute(_LATE, given)).rowcount


_AGAIN = text("""
UPDATE experiences SET long_term_at = NULL WHERE (game, decision, happened_at) IN (
    SELECT game, decision, happened_at FROM experiences
    WHERE long_term_at < :before AND happened_at >= :since AND (cast(:game AS text) IS NULL OR game = :game)
    ORDER BY happened_at DESC LIMIT :most FOR UPDATE SKIP LOCKED
)
""")


async def make_due(connection: Connection, game: str | None, since: datetime, before: datetime, most: int) -> int:
    """Makes some due again that were looked at before a time, the newest first; returns how many."""
    given = {"game": game, "since": since, "before": before, "most": most}
    return (await connection.execute(_AGAIN, given)).rowcount
