"""Which engine runs a model: the prefix of its name says so. Heavy libraries are imported by the engine that needs them."""

from __future__ import annotations

from importlib import import_module

from hearthmind.errors import CannotStart
from hearthmind.models import Hf, Litellm, Model, Onnx, Policy, Rules, Vllm
from services.inference_worker.engines import Engine

PARTS: dict[type, tuple[str, str]] = {
    Vllm: ("vllm", "VllmEngine"),
    Hf: ("hf", "HfEngine"),
    Onnx: ("onnx", "OnnxEngine"),
    Litellm: ("litellm", "LitellmEngine"),
    Policy: ("policy", "PolicyEngine"),
    Rules: ("rules", "RulesEngine"),
}


def engine_for(model: Model) -> Engine:
    """The engine that runs the model; raises `CannotStart` where a library is missing."""
    part, name = PARTS[type(model.engine)]
    try:
        module = import_module(f"services.inference_worker.engines.{part}")
    except ModuleNotFoundError as error:
        raise CannotStart(why=f"{model.name} needs the library {error.name}; `./just models` installs it") from error
    engine: Engine = getattr(module, name)(model, model.engine)
    return engine
