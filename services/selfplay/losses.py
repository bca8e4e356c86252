"""What PPO makes smaller, as pure functions: advantages from rewards, and one loss from log-probabilities and values.

Everything here is checked against arithmetic done by hand in tests/selfplay/test_losses.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float32]


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much each part of the loss counts, and where it is clipped."""

    clip: float = 0.2
    value: float = 0.5
    value_clip: float = 0.0
    """How far a value may move from the one at play, in the value's unit; 0 lets it go anywhere."""
    entropy: float = 0.01
    entropy_floor: float = 0.0
    """Mean entropy in nats below which `floor` pulls it up again."""
    floor: float = 1.0
    magnet: float = 0.0
    """How strongly the play is held near an earlier self; self-play of hidden information runs in circles without."""


@dataclass(frozen=True)
class Batch:
    """Decisions as they were made: [B] each, but for `reference` [B, A]."""

    action: Tensor
    """[B] what was done"""
    log_probability: Tensor
    """[B] how likely it was for whoever did it"""
    value: Tensor
    """[B] what the situation was held to be worth"""
    advantage: Tensor
    """[B] how much better it went"""
    gain: Tensor
    """[B] what it came to: advantage and value"""
    weight: Tensor
    """[B] how much each counts, 1 on average"""
    reference: Tensor | None = None
    """[B, A] the log-probabilities of the self that the magnet holds it to"""


@dataclass(frozen=True)
class Parts:
    """What the loss consists of, to be watched."""

    policy: Tensor
    value: Tensor
    entropy: Tensor
    kl: Tensor
    """How far the play has moved from the one that made the decisions: mean of r - 1 - log r, never below 0."""
    clipped: Tensor
    """The share of decisions whose ratio is beyond the clip."""
    magnet: Tensor


def ppo_loss(
    log_probabilities: Tensor, values: Tensor, batch: Batch, weights: Weights, unit: float
) -> tuple[Tensor, Parts]:
    """The loss of these decisions under the network as it is now; `log_probabilities` are [B, A], `values` [B]."""
    weight = batch.weight
    log_ratio = log_probabilities.gather(1, batch.action[:, None]).squeeze(1) - batch.log_probability
    ratio = log_ratio.exp()
    near = ratio.clamp(1 - weights.clip, 1 + weights.clip)
    policy = -(weight * torch.minimum(ratio * batch.advantage, near * batch.advantage)).mean()

    value = (weight * value_losses(values / unit, batch.value / unit, batch.gain / unit, weights.value_clip)).mean()

    probabilities = log_probabilities.exp()
    entropy = -(weight * (probabilities * log_probabilities).sum(1)).mean()
    floor = (weights.entropy_floor - entropy).clamp(min=0)

    magnet = torch.zeros((), device=weight.device)
    if batch.reference is not None:
        magnet = (weight * (probabilities * (log_probabilities - batch.reference)).sum(1)).mean()

    loss = policy + weights.value * value - weights.entropy * entropy + weights.floor * floor + weights.magnet * magnet
    kl = (ratio - 1 - log_ratio).mean()
    clipped = ((ratio - 1).abs() > weights.clip).float().mean()
    return loss, Parts(policy, value, entropy, kl, clipped, magnet)


def value_losses(now: Tensor, before: Tensor, gain: Tensor, clip: float) -> Tensor:
    """Half the squared errors; with a clip, the worse of the value and of one no further than that from `before`."""
    error = (now - gain).square()
    if clip > 0:
        near = before + (now - before).clamp(-clip, clip)
        error = torch.maximum(error, (near - gain).square())
    return 0.5 * error


@dataclass(frozen=True)
class Advantages:
    """Per decision [T, N]: how much better than expected it went, and whether that can be known."""

    advantage: Floats
    known: NDArray[np.bool_]
    """False for a seat's last decision of a hand that was still going on when the rollout ended."""


def advantages(
    values: Floats,
    actors: NDArray[np.int8],
    finished: NDArray[np.bool_],
    payoffs: Floats,
    discount: float,
    trace: float,
) -> Advantages:
    """Generalised advantage estimation where several seats share a table, told backwards through time.

    `values`, `actors` and `finished` are [T, N], `payoffs` [T, N, P]. For each seat of each table it holds what came
    after: the value of the seat's next decision of this hand, or, after its last one, what the hand brought it.
    """
    steps, tables, seats = payoffs.shape
    after_value = np.zeros((tables, seats), np.float32)
    after_advantage = np.zeros((tables, seats), np.float32)
    after_known = np.zeros((tables, seats), np.bool_)
    every = np.arange(tables)
    result, known = np.zeros((steps, tables), np.float32), np.zeros((steps, tables), np.bool_)
    for step in range(steps - 1, -1, -1):
        ended, actor = finished[step], actors[step].astype(np.intp)
        after_value[ended] = payoffs[step, ended]
        after_advantage[ended] = 0
        after_known[ended] = True
        known[step] = after_known[every, actor]
        surprise = np.where(known[step], after_value[every, actor] - values[step], 0)
        result[step] = surprise + trace * after_advantage[every, actor]
        after_value[every, actor] = discount * values[step]
        after_advantage[every, actor] = discount * result[step]
        after_known[every, actor] = True
    return Advantages(result, known)
