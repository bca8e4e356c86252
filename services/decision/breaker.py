"""Is a pool worth asking? One that gives no answer that can be used is left alone, and comes back by and by.

The law: while a pool is silent nobody waits for it. It is asked as long as usable answers come; `silent_s` after the first
question since the last of them it is left alone, and its NPCs are scripted at once. Then one question at a time goes out as a
probe, whose NPC has its action already. A probe that is answered opens the way again: for two questions, and for two more
with every answer, so that a worker that has just come up is not trampled.

Answers come over the same line as everything else. Where this process is behind with what it hears, they are not late but
unheard, and the pool is given as much longer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

PROBE_MAX_S = 30.0
"""So long is a probe's answer waited for at most."""
PATIENCE = 3.0
"""A pool is silent when it has said nothing for so many times what its answers usually take."""
SMOOTHING = 0.2
BEHIND_MAX_S = 10.0
RAMP = 64
"""After so many answers a pool that has come back is asked as before."""
PER_ANSWER = 2


@dataclass(slots=True)
class Breaker:
    """What is known of one pool; shared by all partitions of a process."""

    pool: str
    silent_s: float
    rest_s: float = 0.5
    """Between two probes."""
    _asked_s: float | None = None
    """The first question since the last usable answer."""
    _under_way: int = 0
    _usual_s: float = 0.0
    _caught_up_s: float = 0.0
    """When what was in the line by then has been heard."""
    _is_silent: bool = False
    _ramp: int = RAMP
    """Answers since it has come back."""
    _granted: int = 0
    """Questions that may still be asked while it comes back."""
    silences: int = 0
    """How often it has fallen silent."""
    _probe: object | None = None
    _probe_ends_s: float = 0.0

    @property
    def is_silent(self) -> bool:
        """Whether the pool is left alone."""
        return self._is_silent

    @property
    def wakes_s(self) -> float | None:
        """When the pool falls silent, if nothing comes until then."""
        if self._asked_s is None or self._is_silent:
            return None
        due_s = self._asked_s + self._patience_s
        return max(due_s, (due_s + self._caught_up_s) / 2)

    def refuses(self, now_s: float) -> str:
        """Why the pool is not asked and waited for now; empty where it is."""
        self.ticked(now_s)
        if self._is_silent:
            return f"the pool is silent: {self.pool} gave no usable answer for {self._patience_s:.3g} s"
        if self._ramp < RAMP and self._granted <= 0:
            return f"the pool is silent: {self.pool} is coming back"
        return ""

    def ticked(self, now_s: float) -> None:
        """Time passed."""
        if (wakes_s := self.wakes_s) is not None and now_s >= wakes_s:
            self._is_silent = True
            self.silences += 1
            self._asked_s = None
            self._probe_ends_s = now_s

    def behind(self, caught_up_s: float) -> None:
        """This process will have heard by then what waits in its line now."""
        self._caught_up_s = max(self._caught_up_s, caught_up_s)

    def asked(self, now_s: float) -> None:
        """A question goes out, and its NPC waits."""
        self._under_way += 1
        if self._asked_s is None:
            self._asked_s = now_s
        if self._ramp < RAMP:
            self._granted -= 1

    def over(self, *, withdrawn: bool = False) -> None:
        """A question is over; where the last one was withdrawn, the pool owes no answer any more."""
        self._under_way = max(0, self._under_way - 1)
        if withdrawn and not self._under_way:
            self._asked_s = None

    def answered(self, took_s: float) -> None:
        """A usable answer came: legible and legal."""
        self._usual_s = took_s if not self._usual_s else self._usual_s + SMOOTHING * (took_s - self._usual_s)
        self._asked_s = None
        if self._is_silent:
            self._is_silent, self._ramp, self._granted, self._probe = False, 0, 0, None
        if self._ramp < RAMP:
            self._ramp += 1
            self._granted += PER_ANSWER

    # ---- probes ----------------------------------------------------------------------------------------------------

    def probes(self, question: object, deadline_s: float, now_s: float) -> bool:
        """Whether this question goes out as the probe; its NPC does not wait for it."""
        if not self._is_silent or now_s < self._probe_ends_s:
            return False
        self._probe, self._probe_ends_s = question, min(deadline_s, now_s + PROBE_MAX_S)
        return True

    @property
    def probe(self) -> object | None:
        """The question by whose answer the pool is judged."""
        return self._probe

    def probe_failed(self, now_s: float) -> None:
        """The probe was refused, or its answer was of no use."""
        self._probe, self._probe_ends_s = None, now_s + self.rest_s

    @property
    def _patience_s(self) -> float:
        return max(self.silent_s, PATIENCE * self._usual_s)


@dataclass
class Breakers:
    """One for each pool."""

    silent_s: float = 3.0
    _of: dict[str, Breaker] = field(default_factory=dict)

    def of(self, pool: str) -> Breaker:
        """The breaker of a pool."""
        return self._of.get(pool) or self._of.setdefault(pool, Breaker(pool, self.silent_s))

    def ticked(self, now_s: float) -> list[Breaker]:
        """Those that are silent now."""
        for breaker in self._of.values():
            breaker.ticked(now_s)
        return [breaker for breaker in self._of.values() if breaker.is_silent]

    def behind(self, late_s: float, now_s: float) -> None:
        """Something was heard so late."""
        for breaker in self._of.values():
            breaker.behind(now_s + min(late_s, BEHIND_MAX_S))

    @property
    def wakes_s(self) -> float | None:
        """When the next pool falls silent, if nothing comes until then."""
        return min((one.wakes_s for one in self._of.values() if one.wakes_s is not None), default=None)

    @property
    def probed(self) -> list[Breaker]:
        """Those of which a probe is under way."""
        return [breaker for breaker in self._of.values() if breaker.probe is not None]
