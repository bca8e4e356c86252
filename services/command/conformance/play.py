"""The platform's part as a machine without I/O: (what the game said, now) → what the platform does.

The law: every observation that can be read is answered once, at once, unless the act that is on wants it otherwise; and
when the last act is done, or the time is over, the play ends by itself.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from functools import partial

from hearthmind.contracts.outcome import PLATFORM
from services.command.conformance.acts import (
    AGAIN,
    AT_ONCE,
    AWAY,
    FUTURE,
    LATE,
    NOTHING,
    SILENT,
    UNCONFIRMED,
    UNREPORTED,
    Act,
    all_acts,
)
from services.command.conformance.confirming import SENT_AGAIN_WITHIN_S, Confirming
from services.command.conformance.effects import Confirm, Cut, Effect, Say
from services.command.conformance.findings import Findings, Noted
from services.command.conformance.ledger import Ledger
from services.command.conformance.mistakes import ERROR, MISTAKES
from services.command.conformance.reading import Said
from services.command.conformance.rules import Asked
from services.command.conformance.treatments import GRACE_S, LATE_BY_S, PRESENT, at_once, rescue, unfit
from services.command.conformance.trying import TRYING_SHARE, Trying

BACK_WITHIN_S = 10.0
FINISH_WITHIN_S = 5.0
LINGER_S = 0.3
"""At the end, so long for what should not come."""
QUIET_S = 15.0
"""A game that says nothing for so long after its last deadline says nothing more."""
UNREADABLE_MAX = 20
"""So many messages that can't be read, and none that can, are enough to see."""

BLAMED = {"late-executed": LATE, "second-executed": AGAIN, "outdated-executed": AGAIN}
"""The acts that lead to these mistakes, whichever decision they are seen at."""


