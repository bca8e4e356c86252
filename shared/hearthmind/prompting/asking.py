"""Prompts: an observation, and the mind that is to decide, in the words of a template."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from hearthmind import persona
from hearthmind.contracts.inference import Turn
from hearthmind.contracts.observation import Choice, Event, Heard, LegalAction, Observation, Whole
from hearthmind.persona import Persona
from hearthmind.prompting import library
from hearthmind.prompting.answers import is_planning, is_speaking
from hearthmind.prompting.library import FAILURES, GENERIC, Templates, Words, house
from hearthmind.prompting.minds import NOBODY, Mind

TURN_CHARS_MAX = 32_000
"""No turn is longer, whatever a template does."""


class Limits(msgspec.Struct, frozen=True):
    """How much of each thing a prompt may show, in characters; about four make a token of a usual model."""

    state_chars_max: Annotated[int, msgspec.Meta(ge=100)] = 8_000
    """Half of the 4,096 tokens that an engine reads by default; what the game names first is kept."""
    actions_chars_max: Annotated[int, msgspec.Meta(ge=100)] = 4_000
    """A quarter. Descriptions are dropped first; the answer's schema holds all legal actions anyway."""
    texts_chars_max: Annotated[int, msgspec.Meta(ge=100)] = 2_000
    """The newest are kept, so that no player can push the situation out by talking."""
    persona_chars_max: Annotated[int, msgspec.Meta(ge=100)] = 1_200
    """Who it is; its knowledge stands last and goes first."""
    memory_chars_max: Annotated[int, msgspec.Meta(ge=100)] = 1_200
    """What it remembers; what matters most stands first and is kept."""
    notes_chars_max: Annotated[int, msgspec.Meta(ge=100)] = 600
    """What the house tells it."""


LIMITS = Limits()


def prompt_of(
    observation: Observation,
    mind: Mind = NOBODY,
    limits: Limits = LIMITS,
    *,
    templates: Templates | None = None,
    template: str = "",
) -> tuple[Turn, ...]:
    """What a model is asked about this observation: by the template of its kind, or by the named one where there is such.

    A template of one's own that fails on what it could not foresee is replaced by `generic` of the house, which never fails.
    """
    words = (templates or house()).find(observation.game, observation.kind, template)
    if not words.is_own:
        return _said(words, observation, mind, limits)
    try:
        return _said(words, observation, mind, limits)
    except FAILURES:
        return _said(house().words[GENERIC], observation, mind, limits)


def template_of(observation: Observation, *, templates: Templates | None = None, template: str = "") -> str:
    """What this observation is asked by: `strategic@2`, or `castle/patrol@1+3f2a9c41` from a folder of one's own."""
    return (templates or house()).find(observation.game, observation.kind, template).ref


def templates_in(folder: str) -> Templates:
    """The house's templates and those of a folder of one's own, each of them tried; an empty name is no folder."""
    return library.templates_in(folder, _try)


def _said(words: Words, observation: Observation, mind: Mind, limits: Limits) -> tuple[Turn, ...]:
    facts: dict[str, Any] = {
        "game": observation.game,
        "npc": observation.npc,
        "kind": observation.kind,
        "scene": observation.scene,
        "state": msgspec.json.decode(observation.state),
        "actions": observation.legal_actions,
        "speaks": is_speaking(observation),
        "plans": is_planning(observation),
        "texts": observation.texts,
        "persona": None if mind.persona == persona.NOBODY else mind.persona,
        "recalled": mind.recalled,
        "notes": mind.notes,
        "limits": limits,
    }
    return tuple(Turn(role, text[:TURN_CHARS_MAX]) for role, text in words.said(facts))


def _try(words: Words) -> None:
    """Asks about somebody of whom everything is known and about somebody of whom nothing is; raises what the template raises."""
    game, _, kind = words.name.rpartition("/")
    for sample, mind in ((_FULL, _SOMEBODY), (_BARE, NOBODY)):
        _said(words, msgspec.structs.replace(sample, game=game or sample.game, kind=kind), mind, LIMITS)


_BARE = Observation(
    id="tried",
    game="game",
    npc="npc",
    kind="kind",
    legal_actions=(LegalAction(name="wait"),),
    answer_within_ms=1,
    snapshot=0,
)
_FULL = Event(
    id="tried",
    game="game",
    npc="npc",
    kind="kind",
    legal_actions=(
        LegalAction(name="wait", description="Do nothing."),
        LegalAction(
            name="walk", parameters={"to": Choice(enum=("gate", "tower")), "steps": Whole(minimum=1, maximum=9)}
        ),
    ),
    answer_within_ms=1,
    snapshot=0,
    texts=(Heard(speaker="somebody", text="words"),),
    scene="square",
)
_SOMEBODY = Mind(
    Persona(name="x", called="Somebody", traits=("calm",), voice="short", goals=("peace",), knowledge=("a secret",)),
    recalled=("something happened",),
    notes=("Something has to be said.",),
)
