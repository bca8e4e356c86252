"""From the DEAD stream to the table of dead letters: pure."""

from __future__ import annotations

from hearthmind import flow
from hearthmind.bus.dead import DELIVERED, REASON, SUBJECT
from hearthmind.bus.publish import MSG_ID
from hearthmind.store.rows import LetterRow
from hearthmind.store.storable import storable_text
from services.reward.records import Arrived, headers_json

_GAME_AT = {"game": 1, "mind": 2, "observation": 2, "event": 2}
"""Where the game stands in a subject, by the subject's first word."""


def letter_row(arrived: Arrived) -> LetterRow:
    """The row of a message of the DEAD stream; what is odd about it is kept as it is, for people to look at."""
    headers = arrived.headers
    stream, sequence = _origin(headers.get(MSG_ID, ""), arrived.sequence)
    subject = headers.get(SUBJECT, arrived.subject)
    delivered = headers.get(DELIVERED, "")
    return LetterRow(
        game=storable_text(game_of(subject)),
        stream=storable_text(stream),
        sequence=sequence,
        subject=storable_text(subject),
        reason=storable_text(headers.get(REASON, "")),
        delivered=int(delivered) if _is_number(delivered, digits_max=9) else 0,
        headers=headers_json(headers),
        body=arrived.data,
    )


def game_of(subject: str) -> str:
    """The game that a subject belongs to; empty where it does not say."""
    tokens = subject.split(".")
    at = _GAME_AT.get(tokens[0], len(tokens))
    return tokens[at] if at < len(tokens) else ""


def _origin(message_id: str, own_sequence: int) -> tuple[str, int]:
    """The stream and sequence that it died in."""
    stream, _, sequence = message_id.rpartition("/")
    return (stream, int(sequence)) if stream and _is_number(sequence, digits_max=18) else (flow.DEAD, own_sequence)


def _is_number(text: str, digits_max: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= digits_max
