"""Adapters: LoRA weights for one base model, named by version and hash, and looked at closely before anybody loads them.

An adapter comes from outside, so its file is read here by hand and nothing of it is ever executed: safetensors only, every
byte accounted for, pairs of matrices of one rank, finite numbers. `describe` makes the manifest of a good one and names what
is wrong with a bad one; `check` holds what was fetched against its manifest.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from hearthmind.contracts.wire import Id, Line
from hearthmind.errors import Refused

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
"""What the files are called in an adapter's folder, here as everywhere."""

SIZE_BYTES_MAX = 512 * 1024**2
HEADER_BYTES_MAX = 4 * 1024 * 1024
RANK_MAX = 256
_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_EXPONENT = {"F32": 0x7F800000, "F16": 0x7C00, "BF16": 0x7F80}
"""A number whose exponent bits are all set is not finite."""
_MATRIX = re.compile(r"^(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.default)?\.weight$")
_VERSION = re.compile(r"^([A-Za-z0-9_-]{1,64})@([1-9][0-9]{0,8})\Z")


class BadAdapter(Refused):
    """The adapter {name} is refused: {why}."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one version of an adapter; a version is never used for other weights."""

    name: Id
    version: Annotated[int, msgspec.Meta(ge=1)]
    sha256: str
    """Of the weights' file, which is stored under it."""
    size_bytes: int
    base: str
    """The base model, as its makers call it."""
    base_sha256: str
    """Of the base model's own files: an adapter for another base is refused."""
    rank: int
    modules: tuple[str, ...]
    """Which of the base's matrices it changes."""
    config: str
    """The text of adapter_config.json."""
    score: float | None = None
    """How well it did where it was tried; only compared with others of its name."""
    origin: Line = ""
    """Where it comes from: a training run, a person, an import."""

    @property
    def full_name(self) -> str:
        """`<name>@<version>`, as requests and replies say it."""
        return f"{self.name}@{self.version}"


class InForce(msgspec.Struct, frozen=True):
    """Which version of an adapter answers to its bare name, and which did before, the latest first."""

    version: int
    before: tuple[int, ...] = ()
    trial: int = 0
    """A version that a share of the characters gets, to be proved before it serves all; 0: none."""
    share: float = 0.0

    def of(self, game: str, npc: str) -> int:
        """The version that this character gets: the same one as long as the share stays, and with a larger one the same still."""
        drawn = zlib.crc32(f"{game}/{npc}/{self.trial}".encode()) / 2**32
        return self.trial if self.trial and drawn < self.share else self.version

    def tried(self, version: int, share: float) -> InForce:
        """Another version is given to a share of the characters."""
        return InForce(self.version, self.before, version, share)

    def promoted(self, version: int, kept_max: int = 32) -> InForce:
        """Another version takes its place; a trial ends with that."""
        earlier = (self.version, *(old for old in self.before if old not in (version, self.version)))
        return InForce(version, self.before if version == self.version else earlier[:kept_max])

    def rolled_back(self) -> InForce | None:
        """A trial ends, or the version before takes its place again; None where there was neither."""
        if self.trial:
            return InForce(self.version, self.before)
        return InForce(self.before[0], self.before[1:]) if self.before else None


def split_version(wanted: str) -> tuple[str, int | None]:
    """The name, and the version where one is named."""
    found = _VERSION.match(wanted)
    return (found[1], int(found[2])) if found else (wanted, None)


def manifest_key(name: str, version: int) -> str:
    """Where the registry keeps the manifest of a version."""
    return f"adapter.{name}.{version}"


def in_force_key(name: str) -> str:
    """Where the registry keeps which version is in force."""
    return f"adapter.{name}.in_force"


