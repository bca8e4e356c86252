"""One table, drawn move by move: `python -m board nats://game_board:...@127.0.0.1:4222 --rules connect_four`.

`./just up --game board` prints the address.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from hearthmind.client import connect
from hearthmind.errors import HearthmindError

from .play import Turn, play
from .rules import load


async def main(address: str, rules: str, matches: int, seed: int, move_s: float) -> None:
    """Plays the matches and waits until the platform has stored what came of them."""
    over = 0

    def draw(turn: Turn) -> None:
        nonlocal over
        over = turn.matches
        print("\n".join(turn.lines), end="\n\n", flush=True)

    players = load(rules).num_players()
    async with connect(address, game="board") as mind:
        await play(
            mind, npcs=players, seed=seed, until=lambda: over >= matches, on_turn=draw, turn_s=move_s, rules=rules
        )
        stored = await mind.wait_stored(within_s=30)
    print(f"{mind.outcomes} moves, {'all' if stored else 'not all'} stored; by {mind.tally.by_source}")


parser = argparse.ArgumentParser(prog="python -m board", description="Play one table and draw it.")
parser.add_argument("address", help="where the platform is; `./just up --game board` prints it")
parser.add_argument("--rules", default="tic_tac_toe", help="a turn-based game of OpenSpiel (default: tic_tac_toe)")
parser.add_argument("--matches", type=int, default=1, help="how many matches (default: 1)")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--move-s", type=float, default=0.5, help="how long a move takes at least, in seconds")

if __name__ == "__main__":
    try:
        asyncio.run(main(**vars(parser.parse_args())))
    except HearthmindError as error:
        sys.exit(f"{type(error).__name__}: {error}")
