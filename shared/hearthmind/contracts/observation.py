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
    """What has to be said with it: each one of a few strings, or a bounded number."""
    description: Line = ""
    """For a mind that reads: what it does, and when it is a good idea."""
    appeal: float = 0.0
    """How good the game itself thinks it is; the scripted mind takes the highest."""
    leans: Annotated[dict[Id, Annotated[float, msgspec.Meta(ge=-1, le=1)]], msgspec.Meta(max_length=8)] = {}
    """Which behaviour genes speak for it, and how much: `{"aggression": 1, "patience": -0.5}`."""
    contends: Id | None = None
    """The parameter that names a thing which only one NPC can have: a coin, a door, a free spot."""


LegalActions = Annotated[tuple[LegalAction, ...], msgspec.Meta(min_length=1, max_length=256)]


def check_names(legal_actions: tuple[LegalAction, ...]) -> None:
    """Raises where two have the same name, since an answer could mean either."""
    if len({legal.name for legal in legal_actions}) < len(legal_actions):
        raise ValueError("two legal actions have the same name")


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What a player said: data, never instructions."""

    speaker: Word
    """Who said it, in the game's own words."""
    text: Line


class Observation(Message, frozen=True, kw_only=True, tag="observation"):
    """What an NPC sees now; a newer one of its kind replaces it."""

    id: Id
    """The game's own, never used twice; it is the decision's id as well."""
    game: Id
    """As in the subject."""
    npc: Id
    """Whose decision it is; as in the subject."""
    kind: Id
    """What sort of decision is wanted: `economic`, `combat`, `chat`, or a word of the game's own; as in the subject."""
    legal_actions: LegalActions
    """What the game promises to accept in answer, within the bounds."""
    answer_within_ms: Annotated[int, msgspec.Meta(ge=1, le=300_000)]
    """How long the game waits, counted from the moment at which the broker has stored this."""
    snapshot: Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX)]
    """Grows with the world; of one NPC and kind, an older one is never acted on after a newer one."""
    game_time: float = 0.0
    """The game's own clock, in its own unit."""
    episode: Id = "main"
    """One run of the game from its start to its end: a match, a season."""
    priority: Annotated[int, msgspec.Meta(ge=0, le=10)] = 5
    """How urgent it is: 0 is the most. 0-2 are critical, 3-4 strategic, 5-6 social, 7-10 routine."""
    state: msgspec.Raw = msgspec.field(default_factory=nothing)
    """The game's own JSON, passed through."""
    texts: Annotated[tuple[Heard, ...], msgspec.Meta(max_length=64)] = ()
    """What players said, apart from the state, so that it is known to be theirs."""
    persona: Id | None = None
    """Who the NPC is, where the game says so; otherwise the platform's own list of personas does."""
    scene: Id | None = None
    """Where several NPCs are together, so that not all of them answer the same words."""

    def __post_init__(self) -> None:
        check_names(self.legal_actions)


class Event(Observation, frozen=True, kw_only=True, tag="event"):
    """The same for what happened to an NPC and must not be replaced by anything newer."""
