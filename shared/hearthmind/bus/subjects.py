"""Makes nats-py read a subject of any bytes.

The broker takes every byte in a subject but blanks and line ends. nats-py reads it as UTF-8 without any white space, and
where it is something else it reads nothing more from its connection: one message of one game would silence each service
that it is delivered to. Read like this, it is a message like any other, and ends as a dead letter.
"""

from __future__ import annotations

import re
from typing import Any

from nats.aio.client import Client as Nats
from nats.protocol import parser


def read_any_subject() -> None:
    """To be called before a connection is made; again does no harm."""
    parser.MSG_RE = _with_any_subject(parser.MSG_RE)
    parser.HMSG_RE = _with_any_subject(parser.HMSG_RE)
    Nats._build_message = _build_message  # type: ignore[method-assign]


def _with_any_subject(line: re.Pattern[bytes]) -> re.Pattern[bytes]:
    return re.compile(line.pattern.replace(rb"[^\s]", rb"[^ \t\r\n]"))


def _build_message(
    self: Nats, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
) -> Any:
    said = subject.decode(errors="backslashreplace")
    return self.msg_class(_client=self, _sid=sid, subject=said, reply=reply.decode(), data=data, headers=headers)
