"""A small disk of its own for the broker or the database, that can be filled up and cut off from its power.

It is an ext4 file system in a file. The power cut is the kernel's own: the file system is shut down without writing anything
more, neither data nor its journal, and mounted again. What was synced is there, and what only lay in memory is gone, as far as
the kernel had not written it by itself meanwhile. A disk that lies about what it has written is not simulated.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from hearthmind.testing.waiting import until

MIB = 1024 * 1024
SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN; with 2 for its argument it writes nothing more."""
FREED_WITHIN_S = 15.0
PROGRAMS = "/usr/sbin:/sbin:/usr/bin:/bin"


class Disk:
    """A disk that is mounted at a folder."""

    def __init__(self, image: Path, at: Path, size_mib: int) -> None:
        self._image = image
        self._at = at
        self._size_mib = size_mib

    @contextmanager
    def mounted(self) -> Iterator[Disk]:
        """Makes it, and takes it away at the end."""
        with self._image.open("wb") as file:
            file.truncate(self._size_mib * MIB)
        _run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1", str(self._image))
        self._at.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._mount()
        try:
            yield self
        finally:
            _run("umount", "--lazy", str(self._at))  # who still dies there does not keep us
            self._image.unlink()

    def sync(self) -> None:
        """Writes all that there is, as at the end of an installation."""
        _run("sync", "-f", str(self._at))

    @contextmanager
    def full(self) -> Iterator[None]:
        """Has no room for another byte until the block ends."""
        ballast = self._at / "ballast"
        with ballast.open("wb", buffering=0) as file:
            size = MIB
            while size:
                try:
                    file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2
        try:
            yield
        finally:
            ballast.unlink()

    def cut(self) -> None:
        """From here on nothing is written; call `back` when nobody works on it any more."""
        folder = os.open(self._at, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, SHUTDOWN, struct.pack("I", 2))
        finally:
            os.close(folder)

    async def back(self) -> None:
        """The power is back: what is left is mounted again, and the file system's journal played."""
        await until(lambda: not _busy(self._at), FREED_WITHIN_S)
        await until(self._is_whole_again, FREED_WITHIN_S)

    def _is_whole_again(self) -> bool:
        """Mounts it; while a container that just starts has a copy of the dead mount, it would be that one again."""
        try:
            self._mount()
        except OSError:
            _run("umount", str(self._at))
            return False
        return True

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self._at))
        self._at.chmod(0o711)  # Postgres passes through it as another user


@cache
def why_no_disk() -> str:
    """Why this machine can't make such disks; empty where it can. Found out by trying, once."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "only root on Linux can mount a disk"
    if missing := [name for name in ("mount", "umount", "mkfs.ext4") if not shutil.which(name, path=PROGRAMS)]:
        return f"there is no {missing[0]}"
    with tempfile.TemporaryDirectory() as folder:
        disk = Disk(Path(folder, "image"), Path(folder, "disk"), size_mib=16)
        try:
            with disk.mounted():
                disk.cut()
                _busy(disk._at)
                disk._mount()
        except (OSError, subprocess.CalledProcessError) as error:
            said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else str(error)
            return f"no disk can be mounted: {said}"
    return ""


def _busy(at: Path) -> bool:
    """Unmounts it; whether somebody still works there."""
    try:
        _run("umount", str(at))
    except subprocess.CalledProcessError as error:
        if "busy" in error.stderr:
            return True
        raise
    return False


def _run(program: str, *arguments: str) -> None:
    found = shutil.which(program, path=PROGRAMS) or program
    subprocess.run((found, *arguments), check=True, capture_output=True, text=True, env={"LC_ALL": "C"})
