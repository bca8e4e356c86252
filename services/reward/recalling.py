"""Answers what NPCs lived through, over a connection of its own.

The law: nobody waits for it. What comes while too much waits already is passed over, and what Postgres can't say now is not
said: a lost answer costs a memory, never a decision and never the storing of an outcome.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from hearthmind import ids
from hearthmind.bus.wire import decode, encode
from hearthmind.contracts.memory import Recall
from hearthmind.errors import HearthmindError
from hearthmind.store.engine import Engine, transaction
from hearthmind.store.recall import recall

log = logging.getLogger("hearthmind.reward")

WAITING_MAX = 256
"""Questions: of a few seconds at most, as an owner asks once for each of its NPCs."""


class Recalling:
    """Takes questions and answers them one after the other."""

    def __init__(self, engine: Engine, publish: Callable[[str, bytes], Awaitable[None]]) -> None:
        self._engine = engine
        self._publish = publish
        self._waiting: asyncio.Queue[Recall] = asyncio.Queue(WAITING_MAX)

    def asked(self, data: bytes) -> None:
        """Notes a question, as it came from the bus."""
        try:
            self._waiting.put_nowait(decode(data, Recall))
        except HearthmindError as error:
            log.warning("a question for memories is passed over: %s", error)
        except asyncio.QueueFull:
            log.warning("a question for memories is passed over: %d wait already", WAITING_MAX)

    async def keep_answering(self) -> None:
        """Answers, again and again."""
        while True:
            asked = await self._waiting.get()
            try:
                async with transaction(self._engine) as connection:
                    answers = await recall(connection, asked.game, asked.npcs, asked.most)
            except HearthmindError as error:
                log.warning("the memories of %d NPCs of %s are not told: %s", len(asked.npcs), asked.game, error)
                continue
            for answer in answers:
                await self._publish(ids.recalled_subject(asked.partition), encode(answer))
