"""How well do agents of self-play do at hold'em against those who never change?

    python benchmarks/selfplay_holdem.py [--hands 20000] [--processes 2] [CHECKPOINT ...]

Duplicate deals: the same cards are played once from each seat, at a table where everybody else is the same opponent. Won are big
blinds per 100 hands, with the 95 % interval over deals; a line is clear when its interval lies above zero. Beside them
`always_call` in the agent's place, so that it can be seen what any play brings. Without a checkpoint the house's own play.
What was measured of others before is kept.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch

from services.selfplay.checkpoint import load
from services.selfplay.evaluate import Result, match
from services.selfplay.games import game_of
from services.selfplay.opponents import SCRIPTED
from services.selfplay.players import NetworkPlayer, Player

RESULTS = Path(__file__).parent / "results" / "selfplay_holdem.json"
PRETRAINED = Path(__file__).parents[1] / "services" / "selfplay" / "pretrained"
BASELINE = "always_call"
SEED = 20_011


def played(path: Path, opponent: str, who: str, hands: int) -> Result:
    """What the agent, or the baseline in its place, won of one opponent."""
    torch.set_num_threads(1)
    network, card = load(path)
    player: Player = SCRIPTED[who] if who else NetworkPlayer(network, card.settings.actor)
    return match(game_of(card.settings), player, SCRIPTED[opponent], hands, SEED)


def main(words: Sequence[str] | None = None) -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("checkpoints", type=Path, nargs="*", metavar="CHECKPOINT")
    asked.add_argument("--hands", type=int, default=20_000)
    asked.add_argument("--processes", type=int, default=2)
    told = asked.parse_args(words)
    paths = told.checkpoints or sorted(PRETRAINED.glob("*.safetensors"))
    matches = [
        (path, opponent, who, told.hands)
        for path in paths
        for opponent in SCRIPTED
        for who in ("", BASELINE)
        if opponent != who
    ]
    with multiprocessing.get_context("spawn").Pool(told.processes) as pool:
        results = pool.starmap(played, matches, chunksize=1)
    found = [
        {"checkpoint": path.stem, "player": who or "agent", "opponent": opponent, **msgspec.structs.asdict(result)}
        for (path, opponent, who, _), result in zip(matches, results, strict=True)
    ]
    measured = {path.stem for path in paths}
    others = [line for line in json.loads(RESULTS.read_text()) if line["checkpoint"] not in measured]
    RESULTS.write_text(json.dumps([*others, *found], indent=1))
    print("| checkpoint | player | against | won, bb/100 | hands | clear |")
    print("| --- | --- | --- | --- | --- | --- |")
    for line, result in zip(found, results, strict=True):
        won = f"{result.won:+.1f} ± {result.half:.1f}"
        about = f"{line['checkpoint']} | {line['player']} | {line['opponent']}"
        print(f"| {about} | {won} | {result.hands:,} | {'yes' if result.is_clear else 'no'} |")


if __name__ == "__main__":
    main()
