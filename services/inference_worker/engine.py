"""What turns a request into an answer, chosen by the model's name."""

from __future__ import annotations

from typing import Protocol

import msgspec

from hearthmind import scripted
from hearthmind.bus.wire import encode
from hearthmind.contracts.inference import Infer
from hearthmind.errors import CannotStart


class Generated(msgspec.Struct, frozen=True):
    """An engine's words for one request, and what they cost."""

    text: str
    tokens_in: int = 0
    tokens_out: int = 0


class Engine(Protocol):
    """Answers many requests at once; an error becomes a failed reply, and the decision falls back."""

    model: str

    async def answer(self, infer: Infer) -> Generated:
        """Answers one request; cancelling it takes it out of the engine."""
        ...

    async def close(self) -> None:
        """Gives back what the engine holds."""
        ...


class RulesEngine:
    """`rules_…`: the scripted mind behind the same hop as every model, in the same words as a model."""

    def __init__(self, model: str) -> None:
        self.model = model

    async def answer(self, infer: Infer) -> Generated:
        """The scripted mind's answer, as the JSON that a model would write."""
        return Generated(encode(scripted.choose(infer.observation)).decode())

    async def close(self) -> None:
        """There is nothing to give back."""


def engine_for(model: str) -> Engine:
    """The engine that the model's prefix names."""
    if model.removeprefix("rules_") == "scripted":
        return RulesEngine(model)
    raise CannotStart(why=f"no engine runs the model {model!r}; there is rules_scripted")
