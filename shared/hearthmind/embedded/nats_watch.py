"""Notices a broker that only a new start will mend, and says why: one that takes nothing more, or keeps nothing more.

The law: a broker that is well is never named, however busy it is, nor one that stands still or does not answer. What counts
is that its folder is no longer the one that it opened; or that it says itself that it is not well, look after look, and there
is room where it writes. One that has not been well since its start gets a minute, so that what a new start does not mend is
not started again and again. infra/images/nats/watch.sh does the same in a container.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

LOOK_EVERY_S = 1.0
UNWELL_LOOKS, NEVER_WELL_LOOKS = 3, 60
ANSWER_WITHIN_S = 5.0
ANSWER_BYTES_MAX = 8 * 1024
ROOM_BYTES = 16 * 1024 * 1024
"""What has to fit into its folder: with less it would be back in its trouble at once."""

DELETED = "its folder was deleted while it ran: it acknowledges what it keeps nowhere"


async def until_unwell(folder: Path, monitoring: Callable[[], str]) -> str:
    """Returns why the broker has to be started again that keeps its streams in the folder."""
    try:
        opened = os.open(folder, os.O_RDONLY)  # held, so that no other folder can be taken for it
    except FileNotFoundError:
        return DELETED
    where, unwell, most = "", 0, NEVER_WELL_LOOKS
    try:
        while True:
            if not _is_there(folder, opened):
                return DELETED
            where = where or monitoring()  # once: it is in the folder, too
            says = await asyncio.to_thread(_unwell, where)
            unwell = unwell + 1 if says else 0
            most = UNWELL_LOOKS if says == "" else most
            if unwell >= most and await asyncio.to_thread(_has_room, folder):
                return f"it takes nothing more, although there is room: {says}"
            await asyncio.sleep(LOOK_EVERY_S)
    finally:
        os.close(opened)


def _is_there(folder: Path, opened: int) -> bool:
    try:
        return os.path.samestat(folder.stat(), os.fstat(opened))
    except FileNotFoundError:
        return False
    except OSError:
        return True  # the disk is in trouble, and whether the folder is there can't be said


def _unwell(monitoring: str) -> str | None:
    """What the broker says is wrong with it; empty where it is well, None where it says nothing."""
    connection = http.client.HTTPConnection(urlsplit(monitoring).netloc, timeout=ANSWER_WITHIN_S)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        if answer.status == http.client.SERVICE_UNAVAILABLE:
            return answer.read(ANSWER_BYTES_MAX).decode(errors="replace").strip() or "it does not say why"
    except (OSError, http.client.HTTPException):
        return None
    else:
        return "" if answer.status == http.client.OK else None
    finally:
        connection.close()


def _has_room(folder: Path) -> bool:
    """Whether something can be written beside the streams, tried by doing it."""
    try:
        with tempfile.TemporaryFile(dir=folder.parent) as trial:
            trial.write(bytes(ROOM_BYTES))
            trial.flush()
            os.fsync(trial.fileno())
    except OSError:
        return False
    return True
