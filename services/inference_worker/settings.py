"""The settings of an inference worker."""

from typing import Annotated

import msgspec

from hearthmind.flow import TIERS


class InferenceWorker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`HEARTHMIND_INFERENCE_WORKER__…`"""

    model: str = "rules_scripted"
    """What the engine runs; the prefix chooses the engine."""
    pool: str = "rules"
    """The workers that hold the same model; requests name the pool."""
    tiers: tuple[str, ...] = TIERS
    """The tiers that this worker serves: fewer of them reserve it for what matters."""
    slots: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 32
    """How many requests the engine works on at once."""
    prefetch: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 64
    """How many requests of a tier may wait here; more wait on the bus, where any worker can take them."""
    ageing_s: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    """A request that has waited this long counts as one tier higher, so that nothing starves."""
