"""What all messages share: a tag, a major version, and the few types that every field is built from."""

from typing import Annotated

import msgspec

VERSION = 1
"""The major version that this side writes; it reads this one and the one before."""

INTEGER_MAX = 2**53
"""The largest integer that every language reads exactly; larger ones travel as strings."""

Id = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z", description="letters, digits, `_`, `-`; at most 64")
]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Line = Annotated[str, msgspec.Meta(max_length=2_000)]
Fact = bool | int | float | str
"""A plain value of the game's own; null is refused, since that is what non-finite numbers turn into."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """The root of all messages on the bus."""

    v: int = VERSION


class Unknown(Message, frozen=True, kw_only=True, tag="unknown"):
    """A message whose tag this side does not know; it is passed over."""

    said: str


def nothing() -> msgspec.Raw:
    """The state of a game that says nothing."""
    return msgspec.Raw(b"{}")
