"""The settings of the decision service."""

from typing import Annotated

import msgspec


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`HEARTHMIND_DECISION__…`"""

    triage: tuple[str, ...] = ("combat=model", "*=rules")
    """Which kind of observation goes where: `kind=rules` or `kind=model`, comma-separated; `*` is every other kind."""
    pool: str = "rules"
    """Whose workers are asked."""
    model: str = "rules_scripted"
    """What they are asked for."""
    answer_early_ms: Annotated[float, msgspec.Meta(ge=0, le=10_000)] = 40
    """How long before its deadline a decision falls back, at most half of its time: the action still has to travel."""
    pending_max: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """How many decisions of a partition may wait for an engine; beyond, they fall back at once and memory stays bounded."""
