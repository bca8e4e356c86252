"""Races between the fallback and a model that answers in the same moment: `python -m tests.service.races --races 50000`."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.service.crowd import Count, play

WITHIN_S, EARLY_S = 2.0, 1.0
JITTER_S = 0.2
"""So far apart the engine's moments are, around that of the fallback."""
ON_THE_WAY_S = 0.12
"""What question and answer take on the bus of a busy machine."""


async def run(races: int, folder: Path, npcs: int = 200, say: Callable[[str], None] = lambda _: None) -> Count:
    """Races."""
    engine = {
        "ODD_ENGINE": "racing",
        "ODD_WHEN_S": str(WITHIN_S - EARLY_S - ON_THE_WAY_S),
        "ODD_JITTER_S": str(JITTER_S),
    }
    return await play(races, folder, engine, lambda _: "race", npcs=npcs, within_s=WITHIN_S, early_s=EARLY_S, say=say)


async def main(races: int, npcs: int) -> int:
    """Prints what happened."""
    with tempfile.TemporaryDirectory() as name:
        counted = await run(races, Path(name), npcs, print)
    print("\n".join(counted.lines()))  # noqa: T201
    return bool(counted.broken())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--races", type=int, default=50_000)
    parser.add_argument("--npcs", type=int, default=200)
    asked = parser.parse_args()
    raise SystemExit(asyncio.run(main(asked.races, asked.npcs)))
