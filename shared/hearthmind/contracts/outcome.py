"""Game → reward: what came of an action, and what players thought of it; reward → game: which outcomes are stored."""

from typing import Annotated

import msgspec

from .observation import Event, Observation
from .wire import Fact, Id, Line, Message, Word, nothing

PLATFORM, CLIENT = "platform", "client"
"""Whose action was executed: the platform's, or the legal fallback of the client library."""


class Executed(msgspec.Struct, frozen=True, kw_only=True):
    """What the game really did."""

    action: Id
    arguments: dict[Id, Fact] = {}
    by: str = PLATFORM
    """Whose choice it was: `platform`, or `client` where the game fell back."""
    why: Line = ""
    """Why the game fell back, where it did."""


class OutcomeObserved(Message, frozen=True, kw_only=True, tag="outcome_observed"):
    """What came of an action, in the game's own facts; success is what the game says, never what a model says."""

    decision: Id
    """The id of the observation that it answers."""
    game: Id
    npc: Id
    kind: Id
    """That of the observation."""
    executed: Executed
    success: bool
    """Whether it came off, as the game sees it."""
    facts: Annotated[dict[Id, Fact], msgspec.Meta(max_length=256)] = {}
    """What rewards are made of: resources, losses, rank, trust, ... in the game's own words."""
    state_after: msgspec.Raw = msgspec.field(default_factory=nothing)
    """What the NPC is left with: the game's own JSON."""
    game_time: float = 0.0
    """When, by the game's own clock."""
    episode: Id = "main"
    opponent: Word | None = None
    """Whom it was done to or with: an NPC's id, or the game's own name for a player."""
    related: Annotated[tuple[Id, ...], msgspec.Meta(max_length=32)] = ()
    """Earlier decisions that this one answers: the attack that it strikes back for, the offer that it takes up."""
    observation: Observation | Event | None = None
    """What was seen, where the platform never answered and so cannot know it."""


class OutcomesStored(Message, frozen=True, kw_only=True, tag="outcomes_stored"):
    """These outcomes are in Postgres; the client forgets them."""

    game: Id
    decisions: tuple[Id, ...]
    rewards: dict[Id, float] = {}
    """What those of them were worth that are experiences by now; of others it is said later, when their decision is known too."""


class ReplyRated(Message, frozen=True, kw_only=True, tag="reply_rated"):
    """What somebody thought of what an NPC said or did. The last word of each rater about a decision counts."""

    decision: Id
    game: Id
    npc: Id
    rater: Word
    """Who, in the game's own words; one voice each."""
    score: Annotated[float, msgspec.Meta(ge=-1, le=1)]
    """From -1, bad, to 1, good."""
    about: Id = "reply"
    """What was rated: the `reply`, or the game's own word, such as `company` or `help`."""
