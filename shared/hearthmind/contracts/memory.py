"""Decision → reward → decision: what an NPC lived through before its partition came to another owner."""

from typing import Annotated

import msgspec

from .wire import Fact, Id, Line, Message, Word


class Recall(Message, frozen=True, kw_only=True, tag="recall"):
    """Asks for what is kept of some NPCs of a game. Nobody waits for it: a decision never does."""

    game: Id
    npcs: Annotated[tuple[Id, ...], msgspec.Meta(min_length=1, max_length=64)]
    partition: int
    """Where the answer goes."""
    most: Annotated[int, msgspec.Meta(ge=1, le=256)] = 64
    """How many of an NPC's experiences are wanted, the newest."""


class Lived(msgspec.Struct, frozen=True, kw_only=True):
    """An experience as its NPC remembers it."""

    decision: Id
    kind: Id
    action: Id
    happened_s: float
    """When, in seconds since 1970 by the broker's clock."""
    arguments: dict[Id, Fact] = {}
    success: bool | None = None
    """Whether it came off; None where nothing has been heard of it."""
    reward: float | None = None
    opponent: Word | None = None
    facts: dict[Id, Fact] = {}
    game_time: float = 0.0
    words: Line = ""
    """What the NPC said or thought about it."""


class Recalled(Message, frozen=True, kw_only=True, tag="recalled"):
    """What an NPC lived through, the oldest first."""

    game: Id
    npc: Id
    lived: tuple[Lived, ...] = ()
    summary: Line = ""
    """What came before these, in numbers."""
