"""How quick the engine is, learned from what it did: a guess at how long a request will take.

The law: a guess lies within what was seen of late; it leans to the quick side, since a request that is refused wrongly is lost
and one that is started wrongly only costs time; what it remembers is bounded and soon forgotten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from hearthmind.contracts.inference import Infer

SEEN_MAX = 64
SEEN_FOR_S = 30.0
"""An engine that stood still for a moment is not slow for long."""
SEEN_MIN = 8
"""From fewer nothing is concluded."""
CHARACTERS_A_TOKEN = 4
READ_A_WRITTEN = 16
"""Reading so many tokens takes about as long as writing one: engines read many at once."""


@dataclass
class Speed:
    """What the engine did of late: seconds for each unit of work, told apart by how much ran beside it."""

    _paces: dict[int, deque[tuple[float, float]]] = field(default_factory=dict)
    _written: deque[int] = field(default_factory=lambda: deque(maxlen=SEEN_MAX))
    _took_s: deque[float] = field(default_factory=lambda: deque(maxlen=SEEN_MAX))

    def finished(self, running: int, now_s: float, took_s: float, tokens_in: int, tokens_out: int) -> None:
        """A request was answered, with so many running when it began."""
        self._written.append(tokens_out)
        self._took_s.append(took_s)
        self._saw(running, now_s, took_s / _work(tokens_in, tokens_out))

    def broke_off(self, infer: Infer, running: int, now_s: float, took_s: float) -> None:
        """A request was not finished after all that time: a lesson where it should have been."""
        if took_s > self.guess_s(infer, running, now_s):
            self._saw(running, now_s, took_s / self._work_of(infer))

    def guess_s(self, infer: Infer, running: int, now_s: float) -> float:
        """How long a request will take at least, beside so many others; 0 where too little is known."""
        seen = self._recent(_load(running), now_s)
        return _quick(seen) * self._work_of(infer) if len(seen) >= SEEN_MIN else 0.0

    @property
    def usual_s(self) -> float:
        """How long a request took of late, half of them longer; 0 where nothing is known."""
        return sorted(self._took_s)[len(self._took_s) // 2] if self._took_s else 0.0

    def _saw(self, running: int, now_s: float, pace: float) -> None:
        self._paces.setdefault(_load(running), deque(maxlen=SEEN_MAX)).append((now_s, pace))

    def _recent(self, load: int, now_s: float) -> list[float]:
        seen = self._paces.get(load, ())
        return [pace for at_s, pace in seen if now_s - at_s <= SEEN_FOR_S]

    def _work_of(self, infer: Infer) -> float:
        tokens_in = sum(len(turn.text) for turn in infer.prompt) // CHARACTERS_A_TOKEN
        tokens_out = _quick(self._written) if self._written else 1
        return _work(tokens_in, min(tokens_out, infer.sampling.tokens_max))


def _load(running: int) -> int:
    """Engines slow down little by little: 8 to 15 at once count as one load, and so do 16 to 31."""
    return running.bit_length()


def _work(tokens_in: float, tokens_out: float) -> float:
    return 1 + tokens_out + tokens_in / READ_A_WRITTEN


def _quick(seen: Sequence[float]) -> float:
    """What three in four were at least."""
    return sorted(seen)[len(seen) // 4]
