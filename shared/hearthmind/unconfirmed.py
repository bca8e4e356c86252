"""Which outcomes of the journal are sent, when, and under which id, without I/O.

The law: an outcome leaves the journal only when the platform says that it is stored, and until then it is due again and
again; no two tries of a life have the same id.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hearthmind import ids
from hearthmind.journal import Journal


class Sending(NamedTuple):
    """One try to send an outcome.

    Each has another message id: under the same one the broker would swallow it, and a confirmation that was lost would
    never be said again.
    """

    subject: str
    data: bytes
    message_id: str


class Unconfirmed:
    """What the journal holds and when it was sent last; bounded by the journal."""

    def __init__(self, game: str, journal: Journal) -> None:
        self.journal = journal
        self._game = game
        self._sent: dict[str, tuple[float, int]] = {}

    def begin(self, decision: str, now_s: float, time_of_day_s: float) -> Sending | None:
        """The next try of an outcome; None where it is confirmed.

        What an earlier life sent is unknown, so its outcomes go on from the time of day.
        """
        entry = self.journal.get(decision)
        if entry is None:
            return None
        if decision in self._sent:
            number = self._sent[decision][1] + 1
        else:
            number = 0 if self.journal.is_new(decision) else int(time_of_day_s)
        self._sent[decision] = (now_s, number)
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
            sent_s, _ = self._sent.get(entry.id, (float("-inf"), 0))
            if now_s - sent_s >= after_s:
                due.append(entry.id)
            if len(due) >= most:
                break
        return due
