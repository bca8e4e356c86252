"""Asks the platform's policy whether an action would pass; nothing comes of it but the answer.

    async with policy.connect("nats://prompts:…@127.0.0.1:4222") as asking:
        said = await asking.check(observation, "attack", {"target": "p0007"})
        print(said.passes or said.why)

For tools and services of the platform, under its user `prompts`; never for a game.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from hearthmind import ids
from hearthmind.bus.connect import Connection, Msg, close
from hearthmind.bus.connect import connect as connect_to_broker
from hearthmind.bus.wire import decode, encode
from hearthmind.contracts.observation import Event, Observation
from hearthmind.contracts.policy import CheckPolicy, PolicyChecked
from hearthmind.contracts.wire import Fact
from hearthmind.errors import Unavailable
from hearthmind.flow import PROMPTS
from hearthmind.settings import Broker

WITHIN_S = 5.0
ASK_EVERY_S = 0.5
"""A question is lost while a partition changes hands; it is asked again."""


class Policy:
    """One asker's side of the bus."""

    def __init__(self, nc: Connection) -> None:
        self._nc = nc
        self._me = f"policy-{secrets.token_hex(8)}"
        self._waiting: dict[str, asyncio.Future[PolicyChecked]] = {}

    async def start(self) -> Policy:
        """Begins to listen."""
        await self._nc.subscribe(ids.checked_subject(self._me), cb=self._on_checked)
        await self._nc.flush()
        return self

    async def check(
        self,
        observation: Observation | Event,
        action: str,
        arguments: Mapping[str, Fact] | None = None,
        speech: str = "",
        within_s: float = WITHIN_S,
    ) -> PolicyChecked:
        """What the owner of the NPC's partition says to it."""
        asked = CheckPolicy(
            asker=self._me, observation=observation, action=action, arguments=dict(arguments or {}), speech=speech
        )
        data = encode(asked)
        decode(data, CheckPolicy)  # what the service would pass over is refused here
        answered: asyncio.Future[PolicyChecked] = asyncio.get_running_loop().create_future()
        self._waiting[observation.id] = answered
        try:
            async with asyncio.timeout(within_s):
                while True:
                    await self._nc.publish(ids.check_subject(), data)
                    if (await asyncio.wait((answered,), timeout=ASK_EVERY_S))[0]:
                        return answered.result()
        except TimeoutError:
            why = f"nobody who decides for {observation.game}/{observation.npc} answered within {within_s:g} s"
            raise Unavailable(what="the policy", why=why) from None
        finally:
            self._waiting.pop(observation.id, None)

    async def _on_checked(self, msg: Msg) -> None:
        said = decode(msg.data, PolicyChecked)
        waiting = self._waiting.get(said.decision)
        if waiting and not waiting.done():
            waiting.set_result(said)


@asynccontextmanager
async def connect(broker: Broker | str) -> AsyncIterator[Policy]:
    """Connects somebody who asks, with the user and password of the address or of the settings."""
    if isinstance(broker, str):
        parts = urlsplit(broker)
        broker = Broker(url=broker, user=parts.username or PROMPTS, password=parts.password or "")
    nc = await connect_to_broker(broker, PROMPTS, on_closed=lambda: None)
    try:
        yield await Policy(nc).start()
    finally:
        await close(nc)
