"""Which outcomes of the journal are sent, when, and under which id, without I/O.

The law: an outcome leaves the journal only when the platform says that it is stored, and until then it is sent again and
again; no two tries of a life have the same id. What lies on the platform's stream is sent again where one that was sent well
after it is stored already, so that this one or its confirmation went astray. While nothing shows that, the platform may just
be behind: only a few are sent again then, to ask it, for all of them would keep it behind.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

from hearthmind import ids
from hearthmind.journal import Journal

WAITS_LONGER_MAX = 8
"""Each try waits twice as long for the next one as the one before, up to so many times the first wait."""

QUESTIONS_MIN = 5
"""So many are sent again at a time to ask. Where nothing but answers to such comes back, everything else went astray, and it
is twice as many each time."""


class Sending(NamedTuple):
    """One try to send an outcome.

    Each has another message id: under the same one the broker would swallow it, and a confirmation that was lost would
    never be said again.
    """

    subject: str
    data: bytes
    message_id: str


class _Sent(NamedTuple):
    """The last try of an outcome, and when the first one was."""

    decision: str
    at_s: float
    number: int
    longer: int
    first_s: float
    is_under_way: bool = True
    is_on_stream: bool = False


class Unconfirmed:
    """What the journal holds and when it was sent last; bounded by the journal."""

    def __init__(self, game: str, journal: Journal) -> None:
        self.journal = journal
        self._game = game
        self._sent: dict[str, _Sent] = {}
        self._stored_until_s = float("-inf")
        """Of what is stored, when the last was sent for the first time."""
        self._questions = QUESTIONS_MIN
        self._came = {"at once": 0, "when sent again": 0}

    def begin(self, decision: str, now_s: float, time_of_day_s: float) -> Sending | None:
        """The next try of an outcome; None where it is confirmed.

        What an earlier life sent is unknown, so its outcomes go on from the time of day.
        """
        entry = self.journal.get(decision)
        if entry is None:
            return None
        before = self._sent.get(decision)
        if before:
            number, longer, first_s = before.number + 1, min(2 * before.longer, WAITS_LONGER_MAX), before.first_s
        else:
            number, longer, first_s = 0 if self.journal.is_new(decision) else int(time_of_day_s), 1, now_s
        self._sent[decision] = _Sent(decision, now_s, number, longer, first_s)
        message_id = ids.message_id(self._game, entry.subject.rpartition(".")[2], decision, f"outcome-{number}")
        return Sending(entry.subject, bytes(entry.body), message_id)

    def ended(self, decision: str, *, is_on_stream: bool) -> None:
        """A try came to its end: the stream has it, or nobody does."""
        if sent := self._sent.get(decision):
            self._sent[decision] = sent._replace(is_under_way=False, is_on_stream=is_on_stream or sent.is_on_stream)

    def stored(self, decisions: Iterable[str]) -> int:
        """The platform has these; returns how many of them waited."""
        confirmed = 0
        for decision in decisions:
            confirmed += self.journal.confirm(decision)
            if sent := self._sent.pop(decision, None):
                self._stored_until_s = max(self._stored_until_s, sent.first_s)
                self._came["at once" if sent.at_s == sent.first_s else "when sent again"] += 1
        return confirmed

    def due(self, now_s: float, after_s: float, most: int) -> list[str]:
        """What is to be sent now; after a crash, everything that the journal still holds."""
        due: list[str] = []
        silent: list[_Sent] = []
        for entry in self.journal.pending():
            sent = self._sent.get(entry.id)
            if sent is None:
                due.append(entry.id)
            elif sent.is_under_way or now_s - sent.at_s < after_s * sent.longer:
                continue
            elif sent.is_on_stream and self._stored_until_s < sent.at_s + after_s:
                silent.append(sent)
            else:
                due.append(entry.id)
            if len(due) >= most:
                return due
        asked = heapq.nsmallest(min(self._ask(most), most - len(due)), silent, key=attrgetter("at_s"))
        return due + [sent.decision for sent in asked]

    def _ask(self, most: int) -> int:
        """How many may be sent again to ask."""
        if self._came["at once"]:
            self._questions = QUESTIONS_MIN
        elif self._came["when sent again"]:
            self._questions = min(2 * self._questions, most)
        self._came = dict.fromkeys(self._came, 0)
        return self._questions
