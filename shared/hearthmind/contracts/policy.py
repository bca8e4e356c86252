"""Policy: asking whether an action may be done, the answer, and what is kept of a violation."""

from typing import Annotated

import msgspec

from .observation import Event, Observation
from .wire import Fact, Id, Line, Message


class CheckPolicy(Message, frozen=True, kw_only=True, tag="check_policy"):
    """Asks whether an action would pass; nothing comes of it but the answer."""

    asker: Id
    """Where the answer goes."""
    observation: Observation | Event
    action: Id
    arguments: Annotated[dict[Id, Fact], msgspec.Meta(max_length=32)] = {}
    speech: Line = ""


class PolicyChecked(Message, frozen=True, kw_only=True, tag="policy_checked"):
    """Whether it would; where not, by which rule and why."""

    decision: Id
    """The id of the observation that was asked about."""
    game: Id
    npc: Id
    passes: bool
    rule: Id | None = None
    why: Line = ""


class PolicyViolated(Message, frozen=True, kw_only=True, tag="policy_violated"):
    """A mind wanted what the policy forbids. It was not done; it waits for a person to look at it."""

    decision: Id
    game: Id
    npc: Id
    kind: Id
    rule: Id
    why: Line
    action: Id
    """What the mind wanted."""
    arguments: dict[Id, Fact] = {}
    speech: Line = ""
    reasoning: Line = ""
    source: str = ""
    model: str = ""
    template: str = ""
    frozen_s: float = 0.0
    """For how long the NPC does nothing but wait."""
    observation: Observation | Event | None = None
    answer: str = ""
    """The engine's words as they came."""
    episode: Id = "main"
