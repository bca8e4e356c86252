"""The reward service with the framework's own way of acknowledging, for the harness to find: an error terminates a batch.

It is run in place of `services.reward`; nothing there knows of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

from faststream import AckPolicy
from nats.aio.msg import Msg

from hearthmind.bus.consume import Delivery
from hearthmind.flow import Consumer
from hearthmind.store.engine import transaction
from services.reward import app
from services.reward.handlers import Handlers
from services.reward.reading import readable_of
from services.reward.transaction import store


class Careless(Handlers):
    """Stores a batch and leaves errors and acknowledging to the framework."""

    async def on_experience(self, messages: Sequence[Msg], consumer: Consumer) -> None:
        batch, _ = readable_of([Delivery(self._nc, message, consumer.deliveries_max) for message in messages])
        async with transaction(self._engine) as connection:
            await store(connection, batch)
        await self._confirm(batch)


if __name__ == "__main__":
    vars(app).update(Handlers=Careless, AckPolicy=SimpleNamespace(MANUAL=AckPolicy.REJECT_ON_ERROR))
    app.main()
