"""Which engine runs a model: the prefix of its name says so. Heavy libraries are imported by the engine that needs them."""

from __future__ import annotations

from hearthmind.errors import CannotStart
from services.inference_worker.engines import Engine
from services.inference_worker.engines.rules import RulesEngine


def engine_for(model: str) -> Engine:
    """The engine that the model's prefix names."""
    if model.removeprefix("rules_") == "scripted":
        return RulesEngine(model)
    raise CannotStart(why=f"no engine runs the model {model!r}; there is rules_scripted")
