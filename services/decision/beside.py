"""What a decision service hears beside observations and answers: what came of deeds, what others lived through, who is frozen.

The law: no decision ever waits for any of it. What is missed is missed, but for the bucket MINDS, of which every process has a
copy.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping

from hearthmind import ids
from hearthmind.bus.clock import BrokerClock
from hearthmind.bus.connect import Connection, Msg
from hearthmind.bus.registry import Registry
from hearthmind.bus.wire import decode, encode
from hearthmind.contracts.memory import Recall, Recalled
from hearthmind.contracts.outcome import OutcomeObserved, OutcomesStored
from hearthmind.errors import HearthmindError
from hearthmind.flow import MINDS
from services.decision.checking import Checking
from services.decision.deciding import House
from services.decision.history import History
from services.decision.machine import Partition

LOOK_WITHIN_S = 0.25
"""So long a partition's observations wait at most for the freezes of its NPCs to be read."""

log = logging.getLogger("hearthmind.decision")


class Beside:
    """Tells the partitions of this process."""

    def __init__(
        self, nc: Connection, clock: BrokerClock, house: House, partitions: Mapping[int, Partition], number: int
    ) -> None:
        self._nc = nc
        self._clock = clock
        self._house = house
        self._partitions = partitions
        self._minds = Registry(nc, self._on_mind, MINDS, "ban.")
        self._checking = Checking(nc, house.policy, number, self._history_of)

    async def start(self) -> None:
        """Begins to listen."""
        await self._nc.subscribe(ids.outcome_subject("*", "*"), cb=self._on_outcome, pending_msgs_limit=200_000)
        await self._nc.subscribe(ids.stored_subject("*"), cb=self._on_stored)
        await self._checking.start()
        await self._minds.start()

    async def keep_fresh(self) -> None:
        """Reads the bucket again from time to time."""
        await self._minds.keep_fresh()

    async def look_again(self) -> None:
        """Reads the bucket now: whoever had a partition before may have frozen somebody."""
        await self._minds.look_again(LOOK_WITHIN_S)

    async def recall(self, recalls: Iterable[Recall]) -> None:
        """Asks what NPCs lived through; nobody waits for it."""
        for recall in recalls:
            await self._nc.publish(ids.recall_subject(), encode(recall))

    async def frozen(self, key: str, value: bytes) -> None:
        """Tells other processes, and oneself after a restart, of a freeze."""
        ttl = {"Nats-TTL": str(max(1, round(self._house.policy.freeze_s)))}
        await self._nc.publish(f"$KV.{MINDS}.{key}", value, headers=ttl)

    async def on_recalled(self, msg: Msg) -> None:
        """The past of an NPC."""
        partition = self._partitions.get(int(msg.subject.rpartition(".")[2]))
        try:
            memory = decode(msg.data, Recalled)
        except HearthmindError as error:
            log.warning("a memory is passed over: %s", error)
            return
        if partition:
            partition.lives.recalled(memory)

    async def _on_outcome(self, msg: Msg) -> None:
        """Read only where the NPC is known here: of all others another process hears it too."""
        _, game, _, npc = msg.subject.split(".")
        for partition in self._partitions.values():
            if partition.lives.knows(game, npc):
                try:
                    partition.lives.heard(decode(msg.data, OutcomeObserved))
                except HearthmindError as error:
                    log.debug("an outcome is passed over: %s", error)
                return

    async def _on_stored(self, msg: Msg) -> None:
        """What deeds were worth; whose they are, only their partition knows. Read only where somebody has habits."""
        habits = [each.lives.habits for each in self._partitions.values() if each.lives.habits.awaits_value]
        if not habits:
            return
        try:
            stored = decode(msg.data, OutcomesStored)
        except HearthmindError as error:
            log.debug("a confirmation is passed over: %s", error)
            return
        for each in habits:
            for decision, reward in stored.rewards.items():
                each.valued(stored.game, decision, reward)

    def _on_mind(self, key: str) -> None:
        self._house.standing.heard(key, self._minds.get(key) or b"", self._clock.broker_s(time.monotonic()))

    def _history_of(self, number: int, game: str, npc: str) -> History | None:
        partition = self._partitions.get(number)
        return partition.lives.histories.of(game, npc) if partition else None
