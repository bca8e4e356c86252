"""Prompts from templates: a file for each kind of decision that has words of its own, and `generic` for all others.

A template's blocks are the turns of the prompt, each named by who says it. What many prompts share stands in `system`: what
the task is, and in which form it is answered; then comes the game, then the character, then what changes.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Annotated, Any

import msgspec
from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hearthmind.contracts.inference import Turn
from hearthmind.contracts.observation import Observation
from hearthmind.prompting import telling
from hearthmind.prompting.answers import is_speaking

GENERIC = "generic"
_FOLDER = Path(__file__).parent / "templates"
_VERSION = re.compile(r"\{# version (\d+):")


class Limits(msgspec.Struct, frozen=True):
    """How much of an observation a prompt may show, in characters; about four make a token of a usual model."""

    state_chars_max: Annotated[int, msgspec.Meta(ge=100)] = 8_000
    """Half of the 4,096 tokens that an engine reads by default; what the game names first is kept."""
    actions_chars_max: Annotated[int, msgspec.Meta(ge=100)] = 4_000
    """A quarter. Descriptions are dropped first; the answer's schema holds all legal actions anyway."""
    texts_chars_max: Annotated[int, msgspec.Meta(ge=100)] = 2_000
    """The newest are kept, so that no player can push the situation out by talking."""


LIMITS = Limits()


def prompt_of(observation: Observation, limits: Limits = LIMITS) -> tuple[Turn, ...]:
    """What a model is asked about this observation."""
    template = environment().get_template(f"{_name(observation.kind)}.jinja")
    seen: dict[str, Any] = {
        "game": observation.game,
        "npc": observation.npc,
        "kind": observation.kind,
        "state": msgspec.json.decode(observation.state),
        "actions": observation.legal_actions,
        "speaks": is_speaking(observation),
        "texts": observation.texts,
        "limits": limits,
    }
    context = template.new_context(seen)
    return tuple(Turn(role, "".join(block(context)).strip()) for role, block in template.blocks.items())


def template_of(kind: str) -> str:
    """The template that asks for decisions of this kind, and its version: `strategic@1`."""
    name = _name(kind)
    return f"{name}@{_version(name)}"


def _name(kind: str) -> str:
    return kind if kind in _templates() else GENERIC


@functools.cache
def _templates() -> frozenset[str]:
    return frozenset(path.stem for path in _FOLDER.glob("*.jinja"))


@functools.cache
def _version(name: str) -> int:
    found = _VERSION.match((_FOLDER / f"{name}.jinja").read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"the template {name}.jinja does not begin with its version, as in {{# version 1: ... #}}")
    return int(found[1])


@functools.cache
def environment() -> ImmutableSandboxedEnvironment:
    """No template reaches out of its facts, and a name that is not among them is an error."""
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(_FOLDER), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "plain": telling.plain,
        "standing": telling.standing,
        "told": telling.told,
        "menu": telling.menu,
        "heard": telling.heard,
    }
    return environment
