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
    """How long an outcome waits for its decision, before it becomes an experience without."""
    sweep_every_s: Seconds = 1
    """How often outcomes are looked for that were left behind; several processes may do so at once."""
    sweep_max: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1_000
    """How many are taken at a time."""
    inbox_kept_s: Seconds = 8 * 24 * 3600
    """How long a message is known again: longer than the EXPERIENCE stream keeps and can redeliver it."""
    halves_kept_s: Seconds = 30 * 24 * 3600
    """How long decisions and outcomes stay where they wait for each other; experiences have all of both."""
    prune_every_s: Seconds = 3600
    """How often tables are cleared of what is older, and partitions made and retired."""
    ahead_days: Annotated[int, msgspec.Meta(ge=1, le=60)] = 7
    """For how many days to come partitions are made."""
    kept_days: Annotated[int, msgspec.Meta(ge=0, le=36_500)] = 0
    """How many days experiences stay in Postgres; older ones go to Parquet files. 0: for ever."""
    archive: str = ".hearthmind/archive"
    """The folder of these files."""
    file: str = ""
    """A YAML file with reward functions of the games' own, as expressions; empty: none."""
    horizon: Seconds = 24
    """The age at which it is seen what an experience led to, by the game's own clock: 24 where its unit is an hour."""
    steps_max: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5
    """How many experiences of an episode, from one on, its n-step return adds up."""
    discount: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.9
    """How much less each further one of them counts."""
    over_after_s: Seconds = 24 * 3600
    """An episode of which nothing was stored for so long is over: what it led to by then is all."""
    late_s: Seconds = 10
    """For so long it waits for what happened at the same time and is stored by another process; what comes later still makes
    those due again that it tells of."""
    look_back_every_s: Seconds = 30
    """How often experiences are looked for that have reached that age; several processes may do so at once."""
    look_back_max: Annotated[int, msgspec.Meta(ge=1, le=5_000)] = 500
    """How many of them one transaction takes."""
