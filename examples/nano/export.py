"""Writes a Llama of transformers' layout as ONNX for onnxruntime-genai: the same weights, to be run without torch.

    python -m examples.nano.export [--model examples/nano/model] [--out examples/nano/model/onnx]

The builder writes 32-bit weights. Where the model was kept in bfloat16 they hold nothing more than that, so they are kept in
bfloat16 again, each behind a cast that the runtime carries out once, when it loads: half the size, and the same numbers.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from services.inference_worker.engines.onnx_export import export as as_onnx

HERE = Path(__file__).parent
BESIDE = "model.onnx.data"
SMALL = 1_024
"""Tensors of fewer numbers stay as they are."""

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--model", type=Path, default=HERE / "model")
parser.add_argument("--out", type=Path, default=HERE / "model" / "onnx")


def export(model: Path, out: Path) -> None:
    """The folder that onnxruntime-genai loads."""
    with tempfile.TemporaryDirectory() as work:
        whole = Path(work) / "whole"
        as_onnx(model, whole)
        graph = onnx.load(whole / "model.onnx")
        halved(graph)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(whole, out, ignore=shutil.ignore_patterns("model.onnx*"))
        onnx.save(graph, out / "model.onnx", save_as_external_data=True, location=BESIDE, size_threshold=SMALL)


def halved(model: ModelProto) -> None:
    """Every large 32-bit tensor that bfloat16 holds exactly, in bfloat16 and behind a cast."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        numbers = numpy_helper.to_array(tensor)
        half = numbers.astype(ml_dtypes.bfloat16)
        if numbers.size < SMALL or not np.array_equal(half.astype(np.float32), numbers):
            continue
        name, kept = tensor.name, f"{tensor.name}.bfloat16"
        tensor.CopyFrom(helper.make_tensor(kept, TensorProto.BFLOAT16, numbers.shape, half.tobytes(), raw=True))
        casts.append(helper.make_node("Cast", [kept], [name], f"{name}.cast", to=TensorProto.FLOAT))
    for place, cast in enumerate(casts):
        model.graph.node.insert(place, cast)


if __name__ == "__main__":
    options = parser.parse_args()
    export(options.model, options.out)
    size_mb = sum(path.stat().st_size for path in options.out.iterdir()) / 1e6
    print(f"{options.out}: {size_mb:.1f} MB")
