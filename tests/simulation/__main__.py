"""`python -m tests.simulation`: lives one seed again, or many seeds."""

from __future__ import annotations

import argparse
import os
import sys
import time

from .breaks import BREAKS, parts_of
from .drawing import draw
from .life import live
from .lives import live_many, replay, report
from .plan import FAMILIES

ALL = range(10_000)


def main() -> int:
    """0 where no law is broken."""
    options = _options()
    families = tuple(options.faults.split(",")) if options.faults else FAMILIES
    if unknown := set(families) - set(FAMILIES):
        _say(f"there are no faults named {', '.join(sorted(unknown))}; there are {', '.join(FAMILIES)}")
        return 2
    if options.digest:
        for seed in options.seeds if options.seed is None else (options.seed,):
            _say(live(draw(seed, families), parts_of(options.broken)).story.digest())
        return 0
    if options.seed is not None:
        return _one(options.seed, options.broken, families)
    return _many(options.seeds, options.broken, families)


def _one(seed: int, broken: str | None, families: tuple[str, ...]) -> int:
    ended = live(draw(seed, families), parts_of(broken))
    if ended.broken:
        _say(report(ended, broken, families))
    else:
        _say(f"{ended.story}\n\nseed {seed} keeps all laws; its digest is {ended.story.digest()}")
    return 1 if ended.broken else 0


def _many(seeds: range, broken: str | None, families: tuple[str, ...]) -> int:
    began_s, found = time.monotonic(), {}
    for count, (seed, law) in enumerate(live_many(seeds, broken, families, os.cpu_count() or 1), 1):
        if law:
            found[seed] = law
        if count % 500 == 0 or count == len(seeds):
            rate = count / (time.monotonic() - began_s)
            _say(f"{count} of {len(seeds)} seeds, {rate:.0f} a second, {len(found)} break a law")
    if not found:
        return 0
    first = min(found)
    _say(f"\nthe first of them:\n{report(live(draw(first, families), parts_of(broken)), broken, families)}\n")
    for seed in sorted(found)[1:10]:
        _say(f"{found[seed]}: {replay(seed, broken, families)}")
    return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./just simulate", description=__doc__)
    parser.add_argument(
        "--seed", type=int, help="live this one again and tell its story, made small where a law is broken"
    )
    parser.add_argument("--seeds", type=_range, default=ALL, metavar="A-B", help="live all of these (default: 0-9999)")
    parser.add_argument("--break", dest="broken", choices=BREAKS, help="take this safeguard away")
    parser.add_argument("--faults", metavar="A,B", help=f"only these kinds of faults: {', '.join(FAMILIES)}")
    parser.add_argument("--digest", action="store_true", help="say only the digests of the stories, to compare them")
    return parser.parse_args()


def _range(words: str) -> range:
    first, _, last = words.partition("-")
    try:
        return range(int(first), int(last or first) + 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{words!r} is no range of seeds; write 0-999") from None


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
