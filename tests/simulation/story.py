"""What happened in a life: to be read by people, and to be compared by its digest."""

from __future__ import annotations

import hashlib
from typing import NamedTuple


class Happening(NamedTuple):
    """A line of the story; its words are filled in only where somebody reads them."""

    at_s: float
    who: str
    words: str
    facts: tuple[object, ...]

    def __str__(self) -> str:
        return f"{self.at_s:9.4f} s  {self.who:<11}  {self.words.format(*self.facts)}"


class Story:
    """Grows by a line with each thing that matters."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.happenings: list[Happening] = []

    def add(self, who: str, words: str, facts: tuple[object, ...] = ()) -> None:
        """Something happened now."""
        self.happenings.append(Happening(self.now_s, who, words, facts))

    def digest(self) -> str:
        """The same for the same story."""
        return hashlib.blake2b("\n".join(map(str, self.happenings)).encode(), digest_size=8).hexdigest()

    def __str__(self) -> str:
        return "\n".join(map(str, self.happenings))
