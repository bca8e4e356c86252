"""LoRA adapters for ONNX Runtime: the exported model leaves their weights open, an adapter's file fills them in.

`onnx_export` makes each LoRA weight an input of the model that is zero where nobody fills it in, and writes down which is
which. An adapter in the layout of peft is turned into the runtime's own file when it is loaded.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from safetensors.numpy import load_file

from services.inference_worker.engines import CannotServe

LIST = "adapters.json"
"""In an exported model's folder: the name of each weight in peft, and of the model's input for it."""
PEFT = re.compile(r"^base_model\.model\.(?:model\.)?(?P<name>.*)\.lora_(?P<side>[AB])\.weight$")


class Lora(msgspec.Struct, frozen=True):
    """What peft's `adapter_config.json` says that matters here."""

    r: int
    lora_alpha: float
    use_rslora: bool = False

    @property
    def scale(self) -> float:
        """What the weights are multiplied with."""
        return self.lora_alpha / (self.r**0.5 if self.use_rslora else self.r)


def takes_adapters(folder: Path) -> bool:
    """Whether the model was exported for adapters."""
    return (folder / LIST).is_file()


def convert(adapter: Path, file: Path, model: Path) -> None:
    """Writes an adapter's folder as the runtime's file; one that has weights that the model leaves no room for is refused."""
    inputs = json.loads((model / LIST).read_text())
    lora = msgspec.json.decode((adapter / "adapter_config.json").read_bytes(), type=Lora)
    filled: dict[str, ort.OrtValue] = {}
    for name, weight in load_file(adapter / "adapter_model.safetensors").items():
        found = PEFT.match(name)
        key = f"{found['name']}.lora_{found['side']}" if found else name
        if key not in inputs:
            raise CannotServe(why=f"the adapter changes {name}, which the model was not exported for")
        scale = lora.scale if key.endswith("B") else 1.0
        filled[inputs[key]] = ort.OrtValue.ortvalue_from_numpy(_laid_out(weight, scale))
    made = ort.AdapterFormat()
    made.set_adapter_version(1)
    made.set_model_version(1)
    made.set_parameters(filled)
    made.export_adapter(str(file))


def _laid_out(weight: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """As the model multiplies with it: input first."""
    return np.ascontiguousarray(weight.T.astype(np.float32) * np.float32(scale))
