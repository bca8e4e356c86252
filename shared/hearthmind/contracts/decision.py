"""Decision → experience: the detail of a decision that the game does not need and learning does."""

from .observation import Event, Observation
from .wire import Id, Message


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
    tokens_in: int = 0
    tokens_cached: int = 0
    """Of those that went in, how many the engine had read before."""
    tokens_out: int = 0
    cost_usd: float = 0.0
    episode: Id = "main"
