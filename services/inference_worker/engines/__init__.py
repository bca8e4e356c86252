"""What turns requests into answers: one protocol, one module per kind of engine, chosen by the model's name.

The worker decides what runs and when; an engine runs what it is given, all of it at once, and never keeps a queue of its own
that the worker does not know of.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from hearthmind.contracts.inference import Infer
from hearthmind.errors import HearthmindError


class Generated(msgspec.Struct, frozen=True):
    """An engine's words for one request, and what they cost."""

    text: str
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    first_token_ms: float = 0.0
    cost_usd: float = 0.0


@dataclass(frozen=True)
class Adapter:
    """An adapter whose files were verified and lie in a folder of this machine."""

    version: str
    """`<name>@<version>`; never used twice for other weights."""
    sha256: str
    folder: Path


class CannotServe(HearthmindError):
    """The engine can't serve this request: {why}"""


class Engine(Protocol):
    """Answers many requests at once; an error fails the one request, and its decision falls back."""

    model: str
    """What it runs, as replies name it."""
    slots_max: int
    """How many requests it can work on at once without making them wait."""
    adapters_max: int
    """How many adapters it holds at once; 0 where it takes none."""

    async def start(self) -> None:
        """Loads the model; raises `CannotStart` with what to do where it can't."""
        ...

    async def answer(self, infer: Infer, adapter: Adapter | None = None) -> Generated:
        """Answers one request with its own sampling, schema and priority; cancelling it takes it out of the engine."""
        ...

    async def load(self, adapter: Adapter) -> None:
        """Makes an adapter ready while others are being answered."""
        ...

    async def unload(self, version: str) -> None:
        """Gives back what an adapter holds; nobody uses it any more."""
        ...

    @property
    def progress(self) -> int:
        """A number that grows while it gets on with what it has: a watchdog takes one that stands still for a hung engine."""
        ...

    @property
    def ailment(self) -> str:
        """Why it can't work any more, where it knows; empty while it is well."""
        ...

    async def close(self) -> None:
        """Gives back what the engine holds, processes and all."""
        ...
