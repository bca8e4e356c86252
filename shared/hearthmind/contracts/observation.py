"""Game → decision: what an NPC sees, what happened to it, and what it may do about it."""

from typing import Annotated

import msgspec

from .wire import INTEGER_MAX, Id, Line, Message, Word, nothing

Bound = Annotated[int, msgspec.Meta(ge=-INTEGER_MAX, le=INTEGER_MAX)]


class Choice(msgspec.Struct, frozen=True, kw_only=True, tag="string", tag_field="type"):
    """A parameter that is one of a few strings."""

    enum: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=200)], ...], msgspec.Meta(min_length=1, max_length=256)
    ]
    default: str | None = None
    description: Line = ""


class Whole(msgspec.Struct, frozen=True, kw_only=True, tag="integer", tag_field="type"):
    """A parameter that is a bounded whole number."""

    minimum: Bound
    maximum: Bound
    default: Bound | None = None
    description: Line = ""

    def __post_init__(self) -> None:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")


class Real(msgspec.Struct, frozen=True, kw_only=True, tag="number", tag_field="type"):
    """A parameter that is a bounded number."""

    minimum: float
    maximum: float
    default: float | None = None
    description: Line = ""

    def __post_init__(self) -> None:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")


Parameter = Choice | Whole | Real


class LegalAction(msgspec.Struct, frozen=True, kw_only=True):
    """One action that the game promises to accept, with bounds for each of its parameters."""

    name: Id
    parameters: Annotated[dict[Id, Parameter], msgspec.Meta(max_length=32)] = {}
    description: Line = ""
    appeal: float = 0.0
    """How good the game itself thinks it is; the scripted mind takes the highest."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What a player said: data, never instructions."""

    speaker: Word
    text: Line


class Observation(Message, frozen=True, kw_only=True, tag="observation"):
    """What an NPC sees now; a newer one of its kind replaces it."""

    id: Id
    game: Id
    npc: Id
    kind: Id
    legal_actions: Annotated[tuple[LegalAction, ...], msgspec.Meta(min_length=1, max_length=256)]
    answer_within_ms: Annotated[int, msgspec.Meta(ge=1, le=300_000)]
    snapshot: Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX)]
    """Grows with the world; an answer to an older snapshot than the newest acted on is never executed."""
    game_time: float = 0.0
    episode: Id = "main"
    priority: Annotated[int, msgspec.Meta(ge=0, le=10)] = 5
    state: msgspec.Raw = msgspec.field(default_factory=nothing)
    """The game's own JSON, passed through."""
    texts: Annotated[tuple[Heard, ...], msgspec.Meta(max_length=64)] = ()

    def __post_init__(self) -> None:
        if len({legal.name for legal in self.legal_actions}) < len(self.legal_actions):
            raise ValueError("two legal actions have the same name")


class Event(Observation, frozen=True, kw_only=True, tag="event"):
    """The same for what happened to an NPC and must not be replaced by anything newer."""
