"""Tables and transactions, as Postgres has them where each statement sees what is committed.

A row that a transaction has written is its own until it ends: whoever writes the same row waits for that, and whoever reads
sees what was committed before. A transaction commits whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterator
from typing import Any, Generic, Protocol, TypeVar, cast

from hearthmind.store.engine import Connection

K = TypeVar("K")
R = TypeVar("R")
T = TypeVar("T")


class Violation(Exception):
    """A row with this key is there already: to Postgres an integrity error, to us a bug."""


class Until:
    """To be awaited by a statement: the end of another transaction, or its next turn where it is None."""

    def __init__(self, ends: Transaction | None) -> None:
        self._ends = ends

    def __await__(self) -> Generator[Transaction | None, None, None]:
        yield self._ends


class _Written(Protocol):
    def settle(self, transaction: Transaction, key: Any, is_kept: bool) -> None: ...


class Transaction:
    """What was written in it, and who waits for its end."""

    def __init__(self) -> None:
        self.is_open = True
        self.written: list[tuple[_Written, Any]] = []
        self.then: list[Callable[[], None]] = []

    def end(self, *, is_kept: bool) -> None:
        """Commits or undoes all of it."""
        if self.is_open:
            self.is_open = False
            for table, key in self.written:
                table.settle(self, key, is_kept)
            for resume in self.then:
                resume()


class Table(Generic[K, R]):
    """Rows by key: those committed, and those that an open transaction has written."""

    def __init__(self) -> None:
        self.committed: dict[K, R] = {}
        self._open: dict[K, tuple[Transaction, R]] = {}

    def get(self, mine: Transaction, key: K) -> R | None:
        """The row as this transaction sees it."""
        held = self._open.get(key)
        return held[1] if held and held[0] is mine else self.committed.get(key)

    def rows(self, mine: Transaction) -> Iterator[tuple[K, R]]:
        """All rows as this transaction sees them."""
        own = {key: row for key, (by, row) in self._open.items() if by is mine}
        return iter({**self.committed, **own}.items())

    def is_held(self, mine: Transaction, key: K) -> bool:
        """Whether another transaction has written the row and is still open."""
        held = self._open.get(key)
        return held is not None and held[0] is not mine

    async def free(self, mine: Transaction, key: K) -> None:
        """Waits until no other transaction holds the row."""
        while (held := self._open.get(key)) and held[0] is not mine:
            await Until(held[0])

    def write(self, mine: Transaction, key: K, row: R) -> None:
        """Writes a row that is free."""
        if key not in self._open:
            mine.written.append((self, key))
        self._open[key] = (mine, row)

    def settle(self, transaction: Transaction, key: K, is_kept: bool) -> None:
        """The transaction has ended."""
        _, row = self._open.pop(key)
        if is_kept:
            self.committed[key] = row


def as_connection(transaction: Transaction) -> Connection:
    """For functions that hand on a connection without looking at it."""
    return cast("Connection", transaction)


def finish(statements: Coroutine[Transaction | None, None, T]) -> T | None:
    """Runs statements to their end; None where they would have to wait for another transaction."""
    try:
        while statements.send(None) is None:
            pass
    except StopIteration as ended:
        return cast("T", ended.value)
    statements.close()
    return None
