"""Decision → experience: the detail of a decision that the game does not need and learning does."""

from typing import Annotated

import msgspec

from .inference import Turn
from .observation import Event, Observation
from .wire import Id, Line, Message


class DecisionMade(Message, frozen=True, kw_only=True, tag="decision_made"):
    """What a decision was made from; the action itself is `ActionChosen`."""

    decision: Id
    game: Id
    npc: Id
    kind: Id
    attempt: int
    epoch: int
    """The lease under which its owner decided."""
    partition: int
    tier: str
    source: str
    observation: Observation | Event
    answer: str = ""
    """The engine's words as they came; empty where another attempt's action counts."""
    worker: str = ""
    adapter_sha256: str = ""
    prompt: tuple[Turn, ...] = ()
    """What the model read; empty where none was asked or another attempt's action counts."""
    route: Line = ""
    """Why it went where it went, in the words of the triage."""
    behaviour: Annotated[dict[Id, float], msgspec.Meta(max_length=8)] = {}
    """The genes that were in force."""
    variant: str = ""
    """Which version of a prompt, an adapter, a behaviour or a model was on trial."""
    experiment: str = ""
    """The trial it belonged to."""
    related: Annotated[tuple[Id, ...], msgspec.Meta(max_length=32)] = ()
    """Earlier decisions that stood in the prompt, as memories or examples, or that this one is a further step of."""
    tokens_in: int = 0
    tokens_cached: int = 0
    """Of those that went in, how many the engine had read before."""
    tokens_out: int = 0
    cost_usd: float = 0.0
    episode: Id = "main"