class Play:
    """One check of one game, from its first word to the last."""

    def __init__(self, game: str, seconds: float) -> None:
        self.findings = Findings()
        self.ledger = Ledger(game, self.findings)
        self.acts = all_acts()
        self.seconds = seconds
        self.began_s: float | None = None
        self.back_s: float | None = None
        self.trying = Trying(self.acts[AT_ONCE])
        self.is_over = False
        self._heard_s = self._last_deadline_s = 0.0
        self._alarms: list[tuple[float, int, Callable[[float], list[Effect]]]] = []
        self._alarms_set = 0
        self._confirming = Confirming(self.acts[UNCONFIRMED], self.findings)
        self.owed: list[Asked] | None = None
        """At the end, the decisions whose outcomes are waited for."""
        self._finishing_s: float | None = None

    @property
    def wakes_s(self) -> float | None:
        """When `ticked` has something to do next."""
        return self._alarms[0][0] if self._alarms else None

    @property
    def current(self) -> Act | None:
        """The act that is on."""
        return next((act for act in self.acts.values() if act.name != UNCONFIRMED and not act.is_done), None)

    def left_s(self, now_s: float) -> float:
        """How much of the time is left; it runs from the game's first word."""
        return self.seconds - (now_s - self.began_s if self.began_s is not None else 0.0)

    # ---- what happens ----------------------------------------------------------------------------------------------

    def heard(self, said: Said, now_s: float) -> list[Effect]:
        """The game said something."""
        if self.began_s is None:
            self._begin(now_s)
        self._heard_s = now_s
        if said.subject.split(".")[2] == "outcome":
            effects = self._on_outcome(said, now_s)
        else:
            asked = self.ledger.observed(said, now_s)
            effects = self._on_asked(asked, now_s) if asked else []
        return self._go_on(effects, now_s)

    def answered(self, asked: Asked, now_s: float) -> None:
        """The action that counts is on its way for certain."""
        asked.answered_s = now_s

    def back(self, now_s: float) -> list[Effect]:
        """The broker runs again, and we hear."""
        self.back_s = self._heard_s = now_s
        self._at(max(now_s, self._last_deadline_s) + BACK_WITHIN_S, self._not_back)
        return []

    def ticked(self, now_s: float) -> list[Effect]:
        """Time passed."""
        effects: list[Effect] = []
        while self._alarms and self._alarms[0][0] <= now_s:
            _, _, ring = heapq.heappop(self._alarms)
            effects += ring(now_s)
        return self._go_on(effects, now_s)

    def _begin(self, now_s: float) -> None:
        self.began_s = now_s
        self._at(now_s + self.seconds * TRYING_SHARE, _nothing)
        self._at(now_s + self.seconds, _nothing)

    def _at(self, when_s: float, ring: Callable[[float], list[Effect]]) -> None:
        self._alarms_set += 1
        heapq.heappush(self._alarms, (when_s, self._alarms_set, ring))

    def _said(self, said: Iterable[Say], now_s: float) -> list[Effect]:
        """What is to be said now; the rest at its time."""
        due: list[Effect] = []
        for each in said:
            if each.at_s > now_s:
                self._at(each.at_s, partial(_later, each))
            else:
                due.append(each)
        return due

    # ---- observations ----------------------------------------------------------------------------------------------

    def _on_asked(self, asked: Asked, now_s: float) -> list[Effect]:
        self._last_deadline_s = max(self._last_deadline_s, asked.deadline_s)
        self.trying.looked(self.ledger.coverage.look(asked.observation))
        act = self.current
        if act is None or act.name == AT_ONCE or act.is_open:
            return self._answer_at_once(asked, now_s)
        if act.name == AWAY and self.back_s is None:
            asked.excused = True
            return self._answer_at_once(asked, now_s)
        if why := unfit(act.name, asked, self.left_s(now_s)):
            act.pass_over(why)
            return self._answer_at_once(asked, now_s)
        act.begin(asked.observation.id)
        self._at(asked.deadline_s + GRACE_S, lambda now_s: self._give_up(act, asked, now_s))
        if act.name == LATE:
            self._at(asked.deadline_s + LATE_BY_S, lambda _: self._late_was_said(act, asked))
        return self._said(PRESENT[act.name](asked, self.ledger), now_s)

    def _answer_at_once(self, asked: Asked, now_s: float) -> list[Effect]:
        self.trying.answered(asked)
        return self._said(at_once(asked, self.ledger), now_s)

    def _late_was_said(self, act: Act, asked: Asked) -> list[Effect]:
        if asked.outcome:
            act.ended(asked.observation.id, self.trying.whose(asked))
        return []

    def _give_up(self, act: Act, asked: Asked, now_s: float) -> list[Effect]:
        """The act goes on without the outcome; an NPC that stands still is set going again."""
        decision = asked.observation.id
        if asked.outcome or act.cases.get(decision) != "":
            return []
        if asked.replaced_s is not None and asked.replaced_s < asked.deadline_s:
            act.void(decision, "each observation was replaced by a newer one before its deadline")
            return []
        stands_still = self.ledger.spoke_s[asked.observation.npc] < asked.deadline_s
        had_to_come = act.name in {SILENT, FUTURE} and not asked.garbled
        act.ended(decision, UNREPORTED if had_to_come else NOTHING)
        if act.name == LATE and not stands_still:
            act.state = "passed"  # what should not be executed was not
        if had_to_come and stands_still:
            return self._said([rescue(asked, self.ledger)], now_s)
        return []

    # ---- outcomes --------------------------------------------------------------------------------------------------

    def _on_outcome(self, said: Said, now_s: float) -> list[Effect]:
        asked = self.ledger.reported(said, now_s)
        if asked is None:
            return []
        act = next((act for act in self.acts.values() if asked.observation.id in act.cases), None)
        if self.ledger.is_first:
            self._on_first(act, asked)
        for noted in self.ledger.noted:
            blamed = self.acts[BLAMED[noted.mistake]] if noted.mistake in BLAMED else act
            if blamed and MISTAKES[noted.mistake].level == ERROR:
                blamed.fail(f"{noted.mistake}: {noted.says}")
        return self._confirm(asked, now_s)

    def _on_first(self, act: Act | None, asked: Asked) -> None:
        self.trying.reported(asked)
        by = self.trying.whose(asked)
        if act is None or (act.name == LATE and asked.outcome_s < asked.deadline_s + LATE_BY_S):
            return  # what is late is still to be said
        if asked.excused and by == PLATFORM:
            self._on_rescued(act, asked)
        else:
            act.ended(asked.observation.id, by)

    def _on_rescued(self, act: Act, asked: Asked) -> None:
        if act.name == SILENT:
            act.fail("the game stood still until an action came")
            noted = Noted("stands-still", f"{asked.observation.npc} waited for the answer to {asked.observation.id}")
            self.findings.add(noted, asked.outcome_data.decode(errors="replace"))

    def _confirm(self, asked: Asked, now_s: float) -> list[Effect]:
        is_first = self.acts[UNCONFIRMED].state == "waiting"
        decisions = self._confirming.reported(asked, now_s)
        if is_first and self._confirming.is_waiting:
            self._at(now_s + SENT_AGAIN_WITHIN_S, lambda now_s: _confirm(self._confirming.waited(now_s)))
        return _confirm(decisions)

    # ---- from act to act -------------------------------------------------------------------------------------------

    def _go_on(self, effects: list[Effect], now_s: float) -> list[Effect]:
        self._try_enough(now_s)
        act = self.current
        if act and act.name == AWAY and act.state == "waiting":
            act.state = "running"
            effects = [*effects, *self._go_away()]
        elif act is None and self._finishing_s is None and not self._confirming.is_waiting:
            self._finishing_s = now_s
            self.owed = [asked for asked in self.ledger.asked.values() if asked.is_owed]
            self._at(now_s + LINGER_S, _nothing)
            self._at(now_s + FINISH_WITHIN_S, _nothing)
        self.is_over = self.is_over or self._has_ended(now_s)
        return effects

    def _try_enough(self, now_s: float) -> None:
        act, counts = self.acts[AT_ONCE], self.ledger.counts
        left = self.left_s(now_s) / self.seconds
        if act.is_done or self.began_s is None or not self.trying.is_enough(left):
            return
        has_reported = counts.outcomes + counts.garbled > 0
        if self.trying.executed or self.trying.mislabels:
            act.state = "passed"
        elif left <= 1 - TRYING_SHARE or (has_reported and now_s > self.began_s + GRACE_S):
            self._tried_in_vain(act)

    def _tried_in_vain(self, act: Act) -> None:
        """Nothing was executed as it was chosen; without any outcome there is nothing to see in the other acts either."""
        if self.ledger.counts.outcomes:
            act.fail("none was executed as it was chosen")
            return
        for each in self.acts.values():
            each.leave_out("no outcome can be read, or none came")

    def _go_away(self) -> list[Effect]:
        self.ledger.was_away = True
        for asked in self.ledger.asked.values():
            asked.excused = asked.excused or asked.outcome is None
        return [Cut()]

    def _not_back(self, _now_s: float) -> list[Effect]:
        act = self.acts[AWAY]
        if act.state == "running" and not act.cases:
            act.fail(f"nothing was heard of it within {BACK_WITHIN_S:g} s")
            self.findings.add(Noted("not-back", act.why))
        return []

    def _has_ended(self, now_s: float) -> bool:
        counts = self.ledger.counts
        if self.began_s is None:
            return False
        if self._finishing_s is not None and now_s >= self._finishing_s + LINGER_S:
            may_come = counts.outcomes and now_s < self._finishing_s + FINISH_WITHIN_S
            if not (may_come and any(asked.is_owed for asked in self.owed or ())):
                return True
        quiet = now_s - max(self._heard_s, self._last_deadline_s) > QUIET_S
        unreadable = counts.refused >= UNREADABLE_MAX and not self.ledger.asked
        return quiet or unreadable or self.ledger.is_full or self.left_s(now_s) <= 0


def _confirm(decisions: tuple[str, ...]) -> list[Effect]:
    return [Confirm(decisions)] if decisions else []


def _later(say: Say, _now_s: float) -> list[Effect]:
    return [say]


def _nothing(_now_s: float) -> list[Effect]:
    """Only to be woken."""
    return []
