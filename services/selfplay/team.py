"""Several processes that learn as one, started by torchrun: each plays a share of the tables and works on a share of each batch.

    torchrun --nproc-per-node 2 -m services.command.app selfplay train ...

Everybody holds the same network. The rollouts of all are joined, so that everybody draws the same batches, and the gradients of
their shares are summed: it comes to what one process would learn from the whole batch, within rounding. Only the first
measures, shows and keeps.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import distributed

from services.selfplay.model import Network
from services.selfplay.rollout import Rollout, joined


@dataclass(frozen=True)
class Team:
    """Who this process is among those that learn together; alone it is the first of one."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether it measures, shows and keeps for all."""
        return self.rank == 0

    def join(self, rollout: Rollout) -> Rollout:
        """The rollouts of all as one."""
        if self.size == 1:
            return rollout
        everybody_s: list[Rollout] = [rollout] * self.size
        distributed.all_gather_object(everybody_s, rollout)
        return joined(everybody_s)

    def share(self, chosen: np.ndarray) -> np.ndarray:
        """What of a batch is this process's."""
        return chosen[self.rank :: self.size]

    def add_up(self, network: Network) -> None:
        """The gradients of all shares, summed."""
        if self.size == 1:
            return
        gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
        sums = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(sums)
        for gradient, total in zip(gradients, sums.split([each.numel() for each in gradients]), strict=True):
            gradient.copy_(total.view_as(gradient))

    def mean(self, numbers: dict[str, float]) -> dict[str, float]:
        """The mean of what each has found."""
        if self.size == 1:
            return numbers
        sums = torch.tensor(list(numbers.values()), dtype=torch.float64)
        return dict(zip(numbers, (_summed(sums) / self.size).tolist(), strict=True))

    def agree(self, number: float) -> float:
        """The number of the first, whatever the others hold; nobody goes on before all have asked."""
        return number if self.size == 1 else float(_summed(torch.tensor(number * self.is_first, dtype=torch.float64)))


ALONE = Team()


def _summed(numbers: torch.Tensor) -> torch.Tensor:
    here = numbers.to("cuda" if distributed.get_backend() == "nccl" else "cpu")
    distributed.all_reduce(here)
    return here.cpu()


@contextmanager
def team_of(device: str) -> Iterator[Team]:
    """The team that torchrun has started, or nobody else."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield Team(distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()
