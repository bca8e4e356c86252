"""Who struck whom, and who offered what to whom, so that a deed can say which earlier one it answers.

A blow is struck back for once: by the first party that the victim sends against the attacker afterwards.
"""

from __future__ import annotations

from collections import deque

from .events import Answered, Battle
from .rules import DAY_H

REMEMBERED_H = 2 * DAY_H
REMEMBERED_MAX = 8
"""Blows by one player against another."""


class Grudges:
    """The blows that nobody has struck back for yet, and the offers of this hour."""

    def __init__(self) -> None:
        self._blows: dict[tuple[int, int], deque[tuple[int, str]]] = {}
        self._offers: dict[tuple[int, int], str] = {}

    def strike(self, battle: Battle, decision: str, turn: int) -> tuple[str, ...]:
        """Notes a blow; returns the decisions behind those that it strikes back for."""
        if battle.owner < 0:
            return ()
        suffered = self._blows.get((battle.owner, battle.player), deque())
        answered = tuple(
            blow for struck, blow in suffered if struck <= battle.sent and struck > battle.sent - REMEMBERED_H
        )
        while suffered and suffered[0][0] <= battle.sent:
            suffered.popleft()
        dealt = self._blows.setdefault((battle.player, battle.owner), deque(maxlen=REMEMBERED_MAX))
        dealt.append((turn, decision))
        return answered

    def offer(self, answered: Answered, decision: str) -> None:
        """Notes the decision behind an offer that is answered in this hour."""
        self._offers[answered.maker, answered.to] = decision

    def offered(self, answered: Answered) -> tuple[str, ...]:
        """The decision behind the offer that somebody answers."""
        decision = self._offers.pop((answered.maker, answered.to), None)
        return (decision,) if decision else ()
