"""Ends the processes that an engine starts when the worker is gone, however it went: also after `kill -9`.

The law: as long as the worker lives nothing is ended but what `end` was called for; when it is dead nothing of it is left. A
mark in the environment tells which processes are its kin, so that nobody else's are touched; a watcher, started before them,
holds the end of a pipe that closes with the worker.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

MARK = "HEARTHMIND_KIN"


class Kin:
    """From here on, each process that this one starts carries the mark; Linux only, as vLLM is."""

    def __init__(self) -> None:
        self.mark = secrets.token_hex(8)
        os.environ[MARK] = self.mark
        os.environ["SPT_NOENV"] = "1"  # vLLM renames its processes, and would write the name over their environment
        self._watcher = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__)), self.mark], stdin=subprocess.PIPE, start_new_session=True
        )

    def end(self) -> None:
        """Ends them now, and the watcher with them."""
        end_marked(self.mark)
        os.environ.pop(MARK, None)
        assert self._watcher.stdin is not None
        self._watcher.stdin.close()
        self._watcher.wait()


def marked(mark: str) -> list[int]:
    """The processes that carry the mark, but for this one and those that have ended."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            carries = wanted in (folder / "environ").read_bytes().split(b"\0")
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it ended, or is somebody else's
            continue
        if carries and mark.encode() not in arguments:  # the watcher has the mark as its argument
            found.append(int(folder.name))
    return found


def end_marked(mark: str, within_s: float = 10.0) -> None:
    """Kills them, and those that they start meanwhile, until none is left."""
    until_s = time.monotonic() + within_s
    while (left := marked(mark)) and time.monotonic() < until_s:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)


if __name__ == "__main__":
    for quiet in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(quiet, signal.SIG_IGN)  # it goes when the worker has gone
    sys.stdin.buffer.read()
    end_marked(sys.argv[1])
