"""What the platform does to the game."""

from __future__ import annotations

from dataclasses import dataclass

from services.command.conformance.rules import Asked

KEPT_SENDING_S = 5.0


@dataclass(frozen=True, slots=True)
class Say:
    """Send this action of a decision, at its time; `part` makes its message id another than that of the first."""

    asked: Asked
    data: bytes
    part: str = ""
    at_s: float = 0.0
    counts: bool = False
    """Whether it is the one that the game shall execute: then tell when it is on its way."""

    @property
    def give_up_after_s(self) -> float:
        """So long it is sent again while the broker is away."""
        return self.asked.within_s if self.counts else KEPT_SENDING_S


@dataclass(frozen=True, slots=True)
class Confirm:
    """Tell the game that these outcomes are stored."""

    decisions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """End the broker and start it again, then tell when it is back."""


Effect = Say | Confirm | Cut
