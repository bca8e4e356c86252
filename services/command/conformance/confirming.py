"""Which outcomes are confirmed, and when: the first few only once they have come again. Pure.

The law: an outcome is confirmed each time it comes, but for the few that are held back; and those are held back for
`SENT_AGAIN_WITHIN_S` at most.
"""

from __future__ import annotations

from services.command.conformance.acts import Act
from services.command.conformance.findings import Findings, Noted
from services.command.conformance.rules import Asked

HELD_BACK_MAX = 3
SENT_AGAIN_WITHIN_S = 10.0


class Confirming:
    """The act of confirming late, and the ordinary confirmations."""

    def __init__(self, act: Act, findings: Findings) -> None:
        self._act = act
        self._findings = findings
        self._held: dict[str, Asked] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether an outcome still has to come again."""
        return self._act.state == "running"

    def reported(self, asked: Asked, now_s: float) -> tuple[str, ...]:
        """An outcome came; the decisions that are confirmed now."""
        decision = asked.observation.id
        if self._act.state == "waiting":
            self._act.state = "running"
        if self.is_waiting and (decision in self._held or len(self._held) < HELD_BACK_MAX):
            self._held[decision] = asked
            if not asked.heard_again:
                return ()
            self._act.state = "passed"
            return self._let_go(now_s)
        _confirm(asked, now_s)
        return (decision,)

    def waited(self, now_s: float) -> tuple[str, ...]:
        """The time is over; the decisions that are confirmed all the same."""
        if not self.is_waiting:
            return ()
        first = next(iter(self._held.values()))
        is_swallowed = any(asked.sent_again for asked in self._held.values())
        name = "sent-again-under-same-id" if is_swallowed else self._act.mistake
        said = f"not one of {len(self._held)} came again within {SENT_AGAIN_WITHIN_S:g} s"
        self._act.fail(f"{name}: {said}")
        self._findings.add(Noted(name, said), first.outcome_data.decode(errors="replace"))
        return self._let_go(now_s)

    def _let_go(self, now_s: float) -> tuple[str, ...]:
        for asked in self._held.values():
            _confirm(asked, now_s)
        return tuple(self._held)


def _confirm(asked: Asked, now_s: float) -> None:
    """The first time counts."""
    if asked.confirmed_s is None:
        asked.confirmed_s = now_s
