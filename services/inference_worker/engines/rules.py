"""`rules_…`: the scripted mind behind the same hop as every model, in the same words as a model."""

from __future__ import annotations

from hearthmind import scripted
from hearthmind.bus.wire import encode
from hearthmind.contracts.inference import Infer
from hearthmind.models import Model, Rules
from hearthmind.persona import behaviour_of
from services.inference_worker.engines import Adapter, CannotServe, Generated


class RulesEngine:
    """Reads the observation, not the prompt; an answer is ready at once."""

    slots_max = 4096
    adapters_max = 0
    progress = 0
    ailment = ""

    def __init__(self, model: Model, settings: Rules) -> None:  # noqa: ARG002 (there are none yet)
        self.model = model.name

    async def start(self) -> None:
        """There is nothing to load."""

    async def answer(self, infer: Infer, adapter: Adapter | None = None) -> Generated:  # noqa: ARG002 (it takes none)
        """The scripted mind's answer, as the JSON that a model would write."""
        if infer.observation is None:
            raise CannotServe(why=f"{self.model} answers observations, and this request has only a prompt")
        return Generated(encode(scripted.choose(infer.observation, behaviour_of(infer.behaviour))).decode())

    async def load(self, adapter: Adapter) -> None:
        """It has no weights to adapt."""
        raise CannotServe(why=f"{self.model} takes no adapters, such as {adapter.version}")

    async def unload(self, version: str) -> None:
        """It never holds one."""

    async def close(self) -> None:
        """There is nothing to give back."""
