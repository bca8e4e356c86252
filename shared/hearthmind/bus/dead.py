"""Dead letters: the body as it came, the reason in headers, stored before the message itself is acknowledged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hearthmind.bus.publish import Publisher
from hearthmind.ids import dead_subject

REASON = "Hearthmind-Reason"
SUBJECT = "Hearthmind-Subject"
DELIVERED = "Hearthmind-Delivered"
CUT = "Hearthmind-Cut-From-Bytes"
"""Says the true size where a body was too large to be kept whole: a message over the broker's limit ends a connection."""

REASON_LENGTH_MAX = 1_000
HEADER_LENGTH_MAX = 256
HEADERS_KEPT_MAX = 16
HEADERS_ROOM_BYTES = 16 * 1024


@dataclass(frozen=True)
class Letter:
    """A message that could not be processed."""

    stream: str
    sequence: int
    subject: str
    data: bytes
    headers: Mapping[str, str]
    delivered: int


async def bury(publisher: Publisher, letter: Letter, reason: str) -> None:
    """Stores a dead letter; returns when the broker has it. Buried twice it is still one."""
    kept = {key: value for key, value in letter.headers.items() if _worth_keeping(key, value)}
    headers = {
        **dict(list(kept.items())[:HEADERS_KEPT_MAX]),
        REASON: reason.replace("\n", " ")[:REASON_LENGTH_MAX],
        SUBJECT: letter.subject,
        DELIVERED: str(letter.delivered),
    }
    body = letter.data[: publisher.payload_max - HEADERS_ROOM_BYTES]
    if len(body) < len(letter.data):
        headers[CUT] = str(len(letter.data))
    await publisher.publish(dead_subject(letter.stream), body, f"{letter.stream}/{letter.sequence}", headers)


def _worth_keeping(key: str, value: str) -> bool:
    return not key.startswith("Nats-") and key.isascii() and len(value) <= HEADER_LENGTH_MAX
