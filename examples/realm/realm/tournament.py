"""Every style against every other: by how many ranks is it better, and how sure is that?"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import combinations
from typing import NamedTuple

from .contest import Result, compete
from .players import GOOD, RANDOM, STYLES, Style

ALL = (*STYLES, GOOD, RANDOM)


class Match(NamedTuple):
    """Two styles and what came of them in all their worlds."""

    first: Style
    second: Style
    result: Result


def tournament(styles: Sequence[Style], seeds: int, turns: int, players: int, processes: int) -> Iterator[Match]:
    """All pairs, in several processes at once, each as soon as it is over."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=fresh) as pool:
        pairs = {
            pool.submit(compete, *pair, range(seeds), players=players, turns=turns): pair
            for pair in combinations(styles, 2)
        }
        try:
            for over in as_completed(pairs):
                yield Match(*pairs[over], over.result())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def table(styles: Sequence[Style], matches: Sequence[Match]) -> str:
    """The matches as Markdown: how much better the style on the left is than the one above, with its 95 % interval."""
    results = {(match.first.name, match.second.name): match.result for match in matches}
    names = [style.name for style in styles]
    lines = [["mean ranks better", *names], ["---"] * (len(names) + 1)]
    lines += [[f"**{name}**", *(_cell(results, name, other) for other in names)] for name in names]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(results: dict[tuple[str, str], Result], first: str, second: str) -> str:
    if found := results.get((first, second)):
        mean, low, high = found.mean, found.low, found.high
    elif found := results.get((second, first)):
        mean, low, high = -found.mean, -found.high, -found.low
    else:
        return ""
    told = f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"
    return f"**{told}**" if low > 0 else told
