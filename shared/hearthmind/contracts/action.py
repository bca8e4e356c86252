"""Decision → ACTION stream → game and experience: what the game is told to do."""

from .wire import Fact, Id, Line, Message

RULES, MODEL, CACHE, FALLBACK = "rules", "model", "cache", "fallback"
"""Sources of an action; an open set: a reader keeps a word that it does not know."""


class ActionChosen(Message, frozen=True, kw_only=True, tag="action_chosen"):
    """The action of a decision. Whoever listens to `game.<game>.action.<npc>` gets exactly one of them."""

    decision: Id
    """The id of the observation that it answers."""
    game: Id
    npc: Id
    kind: Id
    snapshot: int
    """That of the observation: what the world was when this was decided."""
    action: Id
    """The name of one of the observation's legal actions."""
    source: str
    """Who decided: `rules`, `model`, `cache` (a model, asked the same before), `fallback`, and later others."""
    arguments: dict[Id, Fact] = {}
    """One for each of its parameters, within the bounds."""
    speech: Line = ""
    """What the NPC says, where it says something."""
    reasoning: Line = ""
    """Why, in the mind's own words."""
    confidence: float | None = None
    """From 0 to 1, where the mind said so."""
    why: Line = ""
    """Why the fallback answered, where it did."""
    model: str = ""
    """The model that answered, where one did."""
    adapter: str = ""
    """The version of its adapter, `<name>@<version>`, where it had one."""
    template: str = ""
    """What it was asked by, `<template>@<version>`, where it read a prompt."""
    episode: Id = "main"
    attempt: int = 1
    """The how-manieth delivery of the observation it comes from."""
    stages_ms: dict[str, float] = {}
    """Time spent, by stage: waiting on the bus, deciding, in an engine's queue, in the engine."""
