"""Checkpoints: the weights as safetensors, with all that is needed to use them, or to go on learning, in the file itself.

`checkpoint_step_N.safetensors` and `final_model.safetensors` are networks that play; the `.resume.safetensors` beside a
checkpoint has what only the training needs. A file is complete or not there: it is written aside and renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hearthmind.errors import Refused
from services.selfplay.model import Network, Shape
from services.selfplay.settings import Settings

T = TypeVar("T", bound=msgspec.Struct)

FINAL = "final_model.safetensors"
STEP = "checkpoint_step_{step}.safetensors"
RESUME = ".resume.safetensors"


class BadCheckpoint(Refused):
    """{path} is not a checkpoint of ours: {why}. Take one that `hearthmind selfplay train` wrote."""


class Card(msgspec.Struct, frozen=True):
    """What a checkpoint says of itself."""

    shape: Shape
    settings: Settings
    games: int = 0
    iteration: int = 0


def save(path: Path, weights: Mapping[str, Tensor], card: msgspec.Struct) -> None:
    """Writes tensors and card, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    tensors = {name: weight.detach().cpu().contiguous() for name, weight in weights.items()}
    save_file(tensors, aside, metadata={"card": msgspec.json.encode(card).decode()})
    aside.rename(path)


def lighten(path: Path, to: Path) -> int:
    """Writes a checkpoint with its weights in bf16, for others to play; how many bytes it has."""
    tensors, card = read(path, Card)
    save(to, {name: weight.bfloat16() for name, weight in tensors.items()}, card)
    return to.stat().st_size


def load(path: Path, device: str = "cpu") -> tuple[Network, Card]:
    """The network of a checkpoint, ready to play, and its card."""
    tensors, card = read(path, Card)
    network = Network(card.shape)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise BadCheckpoint(path=path, why=error) from error
    return network.to(device).eval(), card


def read(path: Path, kind: type[T]) -> tuple[dict[str, Tensor], T]:
    """Tensors and card of a file; weights that are not finite are refused."""
    try:
        with safe_open(path, "pt") as file:
            card = msgspec.json.decode((file.metadata() or {})["card"], type=kind)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- it is no dictionary
    except (OSError, KeyError, SafetensorError, msgspec.MsgspecError) as error:
        raise BadCheckpoint(path=path, why=error) from error
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise BadCheckpoint(path=path, why="some of its weights are not finite numbers")
    return tensors, card


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run that can be resumed, oldest first."""
    found = (path for path in folder.glob(STEP.format(step="*")) if not path.name.endswith(RESUME))
    return sorted((path for path in found if resume_of(path).exists()), key=step_of)


def step_of(path: Path) -> int:
    """The iteration that a checkpoint was taken after."""
    return int(path.stem.rpartition("_")[2])


def resume_of(path: Path) -> Path:
    """The file with what only the training needs, beside a checkpoint."""
    return path.with_name(path.stem + RESUME)


def keep_newest(folder: Path, kept: int) -> None:
    """Removes all checkpoints but the newest ones."""
    for path in checkpoints(folder)[: -max(kept, 1)]:
        resume_of(path).unlink()
        path.unlink()
