"""What keeps a model from starting, in words that say which setting to change. vLLM says it in a child's log, at length."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

HEARD_MAX_BYTES = 256 * 1024

FILE = "of {model} in the models' file"
LOWER = f"lower `context` (2048) or `gpu_memory_share` (0.85) {FILE}"
OTHER_SERVER = "serve the model with Ollama or llama.cpp and declare it as `litellm_…` with its URL"
ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"larger than the available KV cache memory|No available memory for the cache blocks|Cannot auto-fit max_model_len",
        "what is left of the memory holds no cache for a context of {context} tokens: lower `context` (2048), or raise "
        f"`gpu_memory_share` (on a CPU `cpu_cache_gib`) {FILE}",
    ),
    (
        r"less than desired CPU memory utilization|less than requested memory for kv",
        f"the machine's memory is too small, or others hold it: lower `cpu_cache_gib` {FILE}, or end them",
    ),
    (
        r"less than desired GPU memory utilization|Free memory on device|weights on device|CUDA-capable device\(s\) is/are busy",
        f"another program holds a part of the GPU's memory (`nvidia-smi` shows it): end it, or {LOWER}",
    ),
    (
        r"CUDA out of memory occurred when warming up",
        f"the GPU's memory is too small for so many requests at once: lower `slots` or `gpu_memory_share` (0.85) {FILE}",
    ),
    (
        r"CUDA out of memory|OutOfMemoryError|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED",
        f"the GPU's memory is too small: {LOWER}, or take a model in 4 bit",
    ),
    (
        r"Cannot allocate memory|DefaultCPUAllocator: can't allocate|MemoryError",
        f"the machine's memory is too small: lower `context` (2048) or `cpu_cache_gib` {FILE}, or take a smaller model",
    ),
    (
        r"greater than the derived max_model_len",
        f"the model can't take a context of {{context}} tokens: lower `context` {FILE}",
    ),
    (
        r"Bfloat16 is only supported|is not supported for quantization method",
        f"this card or packing does not know the model's kind of numbers: set `dtype: float16` {FILE}",
    ),
    (
        r"is not supported for the current GPU",
        f"this card does not know that packing of the weights: another `quantisation` {FILE} (awq, gptq), or another model",
    ),
    (
        r"no kernel image is available|CUDA capability sm_\d+ is not compatible|compute capability \(CC\) [0-6]\."
        r"|No valid attention backend found.*compute capability not supported",
        f"vLLM does not support this card (it needs a compute capability of 7.0, newer builds 7.5): {OTHER_SERVER}",
    ),
    (
        r"Torch not compiled with CUDA enabled",
        "what is installed is for CPUs: `./just models gpu` installs what GPUs need",
    ),
    (
        r"invalid device ordinal|No CUDA GPUs are available|no CUDA-capable device",
        f"there is no GPU of that number: correct `device` {FILE} (`nvidia-smi -L` lists them; a container needs its "
        "`device_ids`)",
    ),
    (
        r"Found no NVIDIA driver|NVIDIA driver on your system is too old|libcuda\.so|CUDA driver (?:version is insuff|initial)"
        r"|Failed to infer device type|NVML",
        "no NVIDIA driver that fits was found: install or update it (`nvidia-smi` has to list the card; a container needs "
        f"`gpus: all` or its `device_ids`), correct `device` {FILE}, or install the CPU flavour with `./just models cpu`",
    ),
    (
        r"gated repo|401 Client Error|Access to model .* is restricted",
        "the hub wants a login for {path}: accept its licence there, set HF_TOKEN, and `hearthmind models fetch {model}`",
    ),
    (
        r"does not appear to have a file named config\.json|Repository Not Found|is not a local folder|Can't load the "
        r"configuration|Invalid repository ID|couldn't connect to|offline mode is enabled|OfflineModeIsEnabled"
        r"|HFValidationError|Cannot find any model weights|outgoing traffic has been disabled",
        f"there is no model at {{path}}: `hearthmind models fetch {{model}}` brings it; or correct `path` {FILE}",
    ),
    (
        r"Model architectures .* (?:are not supported|failed to be inspected)|Cannot find model module",
        "vLLM does not know this kind of model: declare it as `hf_…`, or take another one",
    ),
    (
        r"[Uu]nknown quantization method|does not match the quantization|[Qq]uantization method",
        f"the model's weights are packed otherwise: correct `quantisation` {FILE}",
    ),
    (
        r"divisible by tensor parallel|World size .* larger than the number of available GPUs",
        f"the model can't be spread like that: correct `tensor_parallel` or `device` {FILE}",
    ),
    (r"No space left on device", "the disk is full: make room, or set `HF_HOME` to where there is"),
    (
        r"larger than .*max_cpu_loras|max_lora_rank|max_loras",
        f"correct `adapters_max` or `adapter_rank_max` {FILE}",
    ),
)
"""What is heard, and what it means; the first that fits counts, so the narrower stands before the wider."""
ERROR = re.compile(r"^.*?((?:[A-Za-z_.]*(?:Error|Exception))(?:: .*|$))", re.MULTILINE)


def advice(heard: str, **facts: object) -> str:
    """Why a start failed and what to do, by what was heard of it: by its errors if they say it, since warnings speak of much
    else; the last error's own words where nothing is known."""
    errors = [line for line in ERROR.findall(heard) if "core initialization failed" not in line]
    for said in ("\n".join(errors), heard):
        for sign, what in ADVICE:
            if re.search(sign, said):
                return what.format_map(facts)
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
