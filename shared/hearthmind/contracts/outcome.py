"""Game → reward: what came of an action; and reward → game: which outcomes are stored."""

from typing import Annotated

import msgspec

from .observation import Event, Observation
from .wire import Fact, Id, Line, Message, nothing

PLATFORM, CLIENT = "platform", "client"
"""Whose action was executed: the platform's, or the legal fallback of the client library."""


class Executed(msgspec.Struct, frozen=True, kw_only=True):
    """What the game really did."""

    action: Id
    arguments: dict[Id, Fact] = {}
    by: str = PLATFORM
    why: Line = ""


class OutcomeObserved(Message, frozen=True, kw_only=True, tag="outcome_observed"):
    """What came of an action, in the game's own facts; success is what the game says, never what a model says."""

    decision: Id
    game: Id
    npc: Id
    kind: Id
    executed: Executed
    success: bool
    facts: Annotated[dict[Id, Fact], msgspec.Meta(max_length=256)] = {}
    state_after: msgspec.Raw = msgspec.field(default_factory=nothing)
    game_time: float = 0.0
    episode: Id = "main"
    observation: Observation | Event | None = None
    """What was seen, where the platform never answered and so cannot know it."""


class OutcomesStored(Message, frozen=True, kw_only=True, tag="outcomes_stored"):
    """These outcomes are in Postgres; the client forgets them."""

    game: Id
    decisions: tuple[Id, ...]
