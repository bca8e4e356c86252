"""A process with all that it started, and whether anything of it is left after a kill; Linux only."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def family(pid: int | None) -> set[int]:
    """The process and all that descend from it."""
    assert pid
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def is_gone(pid: int) -> bool:
    """Gone, or dead and only not yet taken note of by its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True
