"""What does not stay: the inbox and what waited, beyond their horizon, and players' words on request."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Interval, Text, bindparam, delete, func

from hearthmind.store.engine import Connection
from hearthmind.store.tables import decisions, inbox, outcomes, texts

_age = bindparam("age", type_=Interval())


_PRUNE = delete(inbox).where(inbox.c.received_at < func.now() - _age)


async def prune_inbox(connection: Connection, age_s: float) -> int:
    """Forgets claims older than every redelivery; returns how many."""
    return (await connection.execute(_PRUNE, {"age": timedelta(seconds=age_s)})).rowcount


_OLD_DECISIONS = delete(decisions).where(decisions.c.received_at < func.now() - _age)
_OLD_OUTCOMES = delete(outcomes).where(outcomes.c.received_at < func.now() - _age, outcomes.c.settled_at.is_not(None))


async def prune_halves(connection: Connection, age_s: float) -> int:
    """Clears where halves wait for each other of what waits no more: experiences have it, and of what never had an outcome
    nothing is learned. Returns how many decisions.
    """
    await connection.execute(_OLD_OUTCOMES, {"age": timedelta(seconds=age_s)})
    return (await connection.execute(_OLD_DECISIONS, {"age": timedelta(seconds=age_s)})).rowcount


_ERASE = delete(texts).where(texts.c.game == bindparam("of_game", type_=Text()))


async def erase_texts(connection: Connection, game: str) -> int:
    """Erases everything that players of a game said; returns how many lines."""
    return (await connection.execute(_ERASE, {"of_game": game})).rowcount
