"""What the bucket MINDS holds of an NPC's mind: that it is frozen for a moment, or banned until somebody lifts it."""

from __future__ import annotations

from typing import Literal

import msgspec

from hearthmind.contracts.wire import Line


class Freeze(msgspec.Struct, frozen=True, kw_only=True):
    """The NPC does nothing but wait until then, by the broker's clock."""

    until_s: float
    rule: str
    decision: str


class Ban(msgspec.Struct, frozen=True, kw_only=True):
    """The NPC's mind is not asked any more."""

    why: Line
    by: str
    decision: str = ""
    """The violation that it was banned for."""
    at_s: float = 0.0


def key_of(sort: Literal["freeze", "ban"], game: str, npc: str) -> str:
    """Where it is kept."""
    return f"{sort}.{game}.{npc}"
