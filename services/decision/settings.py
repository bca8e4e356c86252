"""The settings of the decision service."""

from typing import Annotated

import msgspec


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`HEARTHMIND_DECISION__…`"""

    triage: tuple[str, ...] = ("realm/strategic=onnx_nano", "combat=rules_scripted", "*=rules")
    """Who answers what: `kind=model` or `game/kind=model` each; `rules` is no model, and `*` every other kind."""
    tokens_max: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 256
    """The longest answer that a model may write; a longer one is cut, can't be read, and the fallback answers."""
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] = 0.0
    """How freely a model's words are drawn; 0 takes the likeliest, so that the same situation gets the same answer."""
    answer_early_ms: Annotated[float, msgspec.Meta(ge=0, le=10_000)] = 40
    """How long before its deadline a decision falls back, at most half of its time: the action still has to travel."""
    pending_max: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """How many decisions of a partition may wait for an engine; beyond, they fall back at once and memory stays bounded."""
