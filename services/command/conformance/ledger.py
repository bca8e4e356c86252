"""What the game has said so far, decision by decision, and what is wrong with it. No I/O.

The law: every decision has at most one first outcome, against which all others are held. Bounded by `ASKED_MAX`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hearthmind.contracts.observation import Event, Observation
from hearthmind.contracts.outcome import OutcomeObserved
from services.command.conformance import reading
from services.command.conformance.findings import Findings, Noted
from services.command.conformance.reading import Said
from services.command.conformance.rules import Asked, of_another_outcome, of_outcome
from services.command.conformance.tries import Coverage

ASKED_MAX = 100_000
"""After so many decisions a check has seen enough."""

RACE_S = 0.05
"""Where a game asks anew before it is answered, what it asks so soon after an answer may have been written before it."""

IN_VAIN_MAX = 3
"""A confirmation may be lost; what is sent so often after it is sent for ever."""
IN_VAIN_AFTER_S = 0.25
"""What comes sooner was sent before the confirmation was read."""


@dataclass(slots=True)
class Counts:
    """What was seen."""

    observations: int = 0
    events: int = 0
    outcomes: int = 0
    refused: int = 0
    """Messages that could not be read."""
    garbled: int = 0
    """Outcomes among them."""


class Ledger:
    """Keeps decisions and judges what is said about them."""

    def __init__(self, game: str, findings: Findings) -> None:
        self.counts = Counts()
        self.kinds: Counter[str] = Counter()
        self.answered: Counter[tuple[str, str]] = Counter()
        self.coverage = Coverage()
        self._findings = findings
        self.asked: dict[str, Asked] = {}
        self.last_ended: dict[str, Asked] = {}
        self.spoke_s: dict[str, float] = {}
        self.was_away = False
        self.noted: list[Noted] = []
        """What is wrong with the last message."""
        self.is_first = False
        """Whether it was the first outcome of its decision."""
        self._game = game
        self._unreadable: set[str] = set()
        self._newest: dict[tuple[str, str], Asked] = {}
        self._restless: set[tuple[str, str]] = set()
        """Where observations are replaced before they are answered."""
        self._snapshots: dict[tuple[str, str], int] = {}
        self._message_ids: dict[tuple[str, str], bytes] = {}

    @property
    def is_full(self) -> bool:
        """Whether it takes no more."""
        return len(self.asked) >= ASKED_MAX

    def _note(self, noted: Noted, said: Said) -> None:
        self.noted.append(noted)
        self._findings.add(noted, said.shown)

    # ---- observations ----------------------------------------------------------------------------------------------

    def observed(self, said: Said, now_s: float) -> Asked | None:
        """An observation or event; a decision where it is a new one that can be read."""
        self.noted, self.is_first = [], False
        read = reading.observation(said)
        self._note_all(read.noted, said)
        self._check_message_id(said, "no-message-id")
        seen = read.message
        if seen is None:
            self.counts.refused += 1
            self._unreadable.add(reading.id_in(said.data, "id"))
            return None
        self.spoke_s[seen.npc] = now_s
        if known := self.asked.get(seen.id):
            if known.data != said.data:
                self._note(Noted("id-used-twice", f"{seen.id} is the id of another {_of(known.observation)}"), said)
            return None
        self._check_snapshot(seen, said)
        asked = Asked(seen, said.data, now_s)
        self._count(asked)
        self.asked[seen.id] = asked
        if not asked.is_event:
            self._replace(self._newest.get(asked.place), now_s)
            self._newest[asked.place] = asked
        return asked

    def _count(self, asked: Asked) -> None:
        if asked.is_event:
            self.counts.events += 1
        else:
            self.counts.observations += 1
        self.kinds[asked.observation.kind] += 1

    def _check_snapshot(self, seen: Observation, said: Said) -> None:
        place = (seen.npc, seen.episode)
        newest = self._snapshots.get(place, 0)
        if seen.snapshot < newest and not self.was_away:  # what was held back meanwhile comes out of order
            self._note(Noted("snapshot-backwards", f"{seen.snapshot} comes after {newest} of {seen.npc}"), said)
        self._snapshots[place] = max(seen.snapshot, newest)

    def _replace(self, older: Asked | None, now_s: float) -> None:
        if older is None or older.outcome:
            return
        if older.answered_s is None and now_s < older.deadline_s:
            self._restless.add(older.place)
        if older.answered_s is None or (older.place in self._restless and now_s - older.answered_s < RACE_S):
            older.replaced_s = now_s

    # ---- outcomes --------------------------------------------------------------------------------------------------

    def reported(self, said: Said, now_s: float) -> Asked | None:
        """An outcome; the decision that it belongs to where it may be confirmed."""
        self.noted, self.is_first = [], False
        read = reading.outcome(said)
        self._note_all(read.noted, said)
        self._check_message_id(said, "")
        told = read.message
        if told is None:
            self.counts.refused += 1
            self.counts.garbled += 1
            if asked := self.asked.get(reading.id_in(said.data, "decision")):
                asked.garbled = True
            return None
        asked = self.asked.get(told.decision)
        if asked is None:
            self._judge_unknown(told, said)
        elif asked.outcome is None:
            self._first(asked, told, said, now_s)
        else:
            self._further(asked, told, said, now_s)
        return asked

    def _judge_unknown(self, told: OutcomeObserved, said: Said) -> None:
        is_excused = self.was_away or "" in self._unreadable  # it was asked when nobody could hear or read it
        if told.decision not in self._unreadable and not is_excused:
            self._note(Noted("outcome-of-nothing", f"nobody asked for {told.decision!r}"), said)

    def _first(self, asked: Asked, told: OutcomeObserved, said: Said, now_s: float) -> None:
        self.is_first = True
        self.counts.outcomes += 1
        self._note_all(tuple(of_outcome(asked, told)), said)
        asked.outcome, asked.outcome_data, asked.outcome_s = told, said.data, now_s
        asked.outcome_ids.add(said.message_id)
        self.last_ended[asked.observation.npc] = asked
        self.coverage.reported.add((asked.observation.kind, told.executed.action))

    def _further(self, asked: Asked, told: OutcomeObserved, said: Said, now_s: float) -> None:
        if said.data != asked.outcome_data:
            self._note_all(tuple(of_another_outcome(asked, told)), said)
            return
        asked.sent_again += 1
        if not said.message_id or said.message_id not in asked.outcome_ids:
            asked.heard_again = True
        asked.outcome_ids.add(said.message_id)
        asked.sent_in_vain += asked.confirmed_s is not None and now_s - asked.confirmed_s > IN_VAIN_AFTER_S
        if asked.sent_in_vain == IN_VAIN_MAX:
            why = f"{told.decision} came {IN_VAIN_MAX} times after it was confirmed"
            self._note(Noted("sends-again-for-ever", why), said)

    # ---- message ids -----------------------------------------------------------------------------------------------

    def _check_message_id(self, said: Said, where_missing: str) -> None:
        what = said.subject.split(".")[2]
        if not said.message_id:
            if where_missing:
                self._note(Noted(where_missing, f"a message on {said.subject} has none"), said)
            return
        if not said.message_id.startswith(f"{self._game}/"):
            self._note(Noted("message-id-not-own", f"it is {said.message_id!r}"), said)
        first = self._message_ids.setdefault((what, said.message_id), said.data)
        if first != said.data:
            self._note(Noted("message-id-shared", f"another message was {said.message_id!r} before"), said)

    def _note_all(self, noted: tuple[Noted, ...], said: Said) -> None:
        for each in noted:
            self._note(each, said)


def _of(seen: Observation) -> str:
    what = "event" if isinstance(seen, Event) else "observation"
    return f"{what} of {seen.npc}, snapshot {seen.snapshot}"
