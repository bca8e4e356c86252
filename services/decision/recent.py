"""What is kept of many, and never of more than so many: whoever was seen longest ago is let go."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Things by key."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.let_go = 0
        """How many had to make room."""
        self._kept: dict[K, V] = {}  # in the order in which they were seen

    def of(self, key: K, make: Callable[[], V]) -> V:
        """What is kept under the key, made where nothing is; it is seen just now."""
        value = self._kept.pop(key, None)
        return self.put(key, make() if value is None else value)

    def put(self, key: K, value: V) -> V:
        """Keeps it under the key, as seen just now."""
        self._kept.pop(key, None)
        if len(self._kept) >= self.most:
            del self._kept[next(iter(self._kept))]
            self.let_go += 1
        self._kept[key] = value
        return value

    def known(self, key: K) -> V | None:
        """What is kept under the key; None where nothing is. Asking changes nothing."""
        return self._kept.get(key)

    def forget(self, key: K) -> None:
        """Keeps nothing under the key any more."""
        self._kept.pop(key, None)

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[K]:
        return iter(self._kept)
