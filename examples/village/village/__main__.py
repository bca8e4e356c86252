"""A village to read along: `python -m village nats://game_village:...@127.0.0.1:4222`.

`./just up --game village` prints the address.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from hearthmind.client import connect
from hearthmind.errors import HearthmindError

from .people import HOURS, ROLES
from .play import Turn, play


async def main(address: str, hours: int, seed: int, hour_s: float) -> None:
    """Plays so many hours, printing what is said, and waits until the platform has stored what came of it."""
    passed = 0

    def read(turn: Turn) -> None:
        nonlocal passed
        passed = turn.turn
        print("\n".join(turn.lines), flush=True)

    async with connect(address, game="village") as mind:
        await play(mind, npcs=len(ROLES), seed=seed, until=lambda: passed >= hours, on_turn=read, turn_s=hour_s)
        stored = await mind.wait_stored(within_s=30)
    print(f"{mind.outcomes} outcomes, {'all' if stored else 'not all'} stored; decided by {mind.tally.by_source}")


parser = argparse.ArgumentParser(prog="python -m village", description="Play one village and print what is said.")
parser.add_argument("address", help="where the platform is; `./just up --game village` prints it")
parser.add_argument("--hours", type=int, default=len(HOURS), help="how many hours (default: a day)")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--hour-s", type=float, default=1.0, help="how long an hour takes at least, in seconds")

if __name__ == "__main__":
    try:
        asyncio.run(main(**vars(parser.parse_args())))
    except HearthmindError as error:
        sys.exit(f"{type(error).__name__}: {error}")
