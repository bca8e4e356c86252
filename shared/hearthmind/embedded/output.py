"""What a process prints, in a file that stays small: what is too much moves to `<name>.log.1`, what was there is gone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

TAIL_BYTES = 4096
TAIL_LINES = 12


class Output:
    """The log file of one process. The process writes to it by itself, so that nothing it said is lost with us."""

    def __init__(self, path: Path, size_max_bytes: int = 4 * 1024 * 1024) -> None:
        self.path = path
        self.size_max_bytes = size_max_bytes
        self._start_bytes = 0

    def open(self) -> int:
        """A file descriptor for a new life of the process; whoever opens it closes it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.trim()
        opened = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._start_bytes = os.fstat(opened).st_size
        return opened

    def trim(self) -> None:
        """Moves the file's content away when it is over the limit. The process goes on writing, as it only appends."""
        if self.path.exists() and self.path.stat().st_size > self.size_max_bytes:
            shutil.copyfile(self.path, self.path.with_name(f"{self.path.name}.1"))
            os.truncate(self.path, 0)
            self._start_bytes = 0

    def last_lines(self) -> str:
        """The last that the process said in its present life, at most a dozen lines."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as file:
            size_bytes = file.seek(0, os.SEEK_END)
            file.seek(max(self._start_bytes, size_bytes - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join(line for line in lines[-TAIL_LINES:] if line.strip())
