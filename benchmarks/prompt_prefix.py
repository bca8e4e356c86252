"""How much of a prompt an engine need not read again, because an earlier one began with the same words.

    python benchmarks/prompt_prefix.py [--players 100] [--turns 48] [--json FILE]

The Realm's questions of some turns in a row, in the order in which they are asked; half of its players have a persona. Of each
prompt those first characters count that some prompt before began with, as far as they fill blocks of 64 characters (16 tokens),
as engines keep them. Beside the house's order the same words in two others: the character and what it sees first and the task
behind, as prompts are often written; and all lines of a prompt in random order. Printed are the shares that need not be read, the
characters that are left, and these as a ratio to the house's.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from hearthmind.contracts.inference import Turn
from hearthmind.contracts.observation import Observation
from hearthmind.personas import personas
from hearthmind.prompting import Mind, prompt_of
from realm.contest import playing
from realm.players import GOOD, STYLES
from realm.sight import look
from realm.situation import player_name

BLOCK_CHARS = 64
PERSONAS = Path(__file__).parents[1] / "examples" / "realm" / "personas"
EVERY_TURNS = 6
KEPT_MAX = 2_000_000
"""Beginnings that are remembered at most."""

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--players", type=int, default=100)
parser.add_argument("--turns", type=int, default=48)
parser.add_argument("--json", type=Path, help="write the figures there too")

Order = Callable[[tuple[Turn, ...], random.Random], str]


def as_it_is(turns: tuple[Turn, ...], _: random.Random) -> str:
    """The house's order."""
    return "\n".join(turn.text for turn in turns)


def character_first(turns: tuple[Turn, ...], _: random.Random) -> str:
    """Who is asked and what it sees, then what the task is."""
    return "\n".join(turn.text for turn in reversed(turns))


def at_random(turns: tuple[Turn, ...], dice: random.Random) -> str:
    """The lines of a prompt in any order."""
    lines = as_it_is(turns, dice).split("\n")
    dice.shuffle(lines)
    return "\n".join(lines)


ORDERS: dict[str, Order] = {"house": as_it_is, "character first": character_first, "random": at_random}


def questions(players: int, turns: int) -> Iterator[tuple[str, tuple[Turn, ...]]]:
    """The kind and the prompt of each question of some turns."""
    known = personas(PERSONAS)
    styles = [(GOOD, *STYLES)[player % 5] for player in range(players)]
    for world, _ in playing(styles, 5, turns):
        if world.turn % EVERY_TURNS:
            continue
        for sight in look(world):
            observation = Observation(
                id="o",
                game="realm",
                npc=player_name(sight.player),
                kind=sight.kind,
                legal_actions=sight.legal_actions,
                answer_within_ms=1_000,
                snapshot=world.turn,
                state=msgspec.Raw(msgspec.json.encode(sight.state)),
            )
            yield sight.kind, prompt_of(observation, Mind(known.of(observation)))


class Cache:
    """What prompts began with, block by block, as engines remember it."""

    def __init__(self) -> None:
        self._known: set[int] = set()

    def shared(self, text: str) -> int:
        """How many of its first characters were there before; from now on all of them are."""
        begun, found, so_far = 0, True, 0
        for end in range(BLOCK_CHARS, len(text) + 1, BLOCK_CHARS):
            so_far = hash((so_far, text[end - BLOCK_CHARS : end]))
            found = found and so_far in self._known
            begun = end if found else begun
            if len(self._known) < KEPT_MAX:
                self._known.add(so_far)
        return begun


def main(options: argparse.Namespace) -> None:
    """Print a line for each kind and order."""
    asked: dict[str, list[tuple[Turn, ...]]] = defaultdict(list)
    for kind, turns in questions(options.players, options.turns):
        asked[kind].append(turns)
    found: dict[str, dict[str, dict[str, float]]] = {}
    print(f"{'kind':<10} {'prompts':>7} {'chars':>6}  {'order':<16} {'shared':>7} {'left to read':>12} {'ratio':>6}")
    for kind, prompts in sorted(asked.items()):
        found[kind] = {}
        for name, order in ORDERS.items():
            cache, dice = Cache(), random.Random(1)
            texts = [order(turns, dice) for turns in prompts]
            chars, shared = sum(map(len, texts)), sum(cache.shared(text) for text in texts)
            left = (chars - shared) / len(texts)
            house = found[kind].get("house", {}).get("left_chars", left)
            found[kind][name] = {
                "prompts": len(texts),
                "chars": round(chars / len(texts)),
                "shared": round(shared / chars, 3),
                "left_chars": round(left),
                "ratio": round(left / house, 2),
            }
            one = found[kind][name]
            print(
                f"{kind:<10} {one['prompts']:>7} {one['chars']:>6}  {name:<16} {one['shared']:>7.1%} "
                f"{one['left_chars']:>12} {one['ratio']:>6.2f}"
            )
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(parser.parse_args())
