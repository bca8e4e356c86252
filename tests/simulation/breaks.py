"""The laws broken on purpose, from outside: each takes one safeguard away, and the simulator has to find it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.inference import Inferred
from hearthmind.contracts.observation import Observation
from hearthmind.referee import Execute, Referee, Verdict
from hearthmind.store.engine import Connection
from hearthmind.store.rows import Key
from services.decision.effects import Act, Effect
from services.decision.machine import Partition
from services.reward.reading import Incoming, readable_of

from .database import Database
from .decider import Decider
from .life import REAL, Parts
from .rewarder import Rewarder, Settled
from .streams import Ack, Delivered


class AnyAttempt(Partition):
    """Takes an answer for an answer, whichever attempt has asked."""

    def replied(self, reply: Inferred, now_s: float) -> list[Effect]:
        waiting = self._waiting.of((reply.game, reply.npc, reply.decision))
        attempt = waiting.asked if waiting else reply.attempt
        return super().replied(msgspec.structs.replace(reply, attempt=attempt), now_s)


class NoReferee(Referee):
    """Has the game execute each action that is heard; only where none is, the fallback."""

    def __init__(self) -> None:
        super().__init__()
        self._all: dict[str, Observation] = {}

    def observed(self, observation: Observation, now_s: float) -> list[Verdict]:
        self._all[observation.id] = observation
        return super().observed(observation, now_s)

    def chosen(self, action: ActionChosen, now_s: float) -> list[Verdict]:
        observation = self._all.get(action.decision)
        if observation is None:
            return []
        if action.decision in self._waiting:
            return [self._execute(observation, action, now_s)]
        return [Execute(observation, action, now_s)]


class AnyDetail(Decider):
    """Tells its own detail, whoever's action counts."""

    def acted(self, effect: Act, ack: Ack | None) -> None:
        if ack and not ack.refused:
            self.send_detail(effect, effect.detail)


class NoInbox(Database):
    """Takes each message for one that was never seen before."""

    async def claim(self, connection: Connection, ids: Iterable[Key]) -> set[str]:
        await super().claim(connection, wanted := list(ids))
        return {message_id for _, message_id in wanted}


class AcknowledgesFirst(Rewarder):
    """Acknowledges what it reads, and stores it then."""

    def work_on(self, batch: list[Delivered]) -> None:
        readable, settled = readable_of(batch)
        self.settle([*settled, *((delivery, None) for delivery in batch)])
        self._store(readable, lambda _, stored: self._stored([], [], stored))


class ConfirmsFirst(Rewarder):
    """Tells the game that its outcomes are stored, and stores them then."""

    def _store(
        self, batch: Sequence[Incoming], then: Callable[[Settled, list[Incoming]], None], pause_s: float = 0.0
    ) -> None:
        self.confirm(batch)
        super()._store(batch, then, pause_s)


BREAKS = {
    "attempt": (Parts(partition=AnyAttempt), {"attempt"}),
    "referee": (Parts(referee=NoReferee), {"one action", "legal", "in time", "newest"}),
    "detail": (Parts(decider=AnyDetail), {"one record"}),
    "inbox": (Parts(database=NoInbox), {"one experience", "nothing lost", "comes to rest"}),
    "acknowledge": (Parts(rewarder=AcknowledgesFirst), {"nothing lost"}),
    "confirm": (Parts(rewarder=ConfirmsFirst), {"confirmed"}),
}
"""What is taken away, and the laws that are broken then."""


def parts_of(broken: str | None) -> Parts:
    """The parts with this safeguard taken away; without a name, the real ones."""
    return BREAKS[broken][0] if broken else REAL
