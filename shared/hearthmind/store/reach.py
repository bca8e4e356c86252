"""Whether Postgres can be reached as whom we are to be there: waited for at the start, and asked again and again after.

The law: what a wrong setting causes ends a start with its name; whatever may pass is waited for, however long.
"""

from __future__ import annotations

import asyncio
import logging
import re

from sqlalchemy import select

from hearthmind.errors import CannotStart, HearthmindError, Unavailable, WrongCredentials
from hearthmind.store import tables
from hearthmind.store.engine import BadAddress, create_engine, driver_url, transaction

log = logging.getLogger("hearthmind.store")

ASK_EVERY_S = 0.5
ASK_WITHIN_S = 5.0

_NO_DATABASE = re.compile(r'database ".*" does not exist')
_NO_RIGHTS = re.compile(r"permission denied for (database|schema|table)")
_NO_ENTRY = re.compile(
    r'password authentication failed|role ".*" does not exist|role ".*" is not permitted to log in'
    r"|no password supplied|no pg_hba\.conf entry"
)
"""In the words of Postgres: a connection that it refuses has no code."""
_BAD_OPTION = re.compile(r'invalid (\w+ value|port number|integer value "\S*" for connection option).*"')
"""In the words of its library, which does not even try then."""


class NoSuchDatabase(CannotStart):
    """Postgres has no database {database!r} at {where}. Check DATABASE_URL, or make the database first."""


class NoRights(CannotStart):
    """Postgres lets {user!r} in at {where}, but not to our tables ({why}). Check the user in DATABASE_URL."""


class Reach:
    """Asks over a connection of its own, so that a busy service is not taken for a dead database."""

    def __init__(self, url: str) -> None:
        self.why_not = "Postgres was not asked yet"
        """Why it can't be used now; empty where it can."""
        self._url = driver_url(url)
        self._engine = create_engine(url, connections_max=1)

    async def wait(self) -> None:
        """Waits until it can be used; raises where it refuses us."""
        said = ""
        while True:
            error = await self._ask()
            if error is None:
                return
            self._refuse(error)
            if said != self.why_not:
                said = self.why_not
                log.warning("the start waits: %s", said)
            await asyncio.sleep(ASK_EVERY_S)

    async def keep_asking(self) -> None:
        """Knows at any time whether it can be used."""
        while True:
            await self._ask()
            await asyncio.sleep(ASK_EVERY_S)

    async def close(self) -> None:
        """Ends the connection."""
        await self._engine.dispose()

    async def _ask(self) -> HearthmindError | None:
        try:
            async with asyncio.timeout(ASK_WITHIN_S), transaction(self._engine) as connection:
                await connection.execute(select(tables.inbox).limit(0))
        except HearthmindError as error:
            self.why_not = str(error)
            return error
        except TimeoutError:
            late = Unavailable(what="Postgres", why=f"no answer within {ASK_WITHIN_S:g} s")
            self.why_not = str(late)
            return late
        self.why_not = ""
        return None

    def _refuse(self, error: HearthmindError) -> None:
        where = self._url.set(drivername="postgresql").render_as_string(hide_password=True)
        user, why = self._url.username or "", str(error)
        if bad := _BAD_OPTION.search(why):
            raise BadAddress(why=bad[0]) from error
        if _NO_DATABASE.search(why):
            raise NoSuchDatabase(database=self._url.database, where=where) from error
        if _NO_ENTRY.search(why):
            raise WrongCredentials(what="Postgres", where=where, user=user) from error
        if _NO_RIGHTS.search(why):
            raise NoRights(user=user, where=where, why=error.facts.get("why")) from error
