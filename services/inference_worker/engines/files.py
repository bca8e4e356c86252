"""Where a model's files lie on this machine, and what is missing of them. No library of the hub is needed to look.

A model is a folder of its own, or a name on the hub, whose files the hub's libraries keep in their cache. What is there whole is
given to an engine as a folder: then it starts the same with and without a network.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from hearthmind.models import Model, Onnx

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
"""They name the files that large weights are spread over."""
WEIGHTS = (".safetensors", ".bin", ".pt")
WORDS = ("vocab.json", "spiece.model", "tekken.json")
"""Tokenizers by other names than `tokenizer…`."""


@dataclass(frozen=True)
class Files:
    """What is there of a model."""

    folder: Path
    """Where its files are, or would be looked for."""
    missing: tuple[str, ...]
    """What an engine could not do without."""

    @property
    def size(self) -> int:
        """How large they are, in bytes."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    @property
    def weights_size(self) -> int:
        """How large the weights are, in bytes."""
        return sum(path.stat().st_size for path in self.folder.glob("*") if path.suffix in WEIGHTS)


def files_of(model: Model) -> Files:
    """What is on this machine of a model that has files."""
    folder = folder_of(model.path)
    return Files(folder, missing_in(folder, model))


def folder_of(path: str) -> Path:
    """The folder that a declared path means."""
    return snapshot_of(path) if is_hub_name(path) else Path(path)


def is_hub_name(path: str) -> bool:
    """Whether it is a name on the hub and no folder."""
    return path.count("/") <= 1 and not path.startswith((".", "/", "~")) and not Path(path).is_dir()


def path_of(model: Model) -> str:
    """What an engine is given: the folder where the model is there whole, otherwise what was declared."""
    files = files_of(model)
    return model.path if files.missing else str(files.folder)


def cache() -> Path:
    """Where the hub's libraries keep what they fetch."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()


def kept_at(name: str) -> Path:
    """The cache's folder for everything of one model."""
    return cache() / f"models--{name.replace('/', '--')}"


def snapshot_of(name: str) -> Path:
    """The files of the version that was fetched last."""
    kept = kept_at(name)
    main = kept / "refs" / "main"
    version = main.read_text().strip() if main.is_file() else "none"
    return kept / "snapshots" / version


def missing_in(folder: Path, model: Model) -> tuple[str, ...]:
    """What the model's engine would not find there."""
    config = "genai_config.json" if isinstance(model.engine, Onnx) else "config.json"
    if not (folder / config).is_file():
        return (config,)
    if isinstance(model.engine, Onnx):
        return ()
    for index in INDEXES:
        if (folder / index).is_file():
            return tuple(part for part in _parts(folder / index) if not (folder / part).is_file())
    names = [path.name for path in folder.iterdir() if path.is_file()]
    has_weights = any(name.endswith(WEIGHTS) for name in names)
    has_words = model.tokenizer or any(name.startswith("tokenizer") or name in WORDS for name in names)
    return (*(() if has_weights else ("its weights",)), *(() if has_words else ("its tokenizer",)))


def _parts(index: Path) -> list[str]:
    """The files that an index names; itself where it can't be read."""
    try:
        return sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return [f"{index.name}, readable"]
