"""Prompts in, words out, the same for every engine that draws its own tokens: so they agree on what a request means.

At temperature 0 the best token is taken, the first of equals. Otherwise tokens are drawn by temperature, then top-p, from a
generator of the request's own; a seed makes it say the same again, whatever else is being answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from hearthmind.contracts.inference import Infer, Sampling, Turn
from services.inference_worker.engines import CannotServe

CANDIDATES_MAX = 4096
"""Only so many of the best tokens are drawn from: the rest of a large vocabulary is sorted for nothing."""

BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
VAST = 1e15

Template = Callable[[list[dict[str, str]]], str]
"""A model's chat template: messages in, text out, up to where the model speaks."""
Logits = NDArray[np.float32]


class Grammar(Protocol):
    """What may be said next; see `grammar.py`."""

    def allow(self, logits: Logits) -> Logits:
        """The logits with what may not come next at minus infinity."""
        ...

    def said(self, token: int) -> bool:
        """A token was chosen; whether that was all."""
        ...


def as_text(infer: Infer, template: Template | None) -> str:
    """The prompt as one text: by the model's chat template where it has one, else its parts with blank lines between."""
    if not infer.prompt:
        raise CannotServe(why="it has no prompt, and this model reads nothing else")
    if template is None:
        return "\n\n".join(turn.text for turn in infer.prompt)
    try:
        return template(as_messages(infer.prompt))
    except Exception as error:  # a template is a program of the model's own
        raise CannotServe(why=f"the model's chat template does not take this prompt: {error}") from error


def as_messages(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """The turns as chat templates and other servers want them."""
    return [{"role": turn.role, "content": turn.text} for turn in turns]


def room(prompt: int, infer: Infer, context: int) -> int:
    """How many tokens may be written; raises `CannotServe` where the prompt fills the context."""
    if prompt >= context:
        raise CannotServe(
            why=f"its prompt has {prompt} tokens and the context {context}; raise `context` in the models' file or send less"
        )
    return min(infer.sampling.tokens_max, context - prompt)


class Writing:
    """An answer while it is written, token by token."""

    def __init__(
        self,
        sampling: Sampling,
        tokens_max: int,
        ends: frozenset[int],
        decode: Callable[[list[int]], str],
        grammar: Grammar | None = None,
    ) -> None:
        self.tokens: list[int] = []
        self.done = False
        self.first_token_ms = 0.0
        self._sampling = sampling
        self._tokens_max = tokens_max
        self._ends = ends
        self._decode = decode
        self._grammar = grammar
        self._drawn = np.random.default_rng(sampling.seed)
        self._began_s = time.monotonic()
        self._text: str | None = None

    def write(self, logits: Logits) -> int:
        """Chooses the next token; `done` says whether it was the last."""
        allowed = self._grammar.allow(logits) if self._grammar else logits
        token = draw(allowed, self._sampling, self._drawn)
        if not self.tokens:
            self.first_token_ms = (time.monotonic() - self._began_s) * 1000
        if token in self._ends:
            self.done = True
            return token
        self.tokens.append(token)
        over = self._grammar.said(token) if self._grammar else False
        self.done = over or len(self.tokens) >= self._tokens_max or self._stopped()
        return token

    @property
    def text(self) -> str:
        """What was written, up to a stop where there was one."""
        return self._decode(self.tokens) if self._text is None else self._text

    def _stopped(self) -> bool:
        if not self._sampling.stop:
            return False
        text = self._decode(self.tokens)
        places = [at for stop in self._sampling.stop if stop and (at := text.find(stop)) >= 0]
        if places:
            self._text = text[: min(places)]
        return bool(places)


def draw(logits: Logits, sampling: Sampling, drawn: np.random.Generator) -> int:
    """One token by temperature and top-p."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    best = logits.argsort()[::-1] if logits.size <= CANDIDATES_MAX else _best(logits)
    scaled = (logits[best] - logits[best[0]]).astype(np.float64) / sampling.temperature
    shares = np.exp(scaled)
    shares /= shares.sum()
    kept = int(np.searchsorted(shares.cumsum(), sampling.top_p)) + 1
    sums = shares[:kept].cumsum()
    at = int(np.searchsorted(sums, drawn.random() * sums[-1], side="right"))
    return int(best[min(at, sums.size - 1)])


def _best(logits: Logits) -> NDArray[np.intp]:
    top: NDArray[np.intp] = np.argpartition(logits, -CANDIDATES_MAX)[-CANDIDATES_MAX:]
    best: NDArray[np.intp] = top[logits[top].argsort()[::-1]]
    return best


def schema_of(infer: Infer) -> dict[str, object] | None:
    """The request's schema, where it has one, as engines can follow it."""
    return followable(infer.answer_schema) if infer.answer_schema else None


def followable(schema: str) -> dict[str, object]:
    """Without bounds so vast that no grammar can count to them; whether an answer is legal is looked at afterwards, too."""
    try:
        read = msgspec.json.decode(schema, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise CannotServe(why=f"its answer schema is no JSON object: {error}") from None
    return {key: _followable(value) for key, value in read.items()}


def _followable(part: object) -> object:
    if isinstance(part, list):
        return [_followable(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {key: _followable(value) for key, value in part.items() if not (key in BOUNDS and _vast(value))}


def _vast(bound: object) -> bool:
    return isinstance(bound, int | float) and abs(bound) >= VAST
