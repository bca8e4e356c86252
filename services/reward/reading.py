"""Reads messages: from bytes as the bus delivered them to rows, or the reason why not. Pure."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from hearthmind import ids
from hearthmind.bus.settle import before_handling
from hearthmind.bus.wire import decode_any
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.outcome import OutcomeObserved, ReplyRated
from hearthmind.contracts.policy import PolicyViolated
from hearthmind.contracts.wire import Message, Unknown
from hearthmind.errors import Refused
from hearthmind.store.rows import (
    DecisionRow,
    DocumentRow,
    Key,
    LinkRow,
    OutcomeRow,
    RatingRow,
    TextRow,
    ViolationRow,
)
from services.reward.records import (
    Arrived,
    Beside,
    action_row,
    detail_row,
    outcome_row,
    rating_row,
    text_rows,
    violation_row,
)
from services.reward.skimming import skim

log = logging.getLogger("hearthmind.reward")

ACTION, DETAIL, OUTCOME, RATING, VIOLATION = "action", "detail", "outcome", "rating", "violation"

_EXPECTED = {OUTCOME: OutcomeObserved.__name__, RATING: ReplyRated.__name__}
"""What a game says, by the third word of the subject."""

Row = DecisionRow | OutcomeRow | RatingRow | ViolationRow


class Misplaced(Refused):
    """The subject {subject} is not that of what the message says ({expected}). A game speaks for itself alone."""


A = TypeVar("A", bound=Arrived)


class Incoming(NamedTuple):
    """A message that can be stored: its id and its rows."""

    arrived: Arrived
    part: str
    message_id: str
    row: Row
    texts: tuple[TextRow, ...] = ()
    documents: tuple[DocumentRow, ...] = ()
    links: tuple[LinkRow, ...] = ()

    @property
    def key(self) -> Key:
        """Its game and decision."""
        return self.row.game, self.row.decision


def read(arrived: Arrived) -> Incoming | Unknown:
    """Reads one message, of a kind from the future perhaps; raises where it can't be stored."""
    if skimmed := skim(arrived.data):
        return _incoming(skimmed, arrived)
    third = arrived.subject.split(".")[2:3]
    expected = _EXPECTED.get(third[0], "") if third else ""
    message = decode_any(
        arrived.data, ActionChosen, DecisionMade, OutcomeObserved, ReplyRated, PolicyViolated, expected=expected
    )
    if isinstance(message, Unknown):
        return message
    return _incoming(message, arrived)


def _incoming(message: Message, arrived: Arrived) -> Incoming:
    assert isinstance(message, ActionChosen | DecisionMade | OutcomeObserved | ReplyRated | PolicyViolated)
    beside = Beside(message.game, arrived.stored_s)
    row: Row
    if isinstance(message, ActionChosen):
        part, subject, row = ACTION, ids.chosen_subject, action_row(message, arrived)
    elif isinstance(message, DecisionMade):
        part, subject, row = DETAIL, ids.decision_subject, detail_row(message, arrived, beside)
        text_rows(row.decision, row.npc, message.observation, beside)
    elif isinstance(message, OutcomeObserved):
        part, subject, row = OUTCOME, ids.outcome_subject, outcome_row(message, arrived, beside)
        if message.observation:
            text_rows(row.decision, row.npc, message.observation, beside)
    elif isinstance(message, ReplyRated):
        part, subject, row = RATING, ids.rating_subject, rating_row(message, arrived)
    else:
        part, subject, row = VIOLATION, ids.violation_subject, violation_row(message, arrived)
    if arrived.subject != (expected := subject(row.game, row.npc)):
        raise Misplaced(subject=arrived.subject, expected=expected)
    message_id = ids.message_id(row.game, row.npc, row.decision, part)
    return Incoming(arrived, part, message_id, row, tuple(beside.texts), tuple(beside.documents), tuple(beside.links))


def readable_of(deliveries: Iterable[A]) -> tuple[list[Incoming], list[tuple[A, BaseException | None]]]:
    """Those that can be stored, and those that are settled already."""
    readable: list[Incoming] = []
    settled: list[tuple[A, BaseException | None]] = []
    for delivery in deliveries:
        error = before_handling(delivery.attempt)
        incoming = None
        if error is None:
            try:
                incoming = read(delivery)
            except Exception as raised:
                error = raised
        if isinstance(incoming, Incoming):
            readable.append(incoming)
        else:
            settled.append((delivery, error))
            if incoming:
                log.info("%s: passed over, since nobody here knows a %.64r", delivery.subject, incoming.said)
    return readable, settled
