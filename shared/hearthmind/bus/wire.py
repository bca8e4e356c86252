"""Bytes to messages and back, at the edge: sizes, versions and tags are checked here and nowhere else."""

from __future__ import annotations

import math
from functools import cache
from typing import TypeVar

import msgspec

from hearthmind.contracts.observation import Event, Observation
from hearthmind.contracts.wire import VERSION, Message, Unknown
from hearthmind.errors import Malformed, TooLarge, UnknownVersion

MESSAGE_BYTES_MAX = 384 * 1024
"""Below the broker's own limit, so that the copy in a decision's detail still passes."""

OBSERVATION_BYTES_MAX = 128 * 1024
"""What one NPC may see at a time: a mind that is told more is not told better."""

READABLE_VERSIONS = (VERSION,) if VERSION == 1 else (VERSION - 1, VERSION)

M = TypeVar("M", bound=Message)

_encoder = msgspec.json.Encoder()


def encode(message: msgspec.Struct) -> bytes:
    """A message as JSON."""
    return _encoder.encode(message)


def decode(data: bytes, kind: type[M]) -> M:
    """Reads a message of one kind, or says why it can't be read."""
    message = decode_any(data, kind)
    if isinstance(message, Unknown):
        raise Malformed(message=kind.__name__, why=f"its type is {message.said!r}")
    return message  # type: ignore[return-value]


def decode_any(data: bytes, *kinds: type[Message], expected: str = "") -> Message:
    """Reads a message of one of several kinds by its tag; a tag that this side does not know gives `Unknown`.

    What can't be read is called by the name that was expected of it, where the subject tells.
    """
    name = expected or " or ".join(kind.__name__ for kind in kinds)
    limit = OBSERVATION_BYTES_MAX if Observation in kinds or Event in kinds else MESSAGE_BYTES_MAX
    if len(data) > limit:
        raise TooLarge(message=name, size_bytes=len(data), limit_bytes=limit)
    try:
        message = _decoder(kinds).decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        return _unreadable(data, kinds, name, error)
    if message.v not in READABLE_VERSIONS:
        raise UnknownVersion(message=name, version=message.v, known=READABLE_VERSIONS)
    return message


class _Head(msgspec.Struct):
    type: str = ""
    v: int = VERSION


_head_decoder = msgspec.json.Decoder(_Head)


@cache
def _decoder(kinds: tuple[type[Message], ...]) -> msgspec.json.Decoder[Message]:
    union = kinds[0]
    for kind in kinds[1:]:
        union = union | kind  # type: ignore[assignment]
    return msgspec.json.Decoder(union)


def _unreadable(data: bytes, kinds: tuple[type[Message], ...], name: str, error: Exception) -> Unknown:
    """Of what can't be read: a newer version is waited for, an unknown tag passed over, the rest refused."""
    try:
        head = _head_decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        raise Malformed(message=name, why=error) from error
    if head.v not in READABLE_VERSIONS:
        raise UnknownVersion(message=name, version=head.v, known=READABLE_VERSIONS) from error
    tags = {kind.__struct_config__.tag for kind in kinds}
    if head.type and head.type not in tags:
        return Unknown(said=head.type)
    raise Malformed(message=name, why=error) from error


def refuse_non_finite(value: object, message: str, path: str = "$") -> None:
    """Raises where a number is NaN or infinite: JSON has no word for them, and they would silently turn into null."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Malformed(message=message, why=f"{path} is {value}: numbers must be finite")
    elif isinstance(value, dict):
        for key, part in value.items():
            refuse_non_finite(part, message, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            refuse_non_finite(part, message, f"{path}[{index}]")
