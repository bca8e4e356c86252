"""What is done to the tables from time to time: partitions made ahead, old ones put into files, what waits no more cleared.

The law: a day leaves Postgres only when its file is there whole. Whatever is interrupted is done again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from hearthmind.errors import HearthmindError
from hearthmind.store import partitions
from hearthmind.store.engine import Connection, Engine, transaction
from hearthmind.store.keep import prune_halves, prune_inbox
from hearthmind.store.partitions import PARTITIONED, Part
from hearthmind.store.records import archive
from services.reward.settings import Reward

log = logging.getLogger("hearthmind.reward")

T = TypeVar("T")

DOCUMENTS_LONGER_DAYS = 9
"""A text is of the day on which it was said, and what refers to it may be of a week later: as long as messages wait."""


class Upkeep:
    """Keeps the tables in order."""

    def __init__(self, engine: Engine, settings: Reward, today: Callable[[], date] = lambda: datetime.now(UTC).date()):
        self._engine = engine
        self._settings = settings
        self._today = today

    async def keep_going(self) -> None:
        """Does all of it, again and again."""
        while True:
            for work in (self.make_ahead, self.prune, self.retire):
                await self._attempt(work)
            await asyncio.sleep(self._settings.prune_every_s)

    async def make_ahead(self) -> None:
        """Makes the partitions of the days to come; a transaction each, since each has to wait for a moment of quiet."""
        for table in PARTITIONED:
            await self._do(
                partial(partitions.make_ahead, table=table, today=self._today(), days=self._settings.ahead_days)
            )

    async def prune(self) -> None:
        """Clears the inbox and what waits for nothing any more."""
        await self._do(partial(prune_inbox, age_s=self._settings.inbox_kept_s))
        await self._do(partial(prune_halves, age_s=self._settings.halves_kept_s))

    async def retire(self) -> None:
        """Puts old days into files and drops them, where a setting says how long they stay; experiences before what they
        refer to.
        """
        kept_days = self._settings.kept_days
        if not kept_days:
            return
        limit = self._today() - timedelta(days=kept_days)
        limits = {"experiences": limit, "documents": limit - timedelta(days=DOCUMENTS_LONGER_DAYS)}
        found = await self._do(partitions.parts)
        for part in sorted(found, key=lambda part: PARTITIONED.index(part.table), reverse=True):
            if part.day < limits[part.table]:
                await self._retire(part)

    async def _retire(self, part: Part) -> None:
        if not part.is_detached:
            await self._do(partial(partitions.detach, part=part))
        if part.table == "experiences":
            folder = Path(self._settings.archive)
            name = f"experiences_{part.day:%Y%m%d}"
            written = await self._do(partial(archive, table=name, day=part.day, folder=folder))
            log.info("%d experiences of %s are in %s now", written, part.day, folder)
        await self._do(partial(partitions.drop_detached, part=part))

    async def _do(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        async with transaction(self._engine) as connection:
            return await work(connection)

    async def _attempt(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (HearthmindError, OSError) as error:
            log.warning("the tables are looked after another time: %s", error)