class _Tensor(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


@dataclass(frozen=True)
class Weights:
    """What a file of LoRA weights holds."""

    rank: int
    modules: tuple[str, ...]


def read_weights(data: bytes | memoryview, name: str) -> Weights:
    """Reads and checks the weights' file; raises `BadAdapter` with what is wrong with it."""
    if len(data) > SIZE_BYTES_MAX:
        raise BadAdapter(name=name, why=f"its {len(data)} bytes are over the limit of {SIZE_BYTES_MAX}")
    tensors, body = _open(memoryview(data), name)
    ranks: dict[str, dict[str, int]] = {}
    for key, tensor in tensors.items():
        found = _MATRIX.match(key)
        if not found or len(tensor.shape) != 2:
            raise BadAdapter(name=name, why=f"{key[:100]!r} is not a LoRA matrix, and only those are taken")
        place, side = found[1], found[2]
        ranks.setdefault(place, {})[side] = tensor.shape[0 if side == "A" else 1]
        _check_finite(tensor, body, key, name)
    for place, sides in ranks.items():
        if set(sides) != {"A", "B"} or len(set(sides.values())) != 1:
            raise BadAdapter(name=name, why=f"{place} needs a lora_A and a lora_B of one rank, and has {sides}")
    highest = max((sides["A"] for sides in ranks.values()), default=0)
    if not 1 <= highest <= RANK_MAX:
        raise BadAdapter(name=name, why=f"its rank is {highest}; 1 to {RANK_MAX} are taken")
    return Weights(highest, tuple(sorted({place.rpartition(".")[2] for place in ranks})))


def _open(data: memoryview, name: str) -> tuple[dict[str, _Tensor], memoryview]:
    """The table of a safetensors file, each byte of which belongs to exactly one tensor."""
    header_bytes = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= header_bytes <= min(HEADER_BYTES_MAX, len(data) - 8):
        raise BadAdapter(name=name, why="it is not a safetensors file; pickled weights (.bin, .pt) are never loaded")
    try:
        table = msgspec.json.decode(data[8 : 8 + header_bytes], type=dict[str, msgspec.Raw])
        table.pop("__metadata__", None)
        tensors = {key: msgspec.json.decode(raw, type=_Tensor) for key, raw in table.items()}
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BadAdapter(name=name, why=f"its safetensors header can't be read ({error})") from None
    body, at = data[8 + header_bytes :], 0
    for key, tensor in sorted(tensors.items(), key=lambda entry: entry[1].data_offsets):
        begin, end = tensor.data_offsets
        count = 1
        for length in tensor.shape:
            count *= max(0, length)
        if tensor.dtype not in _BYTES:
            raise BadAdapter(name=name, why=f"{key[:100]!r} is {tensor.dtype}; {', '.join(_BYTES)} are taken")
        if begin != at or end - begin != count * _BYTES[tensor.dtype]:
            raise BadAdapter(name=name, why=f"the bytes of {key[:100]!r} are not where its header says")
        at = end
    if at != len(body):
        raise BadAdapter(name=name, why=f"it has {len(body)} bytes of weights, and its header speaks of {at}")
    return tensors, body


def _check_finite(tensor: _Tensor, body: memoryview, key: str, name: str) -> None:
    import numpy as np  # a game server has no NumPy, and never looks at weights

    begin, end = tensor.data_offsets
    exponent = _EXPONENT[tensor.dtype]
    bits = np.frombuffer(body[begin:end], f"<u{_BYTES[tensor.dtype]}").astype(np.uint32, copy=False)
    if bool(((bits & np.uint32(exponent)) == exponent).any()):
        raise BadAdapter(name=name, why=f"{key[:100]!r} has numbers that are not finite (NaN or infinity)")


def describe(
    folder: Path, name: str, version: int, base_sha256: str, score: float | None = None, origin: str = ""
) -> tuple[Manifest, bytes]:
    """The manifest of the adapter in a folder, as PEFT writes them, and the bytes of its weights."""
    for file in (WEIGHTS, CONFIG):
        if not (folder / file).is_file():
            there = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) if folder.is_dir() else "no folder"
            raise BadAdapter(name=name, why=f"there is no {file} in {folder} ({there})")
    data = (folder / WEIGHTS).read_bytes()
    weights = read_weights(data, name)
    text = (folder / CONFIG).read_text()
    config = read_config(text, name)
    manifest = Manifest(
        name=name,
        version=version,
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        base=config.base_model_name_or_path or "",
        base_sha256=base_sha256,
        rank=weights.rank,
        modules=weights.modules,
        config=text,
        score=score,
        origin=origin,
    )
    return manifest, data


class Config(msgspec.Struct, frozen=True):
    """What matters of PEFT's adapter_config.json."""

    peft_type: str = ""
    r: int = 0
    base_model_name_or_path: str | None = None


def read_config(text: str, name: str) -> Config:
    """Reads adapter_config.json; only plain LoRA is taken."""
    try:
        config = msgspec.json.decode(text.encode(), type=Config)
        json.loads(text)
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadAdapter(name=name, why=f"its {CONFIG} can't be read ({error})") from None
    if config.peft_type != "LORA":
        raise BadAdapter(name=name, why=f"it is of the type {config.peft_type or 'unknown'!r}; LORA is taken")
    return config


def check(manifest: Manifest, data: bytes, base_sha256: str) -> None:
    """Whether these are the weights that the manifest speaks of, and made for this base."""
    name = manifest.full_name
    if manifest.base_sha256 != base_sha256:
        raise BadAdapter(
            name=name,
            why=f"it was made for another base ({manifest.base}, {manifest.base_sha256[:12]}), not for {base_sha256[:12]}",
        )
    if (got := hashlib.sha256(data).hexdigest()) != manifest.sha256:
        raise BadAdapter(name=name, why=f"its weights have the hash {got[:12]}, not {manifest.sha256[:12]}: damaged")
    weights = read_weights(data, name)
    if (weights.rank, weights.modules) != (manifest.rank, manifest.modules):
        raise BadAdapter(name=name, why="its weights are not what its manifest says")
    read_config(manifest.config, name)


def base_hash(folder: Path) -> str:
    """The hash of a base model: its configuration and weights, whatever the folder is called."""
    files = sorted(path for path in folder.glob("*") if path.name == "config.json" or path.suffix == ".safetensors")
    if not any(path.suffix == ".safetensors" for path in files):
        raise BadAdapter(name=f"base {folder}", why="there are no safetensors weights in that folder")
    whole = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            whole.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()
