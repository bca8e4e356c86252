"""Which outcomes of the journal are sent, when, and under which id, without I/O.

The law: an outcome leaves the journal only when the platform says that it is stored, and until then it is due again and
again; no two tries of a life have the same id.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hearthmind import ids
from hearthmind.journal import Journal

WAITS_LONGER_MAX = 8
"""Each try waits twice as long for the next one as the one before, up to so many times the first wait: while the platform is
behind, what it has already would otherwise come again and again, and keep it behind."""


class Sending(NamedTuple):
    """One try to send an outcome.

    Each has another message id: under the same one the broker would swallow it, and a confirmation that was lost would
    never be said again.
    """

    subject: str
    data: bytes
    message_id: str


class _Sent(NamedTuple):
    """The last try of an outcome."""

    at_s: float
    number: int
    longer: int


class Unconfirmed:
    """What the journal holds and when it was sent last; bounded by the journal."""

    def __init__(self, game: str, journal: Journal) -> None:
        self.journal = journal
        self._game = game
        self._sent: dict[str, _Sent] = {}

    def begin(self, decision: str, now_s: float, time_of_day_s: float) -> Sending | None:
        """The next try of an outcome; None where it is confirmed.

        What an earlier life sent is unknown, so its outcomes go on from the time of day.
        """
        entry = self.journal.get(decision)
        if entry is None:
            return None
        before = self._sent.get(decision)
        if before:
            number, longer = before.number + 1, min(2 * before.longer, WAITS_LONGER_MAX)
        else:
            number, longer = 0 if self.journal.is_new(decision) else int(time_of_day_s), 1
        self._sent[decision] = _Sent(now_s, number, longer)
        message_id = ids.message_id(self._game, entry.subject.rpartition(".")[2], decision, f"outcome-{number}")
        return Sending(entry.subject, bytes(entry.body), message_id)

    def stored(self, decisions: Iterable[str]) -> int:
        """The platform has these; returns how many of them waited."""
        confirmed = 0
        for decision in decisions:
            confirmed += self.journal.confirm(decision)
            self._sent.pop(decision, None)
        return confirmed

    def due(self, now_s: float, after_s: float, most: int) -> list[str]:
        """What was not confirmed in a while; after a crash, everything that the journal still holds."""
        due: list[str] = []
        for entry in self.journal.pending():
            sent = self._sent.get(entry.id)
            if sent is None or now_s - sent.at_s >= after_s * sent.longer:
                due.append(entry.id)
            if len(due) >= most:
                break
        return due
