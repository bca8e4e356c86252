"""`policy.check`: whether an action would pass, for tools and services of the platform. Nothing comes of it but the answer.

Every process hears each question, and only the one that owns the NPC's partition answers: it alone knows what the NPC did of
late.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from hearthmind import ids, legal
from hearthmind.bus.connect import Connection, Msg
from hearthmind.bus.wire import decode, encode
from hearthmind.contracts.inference import Answer
from hearthmind.contracts.policy import CheckPolicy, PolicyChecked
from hearthmind.errors import HearthmindError
from services.decision.history import History
from services.decision.policy import Policy

log = logging.getLogger("hearthmind.decision")

ILLEGAL = "illegal"
"""What is said instead of a rule's name where the action is not legal at all."""


def checked(asked: CheckPolicy, policy: Policy, history: History, now_s: float) -> PolicyChecked:
    """What the policy says to it: whether it is legal comes first."""
    seen = asked.observation
    answer = Answer(action=asked.action, arguments=asked.arguments, speech=asked.speech)
    rule = why = None
    if wrong := legal.problem(seen, asked.action, asked.arguments):
        rule, why = ILLEGAL, wrong
    elif broken := policy.check(seen, answer, history, now_s):
        rule, why = broken.rule, broken.why
    return PolicyChecked(
        decision=seen.id, game=seen.game, npc=seen.npc, passes=rule is None, rule=rule, why=(why or "")[:2_000]
    )


def partition_of(game: str, npc: str, partitions: int) -> int:
    """The partition of an NPC, as the broker computes it: FNV-1a of both names."""
    mixed = 0x811C9DC5
    for byte in f"{game}{npc}".encode():
        mixed = (mixed ^ byte) * 0x01000193 & 0xFFFFFFFF
    return mixed % partitions


class Checking:
    """Answers over the bus. `history_of` says what an NPC of a partition did, or None where the partition is not ours."""

    def __init__(
        self, nc: Connection, policy: Policy, partitions: int, history_of: Callable[[int, str, str], History | None]
    ) -> None:
        self._nc = nc
        self._policy = policy
        self._partitions = partitions
        self._history_of = history_of

    async def start(self) -> None:
        """Begins to listen."""
        await self._nc.subscribe(ids.check_subject(), cb=self._on_check)

    async def _on_check(self, msg: Msg) -> None:
        try:
            asked = decode(msg.data, CheckPolicy)
        except HearthmindError as error:
            log.warning("a question to the policy is passed over: %s", error)
            return
        seen = asked.observation
        number = partition_of(seen.game, seen.npc, self._partitions)
        history = self._history_of(number, seen.game, seen.npc)
        if history is not None:
            said = checked(asked, self._policy, history, time.monotonic())
            await self._nc.publish(ids.checked_subject(asked.asker), encode(said))
