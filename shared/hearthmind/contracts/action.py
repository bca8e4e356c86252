"""Decision → ACTION stream → game and experience: what the game is told to do."""

from typing import Annotated

import msgspec

from .inference import Step
from .wire import Fact, Id, Line, Message

RULES, MODEL, CACHE, PLAN, FALLBACK = "rules", "model", "cache", "plan", "fallback"
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
    """Who decided: `rules`, `model`, `cache` (a model, asked the same before), `plan` (a step of an earlier
    decision), `fallback`, and later others."""
    arguments: dict[Id, Fact] = {}
    """One for each of its parameters, within the bounds."""
    steps: Annotated[tuple[Step, ...], msgspec.Meta(max_length=8)] = ()
    """What it means to do next, as long as the world stays as it expects: words for the game, no promise."""
    speech: Line = ""
    """What the NPC says, where it says something."""
    reasoning: Line = ""
    """Why, in the mind's own words."""
    confidence: float | None = None
    """From 0 to 1, where the mind said so."""
    why: Line = ""
    """Why the fallback answered, where it did; otherwise what a mind had to do without."""
    model: str = ""
    """The model that answered, where one did."""
    adapter: str = ""
    """The version of its adapter, `<name>@<version>`, where it had one."""
    template: str = ""
    """What it was asked by, `<template>@<version>`, where it read a prompt."""
    persona: str = ""
    """Who it was, `<persona>@<hash>`, where it was somebody."""
    episode: Id = "main"
    attempt: int = 1
    """The how-manieth delivery of the observation it comes from."""
    stages_ms: dict[str, float] = {}
    """Time spent, by stage: waiting on the bus, deciding, in an engine's queue, in the engine."""
