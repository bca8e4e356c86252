"""Decision → ACTION stream → game and experience: what the game is told to do."""

from .wire import Fact, Id, Line, Message

RULES, MODEL, FALLBACK = "rules", "model", "fallback"
"""Sources of an action; an open set: a reader keeps a word that it does not know."""


class ActionChosen(Message, frozen=True, kw_only=True, tag="action_chosen"):
    """The action of a decision. Whoever listens to `game.<game>.action.<npc>` gets exactly one of them."""

    decision: Id
    game: Id
    npc: Id
    kind: Id
    snapshot: int
    action: Id
    source: str
    arguments: dict[Id, Fact] = {}
    speech: Line = ""
    reasoning: Line = ""
    confidence: float | None = None
    why: Line = ""
    """Why the fallback answered, where it did."""
    model: str = ""
    episode: Id = "main"
    attempt: int = 1
    stages_ms: dict[str, float] = {}
    """Time spent, by stage: waiting on the bus, deciding, in an engine's queue, in the engine."""
