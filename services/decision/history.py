"""What NPCs did of late: what rules about rates, repetitions and loops are held against. Bounded per NPC and in all."""

from __future__ import annotations

import zlib
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Observation
from hearthmind.contracts.wire import Fact

NPCS_MAX = 20_000
"""More than a process decides for; of those that did nothing for longest, nothing is kept beyond."""

_sorted = msgspec.json.Encoder(order="sorted")


class Deed(NamedTuple):
    """Something that was done, as short as it can be kept."""

    at_s: float
    kind: str
    action: str
    arguments: int
    state: int


NO_DEED = Deed(0.0, "", "", 0, 0)


class History:
    """The deeds of one NPC, the oldest first, and how often it did the last one in a row."""

    __slots__ = ("deeds", "in_a_row")

    def __init__(self, remembered: int) -> None:
        self.deeds: deque[Deed] = deque(maxlen=remembered)
        self.in_a_row = 0

    def did(self, observation: Observation, answer: Answer, now_s: float) -> None:
        """It did this."""
        deed = deed_of(observation, answer, now_s)
        last = self.deeds[-1] if self.deeds else None
        self.in_a_row = self.in_a_row + 1 if last and last.action == deed.action else 1
        self.deeds.append(deed)


class Histories:
    """The history of each NPC."""

    def __init__(self, remembered: int, npcs_max: int = NPCS_MAX) -> None:
        self._remembered = remembered
        self._npcs_max = npcs_max
        self._of: OrderedDict[tuple[str, str], History] = OrderedDict()

    def __len__(self) -> int:
        return len(self._of)

    def of(self, game: str, npc: str) -> History:
        """That of one NPC."""
        key = (game, npc)
        history = self._of.get(key)
        if history is None:
            history = self._of[key] = History(self._remembered)
            if len(self._of) > self._npcs_max:
                self._of.popitem(last=False)
        else:
            self._of.move_to_end(key)
        return history


def deed_of(observation: Observation, answer: Answer, now_s: float) -> Deed:
    """What is kept of an answer once it is done."""
    return Deed(now_s, observation.kind, answer.action, _digest(answer.arguments), zlib.crc32(observation.state))


def _digest(arguments: Mapping[str, Fact]) -> int:
    return zlib.crc32(_sorted.encode(arguments)) if arguments else 0
