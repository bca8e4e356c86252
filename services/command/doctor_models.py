"""What `hearthmind doctor` finds about models: the GPU as torch sees it, the engines' libraries, files, keys, memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import msgspec

from hearthmind.models import FROM_FILES, Hf, Litellm, Model, Vllm, declared
from services.command.finding import OK, WARNING, WRONG, Finding
from services.inference_worker.engines.files import files_of
from services.inference_worker.engines.providers import key_of

CAPABILITY_MIN = (7, 0)
LOOK_WITHIN_S = 120.0
CACHE_MIN_GIB = 1.0
"""What has to be left of a GPU's memory for a cache, beside the weights."""
SHRINKS = {"bitsandbytes": 0.3, "fp8": 0.55}
"""How much of the weights is left where an engine packs them while it loads."""
LOOK_AT_TORCH = """
import json, torch
cuda = torch.cuda
cards = [(cuda.get_device_properties(n), *cuda.mem_get_info(n)) for n in range(cuda.device_count())]
print(json.dumps({"version": torch.__version__, "built_for": torch.version.cuda or "", "is_available": cuda.is_available(),
  "cards": [{"name": p.name, "capability": [p.major, p.minor], "free": f, "total": t} for p, f, t in cards]}))
"""


class Card(msgspec.Struct, frozen=True):
    """A GPU as torch sees it."""

    name: str
    capability: tuple[int, int]
    free: int
    total: int


class Torch(msgspec.Struct, frozen=True):
    """What torch says of itself and of the GPUs."""

    version: str
    built_for: str
    is_available: bool
    cards: tuple[Card, ...] = ()


def look_at_models(used: Mapping[str, str]) -> Iterator[Finding]:
    """All of it; `used` says of models that settings name which setting that is."""
    models = declared()
    yield from (finding_of(model, used.get(name, "")) for name, model in models.items() if model.kind in FROM_FILES)
    yield from (finding for model in models.values() for finding in keys_of(model, used.get(model.name, "")))
    wanted = [model for name, model in models.items() if name in used or _is_here(model)]
    torch: Torch | None = None
    if find_spec("torch"):
        torch, finding = look_at_torch()
        yield finding
    elif any(isinstance(model.engine, Vllm | Hf) for model in wanted):
        yield Finding("torch", WARNING, "it is not installed: `./just models`, or `./just models gpu`")
    if torch:
        yield from cards(torch)
        yield from (finding for model in models.values() for finding in memory_for(model, torch.cards))
    yield from look_at_vllm(any(isinstance(model.engine, Vllm) for model in wanted))


def _is_here(model: Model) -> bool:
    return isinstance(model.engine, Vllm | Hf) and not files_of(model).missing


def finding_of(model: Model, used_by: str) -> Finding:
    """Whether the model's files are there."""
    files, what = files_of(model), f"model {model.name}"
    if not files.missing:
        return Finding(what, OK, f"its files are at {files.folder}")
    lacks = f"{', '.join(files.missing[:3])} is missing in {files.folder}"
    bring = f"`hearthmind models fetch {model.name}` brings it"
    if not used_by:
        return Finding(what, OK, f"not here, and no setting asks for it; {bring}")
    return Finding(what, WARNING, f"{used_by} names it, and {lacks}: {bring}, or correct `path`")


def keys_of(model: Model, used_by: str) -> Iterator[Finding]:
    """Whether providers have their keys."""
    for provider in model.engine.providers if isinstance(model.engine, Litellm) else ():
        if not provider.key_env:
            continue
        what = f"key of {model.name}"
        try:
            found = bool(key_of(provider))
        except OSError as error:
            yield Finding(what, WRONG, f"the file of {provider.key_env}_FILE can't be read: {error}")
            continue
        says = "is set" if found else f"is not set; set it, or {provider.key_env}_FILE to a file that has it"
        yield Finding(what, OK if found else WRONG if used_by else WARNING, f"{provider.key_env} {says}")


