"""The client's journal: outcomes that are not known to be in Postgres, in a file that survives the game's process.

The law: what was added is there after a crash, until it is confirmed. The file is lines of JSON; a torn last line, as a
crash leaves it, is dropped; when most of it has been confirmed, it is written anew.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import msgspec

from hearthmind.errors import HearthmindError

log = logging.getLogger("hearthmind.client")

PENDING_MAX = 200_000
REWRITE_AFTER_LINES = 5_000


class JournalFull(HearthmindError):
    """{count} outcomes wait in the journal {path} and none is confirmed. Is the platform's reward service running?"""


class Remembered(NamedTuple):
    """What a journal's file says: the outcomes that wait, and how whole it is."""

    pending: dict[str, Entry]
    is_torn: bool
    damaged: int


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line: an outcome that was added, or, without a body, a confirmation."""

    id: str
    subject: str = ""
    body: msgspec.Raw = msgspec.Raw(b"")

    @property
    def is_confirmation(self) -> bool:
        """Whether the line says that the outcome is stored."""
        return not self.subject


_decoder = msgspec.json.Decoder(Entry)
_encoder = msgspec.json.Encoder()


def remembered(data: bytes) -> Remembered:
    """Reads a journal's file, as a crash left it."""
    *lines, torn = data.split(b"\n")
    pending: dict[str, Entry] = {}
    damaged = 0
    for line in lines:
        try:
            entry = _decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeError):
            damaged += 1
            continue
        if entry.is_confirmation:
            pending.pop(entry.id, None)
        else:
            pending[entry.id] = entry
    return Remembered(pending, bool(torn), damaged)


class Journal:
    """Outcomes by decision id; in memory only where there is no path."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._pending: dict[str, Entry] = {}
        self._from_before: set[str] = set()
        self._lines = 0
        self._file = -1
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._read(path)
            self._from_before = set(self._pending)
            self._rewrite(path)

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, decision: str) -> bool:
        return decision in self._pending

    def pending(self) -> list[Entry]:
        """What is not confirmed, oldest first."""
        return list(self._pending.values())

    def get(self, decision: str) -> Entry | None:
        """The unconfirmed outcome of a decision."""
        return self._pending.get(decision)

    def is_new(self, decision: str) -> bool:
        """Whether it was added in this life of the game."""
        return decision not in self._from_before

    def add(self, decision: str, subject: str, body: bytes) -> None:
        """Writes an outcome down, before it is sent."""
        if len(self._pending) >= PENDING_MAX:
            raise JournalFull(count=len(self._pending), path=self.path)
        entry = Entry(id=decision, subject=subject, body=msgspec.Raw(body))
        self._pending[decision] = entry
        self._write(entry)

    def confirm(self, decision: str) -> bool:
        """Forgets an outcome; False where it was not waiting."""
        if self._pending.pop(decision, None) is None:
            return False
        self._write(Entry(id=decision))
        if self.path and self._lines > REWRITE_AFTER_LINES and self._lines > 4 * len(self._pending):
            self._rewrite(self.path)
        return True

    def close(self) -> None:
        """Closes the file; a journal with nothing in it is removed."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if self.path and not self._pending:
            self.path.unlink(missing_ok=True)

    def _write(self, entry: Entry) -> None:
        self._lines += 1
        if self._file >= 0:
            os.write(self._file, _encoder.encode(entry) + b"\n")

    def _read(self, path: Path) -> None:
        if not path.exists():
            return
        self._pending, is_torn, damaged = remembered(path.read_bytes())
        if is_torn:
            log.info("the last line of %s was torn by a crash; it was never sent", path)
        if damaged:
            kept = path.with_suffix(".damaged")
            shutil.copyfile(path, kept)
            log.error("%d lines of the journal %s can't be read; the file is kept as %s", damaged, path, kept)

    def _rewrite(self, path: Path) -> None:
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.writelines(_encoder.encode(entry) + b"\n" for entry in self._pending.values())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        if self._file >= 0:
            os.close(self._file)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)
        self._lines = len(self._pending)
