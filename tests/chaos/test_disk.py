"""A disk of its own: what was synced survives a power cut, what was only written does not, and it can be full."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .disk import Disk, why_no_disk

pytestmark = pytest.mark.skipif(bool(why_no_disk()), reason=why_no_disk() or "it can")


@pytest.fixture
def place(folder: Path) -> Path:
    return folder / "place"


@pytest.fixture
def disk(folder: Path, place: Path) -> Iterator[Disk]:
    with Disk(folder / "image", place, size_mib=16).mounted() as disk:
        yield disk


async def test_only_what_was_synced_survives_a_power_cut(disk: Disk, place: Path) -> None:
    for name in ("synced", "written"):
        with (place / name).open("wb") as file:
            file.write(b"acknowledged")
            if name == "synced":
                file.flush()
                os.fsync(file.fileno())
    disk.cut()
    await disk.back()
    assert (place / "synced").read_bytes() == b"acknowledged"
    assert not (place / "written").exists() or not (place / "written").read_bytes()


async def test_nothing_can_be_written_between_the_cut_and_its_end(disk: Disk, place: Path) -> None:
    disk.sync()
    disk.cut()
    with pytest.raises(OSError, match="Input/output error"):
        (place / "late").write_bytes(b"acknowledged")
    await disk.back()
    (place / "later").write_bytes(b"acknowledged")


def test_a_full_disk_takes_nothing_until_there_is_room(disk: Disk, place: Path) -> None:
    with disk.full(), pytest.raises(OSError) as raised:
        (place / "more").write_bytes(bytes(100_000))
    assert raised.value.errno == errno.ENOSPC
    (place / "more").write_bytes(bytes(100_000))
