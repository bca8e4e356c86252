"""Many lives, and what is said about the one that breaks a law."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from functools import partial

from .breaks import parts_of
from .drawing import draw
from .life import Ended, live
from .plan import FAMILIES
from .shrink import shrink


def first_broken(seeds: Iterable[int], broken: str | None = None) -> Ended | None:
    """The first life of these that breaks a law."""
    parts = parts_of(broken)
    return next((ended for seed in seeds if (ended := live(draw(seed), parts)).broken), None)


def report(ended: Ended, broken: str | None = None, families: tuple[str, ...] = FAMILIES) -> str:
    """The line that replays it, the smallest plan that breaks the same law, and its story."""
    plan = shrink(ended.plan, parts_of(broken))
    lines = [
        f"seed {plan.seed} breaks a law: {ended.broken}",
        f"replay: {replay(plan.seed, broken, families)}",
        "",
        f"Of {len(ended.plan.asks)} questions and {len(ended.plan.faults)} faults it takes:",
        *(f"  {thing}" for thing in (*plan.asks, *plan.faults)),
        "",
        str(live(plan, parts_of(broken)).story),
    ]
    return "\n".join(lines)


def replay(seed: int, broken: str | None, families: tuple[str, ...]) -> str:
    """The one line that lives this life again."""
    options = [f" --break {broken}"] if broken else []
    options += [f" --faults {','.join(families)}"] if families != FAMILIES else []
    return f"./just simulate --seed {seed}{''.join(options)}"


def live_many(
    seeds: range, broken: str | None, families: tuple[str, ...], processes: int
) -> Iterator[tuple[int, str | None]]:
    """Each seed as it ends, in any order, with the law that it breaks; all the processes together."""
    one = partial(_law_of, broken=broken, families=families)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(one, seeds, chunksize=50)


def _law_of(seed: int, broken: str | None, families: tuple[str, ...]) -> tuple[int, str | None]:
    ended = live(draw(seed, families), parts_of(broken))
    return seed, ended.broken.law if ended.broken else None
