"""What keeps vLLM from starting: its own words, as version 0.32 has them, and what a worker makes of them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from hearthmind.bus.connect import close, connect
from hearthmind.bus.provision import provision
from hearthmind.errors import EXIT_CONFIG
from hearthmind.settings import Broker
from hearthmind.testing.servers import nats_server
from hearthmind.testing.tiny_model import tiny_llama
from services.inference_worker.engines.vllm_troubles import advice
from tests.engines.behaviour import needs

SMALL = ("`context` (2048)", "`gpu_memory_share` (0.85)")
HEARD = [
    (
        "ValueError: Free memory on device cuda:0 (2.1/23.7 GiB) on startup is less than desired GPU memory utilization "
        "(0.9, 21.3 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
        ("another program", *SMALL),
    ),
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB. GPU 0 has a total capacity of", SMALL),
    ("RuntimeError: CUDA error: out of memory", SMALL),
    (
        "RuntimeError: CUDA out of memory occurred when warming up sampler with 256 dummy requests. Please try lowering "
        "`max_num_seqs` or `gpu_memory_utilization` when initializing the engine.",
        ("lower `slots`", SMALL[1]),
    ),
    (
        "ValueError: To serve at least one request with the model's max seq len (4096), (16.0 GiB KV cache is needed, which "
        "is larger than the available KV cache memory (1.2 GiB). Try increasing `gpu_memory_utilization`",
        ("lower `context` (2048)", "raise `gpu_memory_share`"),
    ),
    (
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
        ("lower `context` (2048)", "raise `gpu_memory_share`"),
    ),
    (
        "ValueError: Available memory on node 0 (1.1/23.5 GiB) on startup is less than desired CPU memory utilization",
        ("`cpu_cache_gib`",),
    ),
    (
        "ValueError: User-specified max_model_len (4096) is greater than the derived max_model_len "
        "(max_position_embeddings=2048 or model_max_length=None in model's config.json).",
        ("a context of 4096 tokens", "lower `context`"),
    ),
    ("RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU", ("nvidia-smi",)),
    (
        "RuntimeError: The NVIDIA driver on your system is too old (found version 11040).",
        ("install or update it", "`device`"),
    ),
    ("ImportError: libcuda.so.1: cannot open shared object file: No such file or directory", ("`gpus: all`",)),
    (
        "RuntimeError: Failed to infer device type, please set the environment variable `VLLM_LOGGING_LEVEL=DEBUG`",
        ("./just models cpu", "`device`"),
    ),
    ("AssertionError: Torch not compiled with CUDA enabled", ("./just models gpu",)),
    ("torch.AcceleratorError: CUDA error: invalid device ordinal", ("correct `device`", "nvidia-smi -L")),
    ("RuntimeError: No CUDA GPUs are available", ("correct `device`",)),
    (
        "torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device",
        ("does not support this card", "Ollama", "`litellm_…`"),
    ),
    (
        "UserWarning: Found GPU0 Tesla P40 which is of compute capability (CC) 6.1.\nRuntimeError: surprise",
        ("does not support this card", "7.0"),
    ),
    (
        "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla T4 GPU has "
        "compute capability 7.5.",
        ("`dtype: float16`",),
    ),
    (
        "ValueError: The quantization method fp8 is not supported for the current GPU. Minimum capability: 89. "
        "Current capability: 75.",
        ("another `quantisation`",),
    ),
    (
        "Value error, Quantization method specified in the model config (gptq) does not match the quantization method "
        "specified in the `quantization` argument (awq).",
        ("correct `quantisation`",),
    ),
    (
        "ValueError: Total number of attention heads (6) must be divisible by tensor parallel size (4).",
        ("`tensor_parallel`",),
    ),
    (
        "Value error, World size (2) is larger than the number of available GPUs (1) in this node.",
        ("`tensor_parallel`", "`device`"),
    ),
    ("OSError: You are trying to access a gated repo.", ("HF_TOKEN", "hearthmind models fetch vllm_x")),
    (
        "OSError: /models/x does not appear to have a file named config.json.",
        ("hearthmind models fetch vllm_x", "`path`"),
    ),
    ("RuntimeError: Cannot find any model weights with `/models/x`", ("hearthmind models fetch vllm_x",)),
    ("OSError: [Errno 28] No space left on device", ("HF_HOME",)),
    ("noise\nKeyError: 'surprise'\nRuntimeError: Engine core initialization failed.", ("KeyError: 'surprise'",)),
    # A warning that every card before Ampere gets, and what really went wrong.
    (
        "WARNING Your device 'Tesla T4' (with compute capability 7.5) doesn't support torch.bfloat16. Falling back to "
        "torch.float16 for compatibility.\nWARNING NVML is away\ntorch.OutOfMemoryError: CUDA out of memory.",
        SMALL,
    ),
]


@pytest.mark.parametrize(("heard", "says"), HEARD)
def test_a_start_that_failed_says_what_to_change(heard: str, says: tuple[str, ...]) -> None:
    said = advice(heard, model="vllm_x", path="/models/x", context=4096)
    assert [each for each in says if each not in said] == []
    assert "{" not in said


@needs("vllm")
@pytest.mark.parametrize(
    ("engine", "says"),
    [
        ("{context: 2000000, cpu_cache_gib: 1}", ("a context of 2000000 tokens", "lower `context`", "`cpu_cache_gib`")),
        ("{context: 512, cpu_cache_gib: 90000}", ("memory is too small", "lower `cpu_cache_gib`")),
    ],
)
async def test_a_worker_without_enough_memory_ends_with_the_settings_to_change(
    engine: str, says: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)  # an engine in this process has set it
    endless = folder / "endless"
    shutil.copytree(tiny_llama(), endless)
    config = json.loads((endless / "config.json").read_text())
    (endless / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4_000_000}))
    options = f"dtype: float32, eager: true, slots: 2, adapters_max: 0, {engine[1:-1]}"
    entry = f"models:\n  vllm_endless: {{path: {endless}, engine: {{{options}}}}}\n"
    (folder / "models.yaml").write_text(entry)
    async with nats_server(folder / "nats") as broker:
        nc = await connect(Broker(url=broker.url), "test", lambda: None)
        await provision(nc, partitions=1, pools=("vllm_endless",))
        await close(nc)
        settings = {
            "NATS_URL": broker.url,
            "HEARTHMIND_MODELS__PATH": str(folder / "models.yaml"),
            "HEARTHMIND_INFERENCE_WORKER__MODEL": "vllm_endless",
        }
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.inference_worker"), env=os.environ | settings, stderr=PIPE
        )
        _, said = await worker.communicate()
    last = said.decode().splitlines()[-1]
    assert worker.returncode == EXIT_CONFIG, said.decode()[-4000:]
    assert last.startswith("inference_worker: Cannot start: vllm_endless does not run")
    assert [each for each in says if each not in last] == []
