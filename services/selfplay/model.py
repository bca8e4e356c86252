"""The network: a transformer that reads what the player to move sees and says how to play it and what it is worth.

Tokens in, one weight per action and one value out. Short inputs are the whole art of being fast here: what every row begins with
(`lead` tokens) is read as one, the network looks no further than the longest row of the batch, and its last layer asks
only for the first token, which both heads read.
"""

from __future__ import annotations

from typing import Any

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from hearthmind.errors import Refused

ILLEGAL = -1e9


class UnknownPreset(Refused):
    """There is no preset {preset!r} of the network; take one of {known}."""


class Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How large a network is, and of what game."""

    vocabulary: int
    tokens_max: int
    actions: int
    d_model: int = 128
    layers: int = 4
    heads: int = 4
    lead: int = 1
    """How many tokens every row begins with that are read as one: of hold'em all but what has happened."""
    value_unit: float = 1.0
    """What the value head counts in; about the spread of the payoffs, so that it learns numbers around one."""
    outlooks: int = 0
    """How many guesses of somebody who sees everything the value is made of, besides what the player sees."""


PRESETS = {
    "large": {"d_model": 448, "layers": 6, "heads": 8},
    "small": {"d_model": 128, "layers": 4, "heads": 4},
    "quick": {"d_model": 64, "layers": 3, "heads": 4},
    "tiny": {"d_model": 32, "layers": 2, "heads": 2},
    "table": {"d_model": 64, "layers": 0, "heads": 1},
}
"""large is 14.6 million parameters, small 0.8 million and for CPUs, quick 0.2 million and for a first look, tiny 30,000. table is
for games so small that each thing that is seen has a token of its own: it learns of each by itself."""


def preset(name: str) -> dict[str, int]:
    """The sizes that go by this name."""
    if name not in PRESETS:
        raise UnknownPreset(preset=name, known=", ".join(PRESETS))
    return PRESETS[name]


class Layer(nn.Module):
    """Attention and a small network for each token, both on normalised input and added to what was there."""

    def __init__(self, d_model: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(d_model)
        self.ask = nn.Linear(d_model, d_model)
        self.offer = nn.Linear(d_model, 2 * d_model)
        self.told = nn.Linear(d_model, d_model)
        self.before_thought = nn.LayerNorm(d_model)
        self.widen = nn.Linear(d_model, 4 * d_model)
        self.narrow = nn.Linear(4 * d_model, d_model)

    def forward(self, x: Tensor, present: Tensor, asking: int) -> Tensor:
        """Of `x` [B, L, D] the first `asking` tokens, having heard all that are `present` [B, 1, 1, L]."""
        rows, length, width = x.shape
        normal = self.before_attention(x)
        query = self.ask(normal[:, :asking]).view(rows, asking, self.heads, -1).transpose(1, 2)
        key, value = self.offer(normal).view(rows, length, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        heard = attended(query, key, value, present)
        x = x[:, :asking] + self.told(heard.transpose(1, 2).reshape(rows, asking, width))
        thought: Tensor = x + self.narrow(functional.gelu(self.widen(self.before_thought(x)), approximate="tanh"))
        return thought


def attended(query: Tensor, key: Tensor, value: Tensor, present: Tensor) -> Tensor:
    """What each of `query` [B, H, Q, D] hears of the others; plainly where torch's own way is slow with rows as short as ours."""
    if query.is_cuda:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=present)
    weights = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    return weights.masked_fill(~present, ILLEGAL).softmax(-1).to(value.dtype) @ value


class Network(nn.Module):
    """Reads tokens [B, L] (0 is padding, never the first) and legal actions [B, A]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.meaning = nn.Embedding(shape.vocabulary, shape.d_model)
        self.place = nn.Parameter(torch.randn(shape.tokens_max, shape.d_model) * 0.02)
        spread = float(shape.lead > 1)
        self.role = nn.Parameter((1 + spread * torch.randn(shape.lead, shape.d_model)) * shape.lead**-0.5)
        self.layers = nn.ModuleList(Layer(shape.d_model, shape.heads) for _ in range(shape.layers))
        self.before_heads = nn.LayerNorm(shape.d_model)
        self.policy = nn.Linear(shape.d_model, shape.actions)
        self.worth = nn.Linear(shape.d_model, 1 + shape.outlooks)
        nn.init.normal_(self.meaning.weight, std=0.5)
        nn.init.normal_(self.policy.weight, std=0.01)
        nn.init.normal_(self.worth.weight, std=0.01)
        for name, weight in self.named_parameters():
            if name.endswith(("told.weight", "narrow.weight")):
                nn.init.normal_(weight, std=0.5 * (shape.d_model * shape.layers) ** -0.5)

    def forward(self, tokens: Tensor, legal: Tensor) -> tuple[Tensor, Tensor]:
        """The log-probabilities [B, A] of the actions, the illegal ones hopeless, and the worth [B, 1 + K] for `valued`."""
        lead = self.shape.lead
        x = self.meaning(tokens) + self.place[: tokens.shape[1]]
        x = torch.cat(((x[:, :lead] * self.role).sum(1, keepdim=True), x[:, lead:]), 1)
        present = (tokens[:, lead - 1 :] != 0)[:, None, None, :]
        for number, layer in enumerate(self.layers, 1):
            x = layer(x, present, x.shape[1] if number < len(self.layers) else 1)
        read = self.before_heads(x[:, 0])
        logits = self.policy(read).float().masked_fill(~legal, ILLEGAL)
        worth = self.worth(read).float()
        worth = torch.cat((worth[:, :1] * self.shape.value_unit, worth[:, 1:]), 1)
        return functional.log_softmax(logits, -1), worth

    @property
    def parameters_count(self) -> int:
        """How many numbers it has learned."""
        return sum(weight.numel() for weight in self.parameters())


def valued(worth: Any, outlook: Any) -> Any:
    """The values [B], in the game's unit, of `worth` [B, 1 + K]: what can be seen, and how much each guess [B, K] of what is
    hidden counts here. A network that was told fewer guesses, or none, takes as many as it knows.
    """
    known = worth.shape[1] - 1
    return worth[:, 0] + (worth[:, 1:] * outlook[:, :known]).sum(1)


def shortened(tokens: Tensor) -> Tensor:
    """The tokens without the columns that are padding in every row."""
    longest = int((tokens != 0).any(0).nonzero()[-1]) + 1
    return tokens[:, :longest]
