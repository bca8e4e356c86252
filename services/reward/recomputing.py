"""Looks back on experiences whose time has come and writes what they were worth.

The law: each batch is a transaction of its own and holds what it works on, so that several processes share the work, a
killed one leaves nothing half done, and what is done again comes out the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator

from hearthmind.errors import HearthmindError
from hearthmind.store import lookback as store
from hearthmind.store.engine import Connection, Engine, transaction
from hearthmind.store.lookback import Waiting
from hearthmind.store.rows import LongTermRow
from hearthmind.telemetry import metrics, names
from services.reward.lookback import Bounds, Lives, look_back
from services.reward.records import as_json
from services.reward.settings import Reward

log = logging.getLogger("hearthmind.reward")


class Recomputing:
    """Looks back, again and again."""

    def __init__(self, engine: Engine, settings: Reward) -> None:
        self._engine = engine
        self._settings = settings

    async def keep_going(self) -> None:
        """Looks for what is due and does it; what fails is done another time, and holds up no other episode."""
        while True:
            try:
                for episode in await self._episodes():
                    await self._attempt(episode)
            except HearthmindError as error:
                log.warning("looking back is tried another time: %s", error)
            await asyncio.sleep(self._settings.look_back_every_s)

    async def all_due(self, game: str | None = None) -> AsyncIterator[int]:
        """Does all that is due now, batch by batch; yields how many each had."""
        for episode in await self._episodes(game):
            while done := await self._batch(episode):
                yield done

    async def _episodes(self, game: str | None = None) -> list[Waiting]:
        settings = self._settings
        async with transaction(self._engine) as connection:
            return await store.waiting(connection, settings.over_after_s, settings.late_s, game)

    async def _attempt(self, episode: Waiting) -> None:
        try:
            while await self._batch(episode):
                pass
        except HearthmindError as error:
            log.warning("looking back on %s of %s is tried another time: %s", episode.episode, episode.game, error)
        except Exception:
            log.exception("looking back on %s of %s", episode.episode, episode.game)

    async def _batch(self, episode: Waiting) -> int:
        async with transaction(self._engine) as connection:
            done = await look_back_on(connection, episode, self._settings)
        metrics.count(names.LOOKED_BACK, done)
        return done


async def look_back_on(connection: Connection, episode: Waiting, settings: Reward) -> int:
    """Looks back on some experiences of an episode; returns how many."""
    bounds = Bounds(settings.horizon, settings.steps_max, settings.discount)
    due = await store.due(connection, episode, bounds.horizon, settings.look_back_max)
    if not due:
        return 0
    decisions = [each.decision for each in due]
    moments = await store.moments(connection, episode.game, due)
    controls = await store.controls(connection, episode.game)
    times, npcs = [moment.game_time for moment in moments], {moment.npc for moment in moments}
    first, last = min(times), max(times) + bounds.horizon
    lives = Lives(await store.lives(connection, episode, {*npcs, *controls}, first, last, due), controls)
    blows, scores = defaultdict(list), defaultdict(list)
    for blow in await store.blows(connection, episode.game, decisions):
        blows[blow.earlier].append(blow)
    for score in await store.scores(connection, episode.game, decisions):
        scores[score.decision].append(score)
    rows = []
    for each, moment in zip(due, moments, strict=True):
        worth = look_back(moment, lives, blows[each.decision], scores[each.decision], bounds, episode.lived_to)
        rows.append(
            LongTermRow(
                episode.game, each.decision, each.happened_at, worth.reward, as_json(worth.parts), worth.n_step_return
            )
        )
    await store.write(connection, rows)
    await store.reopen(connection, episode.game, due, lives.out_of_order(moments), bounds.horizon, settings.late_s)
    return len(rows)
