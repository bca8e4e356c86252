"""Decision → inference worker → decision: a question for an engine, and its answer."""

from typing import Annotated

import msgspec

from .observation import Event, Observation
from .wire import Fact, Id, Line, Message


class Infer(Message, frozen=True, kw_only=True, tag="infer"):
    """Asks a worker of a pool for an answer to one attempt at a decision."""

    game: Id
    npc: Id
    decision: Id
    attempt: int
    partition: int
    tier: Id
    priority: int
    pool: Id
    model: str
    observation: Observation | Event
    """For engines that read facts rather than text: `rules_…` and, later, `policy_…`."""


class Inferred(Message, frozen=True, kw_only=True, tag="inferred"):
    """What an engine said; goes to whoever owns the partition now, who ignores what belongs to another attempt."""

    game: Id
    npc: Id
    decision: Id
    attempt: int
    text: str = ""
    """The engine's words as they came; the decision service reads them as an `Answer`."""
    failed: str = ""
    """Why there is no text, where there is none."""
    model: str = ""
    worker: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    queue_ms: float = 0.0
    engine_ms: float = 0.0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a mind says to do, in the form that engines are asked for."""

    action: Id
    arguments: Annotated[dict[Id, Fact], msgspec.Meta(max_length=32)] = {}
    speech: Line = ""
    reasoning: Line = ""
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
