"""What keeps a model from starting, in words that say which setting to change. vLLM says it in a child's log, at length."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

HEARD_MAX_BYTES = 256 * 1024

LOWER = "lower `gpu_memory_share` (0.85) or `context` (2048) of {model} in the models' file"
ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"larger than the available KV cache memory|No available memory for the cache blocks",
        "what is left of the memory holds no cache for a context of {context} tokens: lower `context`, or raise "
        "`gpu_memory_share` (on a CPU `cpu_cache_gib`) of {model} in the models' file",
    ),
    (
        r"is less than desired GPU memory utilization|Free memory on device",
        "another program holds a part of the GPU's memory: end it, or " + LOWER,
    ),
    (r"CUDA out of memory|OutOfMemoryError|CUDA error: out of memory", "the GPU's memory is too small: " + LOWER),
    (
        r"greater than the derived max_model_len",
        "the model can't take a context of {context} tokens: lower `context` of {model} in the models' file",
    ),
    (
        r"Found no NVIDIA driver|NVIDIA driver on your system is too old|libcuda\.so|CUDA driver|no CUDA-capable device"
        r"|Failed to infer device type|NVML",
        "no NVIDIA driver that fits was found: install or update it (`nvidia-smi` has to list the card; a container needs "
        "`gpus: all`), correct `device` of {model} in the models' file, or install the CPU flavour with `./just models cpu`",
    ),
    (
        r"no kernel image is available|[Cc]ompute [Cc]apability|minimum capability",
        "vLLM does not support this card: serve the model with Ollama or llama.cpp and declare it as `litellm_…` with its URL",
    ),
    (
        r"gated repo|401 Client Error|Access to model .* is restricted",
        "the hub wants a login for {path}: accept its licence there and run `hf auth login`",
    ),
    (
        r"does not appear to have a file named config\.json|Repository Not Found|is not a local folder|Can't load the "
        r"configuration|Invalid repository ID|couldn't connect to|offline mode is enabled|HFValidationError",
        "there is no model at {path}: correct `path` of {model} in the models' file, or fetch the model first",
    ),
    (
        r"[Uu]nknown quantization method|[Qq]uantization method|does not match the quantization",
        "the model's weights are packed otherwise: correct `quantisation` of {model} in the models' file",
    ),
    (
        r"attention heads .* divisible by tensor parallel|World size .* larger than the number of available GPUs",
        "the model can't be spread like that: correct `tensor_parallel` or `device` of {model} in the models' file",
    ),
    (r"No space left on device", "the disk is full: make room, or set `HF_HOME` to where there is"),
    (r"larger than .*max_cpu_loras|max_lora_rank|max_loras", "correct `adapters_max` or `adapter_rank_max` of {model}"),
)
ERROR = re.compile(r"^.*?((?:[A-Za-z_.]*(?:Error|Exception))(?:: .*|$))", re.MULTILINE)


def advice(heard: str, **facts: object) -> str:
    """Why a start failed and what to do, by what was heard of it; the last error's own words where nothing is known."""
    for sign, what in ADVICE:
        if re.search(sign, heard):
            return what.format_map(facts)
    errors = [line for line in ERROR.findall(heard) if "core initialization failed" not in line]
    return f"vLLM says {errors[-1].strip()!r}" if errors else "vLLM does not say why; its log is above"


@dataclass
class Heard:
    """The end of what this process and its children said."""

    _parts: bytearray = field(default_factory=bytearray)

    def hear(self, part: bytes) -> None:
        """Takes it down."""
        self._parts += part
        del self._parts[:-HEARD_MAX_BYTES]

    @property
    def text(self) -> str:
        """All of it."""
        return self._parts.decode(errors="replace")


@contextmanager
def overheard() -> Iterator[Heard]:
    """Writes down what is said on the error output, by children too, while it goes where it always goes."""
    heard, kept = Heard(), os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)

    def pass_on() -> None:
        while part := os.read(reading, 65536):
            heard.hear(part)
            os.write(kept, part)
        os.close(reading)
        os.close(kept)

    listening = threading.Thread(target=pass_on, name="overhears a start", daemon=True)
    listening.start()
    back = os.dup(kept)
    try:
        yield heard
    finally:
        os.dup2(back, 2)
        os.close(back)
        listening.join(0.5)  # children that live on keep the pipe, and are passed on from there
