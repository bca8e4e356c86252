"""The reward service with the simplest way of acknowledging, for the harness to find: whatever became of a batch, it is done.

It is run in place of `services.reward`; nothing there knows of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from hearthmind.bus.bulk import acknowledge_all
from hearthmind.bus.consume import Delivery
from hearthmind.flow import Consumer
from hearthmind.store.engine import transaction
from services.reward import app
from services.reward.handlers import Done, Handlers
from services.reward.reading import readable_of
from services.reward.transaction import store


class Careless(Handlers):
    """Stores a batch once, and acknowledges it."""

    async def _work_on(self, deliveries: Sequence[Delivery], consumer: Consumer) -> None:
        batch, _ = readable_of(deliveries)
        try:
            async with transaction(self._engine) as connection:
                await store(connection, batch)
            await self._confirm([Done(each, None) for each in batch])
        finally:
            await acknowledge_all(self._nc, deliveries)


if __name__ == "__main__":
    vars(app).update(Handlers=Careless)
    app.main()
