"""`python -m tests.chaos`: starts the platform, plays the Realm on it, breaks it by a plan drawn from a seed, checks the laws."""

from __future__ import annotations

import argparse
import asyncio
import random
import shlex
import sys
import tempfile
from pathlib import Path

from hearthmind.errors import HearthmindError

from .breaks import BREAKS
from .disk import why_no_disk
from .plan import KINDS, draw
from .run import NEEDS_DISK, Order, Report, run

EASY = "kill,stop,restart,proxy"


def main() -> int:
    """0 where every law holds, 1 where one does not, 2 where the run could not be made."""
    options = _options()
    kinds = tuple(options.faults.split(","))
    if unknown := set(kinds) - set(KINDS):
        _say(f"there are no faults named {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
        return 2
    without = BREAKS[options.broken] if options.broken else None
    plan = (
        without.plan if without else draw(options.seed, options.seconds, _possible(kinds), options.every, options.away)
    )
    if any(fault.kind in NEEDS_DISK for fault in plan) and why_no_disk():
        _say(f"this needs disks of its own: {why_no_disk()}")
        return 2
    seconds = without.seconds if without else options.seconds
    order = Order(plan, seconds, options.seed, options.npcs, options.turn, without=without)
    again = f"to repeat it: {_again(options.seed)}"
    _say(again)
    with tempfile.TemporaryDirectory(prefix="hearthmind-chaos-") as folder:
        try:
            report = asyncio.run(run(order, options.folder or Path(folder), _say))
        except HearthmindError as error:
            _say(f"the run came to no end: {error}")
            return 2
    _tell(report)
    _say(again)
    return 1 if report.broken else 0


def _possible(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """The kinds that this machine can do; what it can't is said."""
    if why := why_no_disk():
        for kind in set(kinds) & set(NEEDS_DISK):
            _say(f"left out: {kind}, since {why}")
        return tuple(kind for kind in kinds if kind not in NEEDS_DISK)
    return kinds


def _tell(report: Report) -> None:
    account = report.account
    _say(f"\n{'at':>8}  {'fault':38} {'lasted':>6} {'answers':>9} {'drained':>11}")
    for happened in report.happened:
        _say(str(happened))
    _say("\nrestarts by the supervisor: " + ", ".join(f"{name} {number}" for name, number in report.restarts.items()))
    _say("executed: " + ", ".join(f"{source} {number}" for source, number in sorted(report.by_source.items())))
    _say(
        f"{account.observations} observations in {report.seconds:.0f} s, at least {report.messages} messages, "
        f"{len(report.happened)} faults; {report.resent} outcomes sent again; "
        f"slowest action {report.slowest_s:.2f} s, the game's own loop {report.lag_s:.2f} s late at the worst"
    )
    if account.gone:
        _say(
            f"{len(account.gone)} decisions went with the broker's folder before they were stored; their outcomes are experiences"
        )
    for law in report.broken:
        _say(f"BROKEN  {law}")
    if not report.broken:
        _say("every law holds: one legal action each, in time; nothing lost, nothing twice, nothing left")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./just chaos", description=__doc__)
    seed = random.randrange(10_000)
    parser.add_argument("--seed", type=int, default=seed, help="what plan and world are drawn from (default: any)")
    parser.add_argument("--seconds", type=float, default=60, help="how long things go wrong (default: 60)")
    parser.add_argument("--faults", default=EASY, metavar="A,B", help=f"of {', '.join(KINDS)} (default: {EASY})")
    parser.add_argument("--every", type=float, default=3, metavar="S", help="a fault in so many seconds (default: 3)")
    parser.add_argument(
        "--away", type=float, default=10, metavar="S", help="how long `away` and `dark` last (default: 10)"
    )
    parser.add_argument("--npcs", type=int, default=40, help="how many players the Realm has (default: 40)")
    parser.add_argument("--turn", type=float, default=0.25, metavar="S", help="how long a turn takes (default: 0.25)")
    parser.add_argument("--folder", type=Path, help="a new folder for the platform, which is kept, with its logs")
    parser.add_argument("--break", dest="broken", choices=BREAKS, help="take this safeguard away, and see it missed")
    return parser.parse_args()


def _again(seed: int) -> str:
    said = sys.argv[1:]
    return shlex.join(("./just", "chaos", *said, *(() if "--seed" in said else ("--seed", str(seed)))))


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
