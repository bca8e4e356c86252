"""Exports a transformers folder for the `onnx_…` engine: `python -m services.inference_worker.engines.onnx_export FOLDER OUT`.

`--adapters` leaves room for LoRA adapters of any rank on all linear layers, and costs a little speed.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
OPEN = re.compile(
    r"^model\.layers\.(?P<layer>\d+)\.(?P<part>attn|mlp)\.(?P<module>\w+)\.lora_(?P<side>[AB])\.MatMul\.weight$"
)
PARTS = {"attn": "self_attn", "mlp": "mlp"}
LIST = "adapters.json"
APART_MAX = 0.05
"""Logits that differ by less are rounding."""


def export(folder: Path, out: Path, precision: str = "fp32", device: str = "cpu", *, adapters: bool = False) -> None:
    """Writes `out` whole, or not at all."""
    with tempfile.TemporaryDirectory() as temporary:
        begun = Path(temporary) / "model"
        options = [f"adapter_path={_no_adapter(folder, Path(temporary) / 'adapter')}"] if adapters else []
        command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(folder), "-o", str(begun)]
        command += ["-p", precision, "-e", device, "-c", f"{temporary}/cache"]
        done = subprocess.run(
            [*command, *(["--extra_options", *options] if options else [])], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"the export of {folder} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        template = folder / "chat_template.jinja"
        if template.is_file():
            shutil.copy(template, begun)
        if adapters:
            _open(begun)
        if precision == "fp32":
            _compare(folder, begun)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(begun, out)


def _no_adapter(folder: Path, adapter: Path) -> Path:
    """An adapter that changes nothing, so that the export has the places of one."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    get_peft_model(model, LoraConfig(r=1, lora_alpha=1, target_modules=list(MODULES))).save_pretrained(adapter)
    return adapter


def _open(folder: Path) -> None:
    """Makes the LoRA weights inputs that may be filled in, of any rank, and zero where they are not."""
    import onnx

    model = onnx.load(folder / "model.onnx")
    names: dict[str, str] = {}
    for weight in model.graph.initializer:
        found = OPEN.match(weight.name)
        if found is None:
            continue
        shape: list[int | str] = list(weight.dims)
        shape[1 if found["side"] == "A" else 0] = f"rank {weight.name}"
        value = onnx.helper.make_tensor_value_info(weight.name, weight.data_type, shape)
        model.graph.input.append(value)
        names[f"layers.{found['layer']}.{PARTS[found['part']]}.{found['module']}.lora_{found['side']}"] = weight.name
    del model.graph.value_info[:]  # shapes that were derived from the rank of 1
    for file in folder.glob("model.onnx*"):
        file.unlink()
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="model.onnx.data")
    (folder / LIST).write_text(json.dumps(names, indent=1) + "\n")


def _compare(folder: Path, exported: Path) -> None:
    """Refuses an export that says something else than the model: the builder guesses which layer is the last by its width."""
    import numpy as np
    import onnxruntime_genai as og
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokens = [token % model.config.vocab_size for token in range(5, 25)]
    with torch.no_grad():
        wanted = model(torch.tensor([tokens])).logits[0, -1].numpy()
    runtime = og.Model(str(exported))
    params = og.GeneratorParams(runtime)
    params.set_search_options(max_length=len(tokens) + 1)
    generator = og.Generator(runtime, params)
    generator.append_tokens(np.array(tokens, dtype=np.int32))
    apart = float(abs(generator.get_logits()[0, -1] - wanted).max())
    if apart > APART_MAX:
        raise SystemExit(f"the export of {folder} says something else than the model: its logits are {apart:.3g} apart")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "fp16", "int8", "int4"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--adapters", action="store_true", help="leave room for LoRA adapters")
    asked = parser.parse_args()
    export(asked.folder, asked.out, asked.precision, asked.device, adapters=asked.adapters)
    sys.stdout.write(f"exported to {asked.out}\n")


if __name__ == "__main__":
    main()