def look_at_torch() -> tuple[Torch | None, Finding]:
    """CUDA as torch sees it, in a process of its own: importing torch takes seconds, and a broken driver can end a process."""
    status, said, wrong = _looked(LOOK_AT_TORCH)
    if status:
        return None, Finding("torch", WRONG, f"it can't look: {wrong}; `./just models` installs it again")
    torch = msgspec.json.decode(said, type=Torch)
    return torch, torch_finding(torch)


def torch_finding(torch: Torch) -> Finding:
    """What torch says of CUDA."""
    if torch.is_available:
        return Finding("torch", OK, f"{torch.version} sees {len(torch.cards)} GPU{'s' * (len(torch.cards) != 1)}")
    if not torch.built_for:
        return Finding("torch", OK, f"{torch.version} is for CPUs; for GPUs: `./just models gpu`")
    why = "no GPU it can use: look whether `nvidia-smi` lists it, and install or update NVIDIA's driver; a container needs "
    return Finding("torch", WRONG, f"{torch.version}, for CUDA {torch.built_for}, sees {why}its `device_ids`")


def cards(torch: Torch) -> Iterator[Finding]:
    """Each GPU, and whether vLLM supports it."""
    for number, card in enumerate(torch.cards):
        of = ".".join(map(str, card.capability))
        says = f"{card.name}, compute capability {of}, {gib(card.free)} of {gib(card.total)} free"
        if card.capability < CAPABILITY_MIN:
            other = "vLLM needs 7.0: let Ollama or llama.cpp use it, and declare the model as `litellm_…` with its URL"
            yield Finding(f"GPU {number}", WARNING, f"{says}; {other}")
        else:
            yield Finding(f"GPU {number}", OK, says)


def memory_for(model: Model, found: tuple[Card, ...]) -> Iterator[Finding]:
    """Whether the weights of a model that is here fit into the share of a GPU that it may take."""
    settings = model.engine
    if not isinstance(settings, Vllm) or not found or files_of(model).missing:
        return
    weights = files_of(model).weights_size * SHRINKS.get(settings.quantisation, 1.0) / settings.tensor_parallel
    number = settings.device.split(",")[0]
    seen = [found[int(number)]] if number.isdigit() and int(number) < len(found) else list(found)
    card = max(seen, key=lambda each: each.total)
    room = card.total * settings.gpu_memory_share
    says = f"weights of {gib(weights)} for each GPU, of which it may take {gib(room)} of {gib(card.total)}"
    if weights + CACHE_MIN_GIB * 2**30 > room:
        yield Finding(f"memory for {model.name}", WARNING, f"{says}: take a model in 4 bit, or raise `tensor_parallel`")
    elif room > card.free:
        advice = f"only {gib(card.free)} are free: end what holds it, or lower `gpu_memory_share` (0.85) and `context` (2048)"
        yield Finding(f"memory for {model.name}", WARNING, f"{says}; {advice}")
    else:
        yield Finding(f"memory for {model.name}", OK, says)


def look_at_vllm(is_wanted: bool) -> Iterator[Finding]:
    """Whether vLLM can be imported, where some model wants it: that takes many seconds."""
    if not is_wanted:
        return
    if find_spec("vllm") is None:
        says = "it is not installed: `./just models gpu`, or `./just models` where there is no GPU"
        yield Finding("vllm", WARNING, says)
        return
    status, said, wrong = _looked("import vllm, vllm.engine.arg_utils; print(vllm.__version__)")
    if status:
        yield Finding(
            "vllm", WRONG, f"it can't be imported: {wrong}; `./just models`, or `./just models gpu`, installs it again"
        )
    else:
        yield Finding("vllm", OK, f"{said.split()[-1]} can be imported")


def gib(size: float) -> str:
    """Memory for people, as `nvidia-smi` counts."""
    return f"{size / 2**30:.1f} GiB"


def _looked(program: str) -> tuple[int, str, str]:
    """Runs a few lines of Python: status, last line, last line of the errors."""
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            capture_output=True, text=True, errors="replace", timeout=LOOK_WITHIN_S, check=False, cwd=Path.cwd(),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 1, "", f"it took over {LOOK_WITHIN_S:g} s"
    out, err = done.stdout.strip().splitlines(), done.stderr.strip().splitlines()
    return done.returncode, out[-1] if out else "", err[-1] if err else f"status {done.returncode}"
