"""The settings of an inference worker."""

from typing import Annotated

import msgspec

from hearthmind.flow import TIERS


class InferenceWorker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`HEARTHMIND_INFERENCE_WORKER__…`"""

    model: str = "rules_scripted"
    """What the engine runs, as the models' file declares it; the prefix chooses the engine."""
    pool: str = ""
    """The workers that hold the same model; requests name the pool. Empty: as the models' file says."""
    tiers: tuple[str, ...] = TIERS
    """The tiers that this worker serves: fewer of them reserve it for what matters."""
    slots: Annotated[int, msgspec.Meta(ge=0, le=4096)] = 0
    """How many requests the engine works on at once; 0, and no more than that: as many as it can without making them wait."""
    held_back: Annotated[float, msgspec.Meta(ge=0, le=0.4)] = 0.0625
    """The share of the slots that only the critical tier may fill, and again that only it and the strategic one may: so that
    an urgent request starts at once, and none when an engine has under 16 slots. More of it costs throughput."""
    prefetch: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 64
    """How many requests of a tier may wait here at most; more wait on the bus, where any worker can take them."""
    ahead_s: Annotated[float, msgspec.Meta(gt=0, le=10)] = 0.25
    """So much of the engine's work waits here when more waits on the bus: many times what a way over the bus takes, so that
    the engine never waits for it, and little enough for priorities to hold and for others to take their share."""
    ageing_s: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    """A request that has waited here this long counts as one tier higher, so that nothing starves."""
    still_after_s: Annotated[float, msgspec.Meta(ge=0)] = 60.0
    """An engine that has requests and has not got on for this long hangs: the process ends to be started again; 0: never."""
    finish_within_s: Annotated[float, msgspec.Meta(ge=0, le=600)] = 5.0
    """At a stop the engine has this long to finish what it has begun; the rest goes back to the broker at once."""
    answers_max: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 4096
    """How many answers the response cache holds in this process, each of at most 16 KiB; 0: nothing is cached."""
    answers_within_ms: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 5
    """How long the cache that all workers share may take to say what it has; 0: it is not asked."""
