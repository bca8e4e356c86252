"""A crowd with a byzantine model: `python -m tests.service.byzantine --observations 100000`.

Its engine says rubbish, hangs, is late, breaks, writes a megabyte, wants what is illegal and what the policy forbids; two of five
answers are good, so that the platform goes on to ask. Somebody else on the bus repeats every reply, and makes up others.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.service.crowd import Count, play
from tests.service.odd_worker import SORTS, sort_of

WITHIN_S, EARLY_S = 4.0, 1.5
"""Time enough for the action to travel even where eight others use the same two cores."""


async def run(observations: int, folder: Path, npcs: int = 200, say: Callable[[str], None] = lambda _: None) -> Count:
    """Plays."""
    engine = {"ODD_ENGINE": "byzantine", "ODD_LATE_S": str(WITHIN_S - EARLY_S / 2)}
    return await play(
        observations, folder, engine, sort_of, npcs=npcs, within_s=WITHIN_S, early_s=EARLY_S, has_liar=True, say=say
    )


def table(counted: Count) -> list[str]:
    """What became of each sort of answer."""
    sources = sorted(counted.answered)
    head = f"{'engine':12}" + "".join(f"{source:>10}" for source in sources)
    rows = [f"{sort:12}" + "".join(f"{counted.by_sort[sort, source]:10}" for source in sources) for sort in SORTS]
    return [head, *rows]


async def main(observations: int, npcs: int) -> int:
    """Prints what happened."""
    with tempfile.TemporaryDirectory() as name:
        counted = await run(observations, Path(name), npcs, print)
    print("\n".join([*table(counted), *counted.lines()]))  # noqa: T201
    return bool(counted.broken())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--observations", type=int, default=100_000)
    parser.add_argument("--npcs", type=int, default=200)
    asked = parser.parse_args()
    raise SystemExit(asyncio.run(main(asked.observations, asked.npcs)))
