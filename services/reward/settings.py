"""The settings of the reward service."""

from typing import Annotated

import msgspec

Seconds = Annotated[float, msgspec.Meta(gt=0)]


class Reward(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`HEARTHMIND_REWARD__…`"""

    batch_max: Annotated[int, msgspec.Meta(ge=1, le=5_000)] = 2_000
    """How many messages one transaction takes: enough to share its cost, few enough to be done within a second."""
    batch_wait_s: Annotated[float, msgspec.Meta(ge=0.001, le=5)] = 0.1
    """How long a message waits at most for others to share its transaction."""
    park_max_s: Seconds = 3600
    """How long an outcome waits for its decision, before it is taken for one of an unknown decision."""
    sweep_every_s: Seconds = 1
    """How often outcomes are looked for that were left behind; several processes may do so at once."""
    sweep_max: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1_000
    """How many are taken at a time."""
    inbox_kept_s: Seconds = 8 * 24 * 3600
    """How long a message is known again: longer than the EXPERIENCE stream keeps and can redeliver it."""
    prune_every_s: Seconds = 3600
    """How often the inbox is cleared of what is older."""
