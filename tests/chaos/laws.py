"""What must hold after any faults: the game's account against what Postgres has. Pure but for the one function that reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psycopg

from .havoc import Happened
from .ledger import Executed
from .plan import NATS, POSTGRES

SHOWN = 3
ALIVE_WITHIN_S = 5.0
"""How soon after the broker is back an answer passes all services again."""
DRAINED_WITHIN_S = 30.0
"""How soon after Postgres is back all outcomes reported before are in it."""


@dataclass(frozen=True)
class Kept:
    """What Postgres has of one decision."""

    outcomes: int
    experiences: int
    action: str | None
    by_client: bool | None
    is_unknown: bool = False
    """The decision's own record never came; the outcome became an experience without."""
    state: bytes = b""
    """The hash of what the experience says that the game showed."""


@dataclass(frozen=True)
class Account:
    """All that is known at the end."""

    observations: int
    executed: Mapping[str, Executed]
    reported: int
    unconfirmed: frozenset[str]
    kept: Mapping[str, Kept]
    dead_letters: tuple[str, ...] = ()
    twice: tuple[str, ...] = ()
    illegal: tuple[str, ...] = ()
    refused: int = 0
    """Actions of the platform that the client found illegal."""
    overdue: tuple[str, ...] = ()
    taken: tuple[tuple[float, float], ...] = ()
    """When the broker's folder was deleted: of what was asked then, the broker's own part is gone."""
    not_alive: tuple[str, ...] = ()

    @property
    def gone(self) -> list[str]:
        """Decisions whose own record went with the broker's folder: their outcomes are experiences all the same."""
        return [decision for decision, row in self.kept.items() if row.is_unknown]

    def was_taken(self, decision: str) -> bool:
        """Whether it was asked for about when the broker's folder was deleted."""
        asked_s = self.executed[decision].asked_s
        return any(from_s <= asked_s <= to_s for from_s, to_s in self.taken)


def broken(account: Account) -> list[str]:
    """The laws that do not hold, each with what breaks it."""
    executed, kept = account.executed, account.kept
    nothing = Kept(0, 0, None, None)
    rows = {decision: kept.get(decision, nothing) for decision in executed}
    findings = {
        "one action: asked and executed differ by": _difference(account.observations, len(executed)),
        "one action: executed and reported differ by": _difference(len(executed), account.reported),
        "one action: executed again": account.twice,
        "legal: executed though it was not": account.illegal,
        "legal: refused by the game": _difference(account.refused, 0),
        "in time: too late": account.overdue,
        "drained: not confirmed": sorted(account.unconfirmed),
        "nothing confirmed is lost: no outcome in Postgres": [
            decision for decision, row in rows.items() if not row.outcomes and decision not in account.unconfirmed
        ],
        "nothing lost: no experience": [
            decision for decision, row in rows.items() if not row.experiences and decision not in account.unconfirmed
        ],
        "nothing committed is lost: no decision": [
            decision for decision in account.gone if decision in executed and not account.was_taken(decision)
        ],
        "nothing twice: several outcomes": [decision for decision, row in kept.items() if row.outcomes > 1],
        "nothing twice: several experiences": [decision for decision, row in kept.items() if row.experiences > 1],
        "as executed: another action is kept": [
            decision for decision, row in rows.items() if row.experiences and not _agree(executed[decision], row)
        ],
        "as seen: of what the client decided another state is kept": [
            decision for decision, row in rows.items() if row.experiences and not _is_seen(executed[decision], row)
        ],
        "nothing made up: nobody asked": [decision for decision in kept if decision not in executed],
        "nothing terminated: dead letters": account.dead_letters,
        "alive: does not run": account.not_alive,
    }
    return [f"{law}: {len(found)} ({', '.join(found[:SHOWN])})" for law, found in findings.items() if found]


def slow(happened: Iterable[Happened]) -> list[str]:
    """What took longer than promised after broker or database had been away."""
    away = [each for each in happened if each.fault.kind == "away"]
    not_alive = [each for each in away if each.fault.target == NATS and not _within(each.alive_s, ALIVE_WITHIN_S)]
    not_drained = [
        each for each in away if each.fault.target == POSTGRES and not _within(each.drained_s, DRAINED_WITHIN_S)
    ]
    return [f"alive in {ALIVE_WITHIN_S:g} s: not after {each.fault}" for each in not_alive] + [
        f"drained in {DRAINED_WITHIN_S:g} s: not after {each.fault}" for each in not_drained
    ]


def _within(took_s: float | None, most_s: float) -> bool:
    return took_s is not None and took_s <= most_s


def _difference(one: int, other: int) -> list[str]:
    return [f"{one} and {other}"] if one != other else []


def _agree(executed: Executed, row: Kept) -> bool:
    return (row.action, row.by_client) == (executed.action, executed.by_client)


def _is_seen(executed: Executed, row: Kept) -> bool:
    """What a client decides by itself travels with its outcome alone, whatever else is lost."""
    return not executed.by_client or row.state == executed.state


def read(url: str, game: str) -> tuple[dict[str, Kept], tuple[str, ...]]:
    """What Postgres has of a game by decision, and the reasons of its dead letters, or of nobody's."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            """
            SELECT decision, coalesce(outcomes, 0), coalesce(experiences, 0), experience.action, experience.source = 'client',
                coalesce(experience.source = 'unknown', false), coalesce(experience.state, '')
            FROM (SELECT decision, count(*) AS outcomes FROM outcomes WHERE game = %(game)s GROUP BY 1) AS outcome
            FULL JOIN (
                SELECT decision, count(*) AS experiences, min(action) AS action, min(source) AS source,
                    sha256(convert_to(min(body), 'UTF8')) AS state
                FROM experiences LEFT JOIN documents ON documents.game = experiences.game AND key = experiences.state
                WHERE experiences.game = %(game)s GROUP BY 1
            ) AS experience USING (decision)
            """,
            {"game": game},
        ).fetchall()
        letters = connection.execute("SELECT reason FROM dead_letters WHERE game IN (%s, '')", (game,)).fetchall()
    return {decision: Kept(*row) for decision, *row in rows}, tuple(reason for (reason,) in letters)
