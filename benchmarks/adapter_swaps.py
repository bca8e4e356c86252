"""What it costs those who ask that an adapter is swapped all the time: nano on vLLM, a whole platform, requests without a pause.

    python -m benchmarks.adapter_swaps [--swaps 50] [--repeats 5]

A repeat has two halves in either order: in one a version follows the other as soon as it has answered, in the other the version
stays, for as long. Only ratios within a repeat are compared. It fails where a request failed, or was answered with a version
that was not in force while it was asked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform as machine
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from hearthmind.testing.waiting import until
from tests.service.swapping import AT_ONCE, Swapping, platform_with_adapters, swapping

RESULTS = Path(__file__).parent / "results"
WARM_UP_REPLIES = 100
Half = dict[str, float]


def half(swaps: Swapping, first: int, began_s: float) -> Half:
    """What the replies since then say; those that had begun before count in neither half."""
    took_ms = sorted(
        (each.answered_s - each.asked_s) * 1000 for each in swaps.replies[first:] if each.asked_s >= began_s
    )
    return {
        "replies": len(took_ms),
        "seconds": time.monotonic() - began_s,
        "p50_ms": statistics.median(took_ms),
        "p99_ms": took_ms[int(0.99 * (len(took_ms) - 1))],
        "worst_ms": took_ms[-1],
        "per_s": len(took_ms) / (time.monotonic() - began_s),
    }


async def swapped(swaps: Swapping, count: int) -> Half:
    """So many swaps, one after the other."""
    first, began_s, before = len(swaps.replies), time.monotonic(), len(swaps.swaps_s())
    for _ in range(count):
        await swaps.swap(len(swaps.spells))
    took_ms = [each * 1000 for each in swaps.swaps_s()[before:]]
    return {**half(swaps, first, began_s), "swap_p50_ms": statistics.median(took_ms), "swap_worst_ms": max(took_ms)}


async def still(swaps: Swapping, seconds: float) -> Half:
    """The same time with one version."""
    first, began_s = len(swaps.replies), time.monotonic()
    await asyncio.sleep(seconds)
    return half(swaps, first, began_s)


async def main(swaps: int, repeats: int) -> None:
    """Runs everything and keeps the result."""
    runs: list[dict[str, Half]] = []
    each = max(1, swaps // repeats)
    with tempfile.TemporaryDirectory() as name:
        async with platform_with_adapters(Path(name)) as platform, swapping(platform, Path(name)) as asked:
            async with asked.asked_all_the_time():
                await until(lambda: len(asked.replies) >= WARM_UP_REPLIES, within_s=300)
                seconds = (await swapped(asked, each))["seconds"]
                for repeat in range(repeats):
                    found: dict[str, Half] = {}
                    for variant in random.Random(repeat).sample(("swapped", "still"), 2):
                        found[variant] = await (swapped(asked, each) if variant == "swapped" else still(asked, seconds))
                    seconds = found["swapped"]["seconds"]
                    runs.append(found)
                    print(f"repeat {repeat + 1}: {found}", flush=True)
            broken = asked.broken()
    done = len(asked.spells) - 1
    lines = [
        f"{done} swaps under {AT_ONCE} requests at a time: {len(asked.replies)} replies, {broken or 'none failed'}"
    ]
    for what in ("p50_ms", "p99_ms", "worst_ms", "per_s"):
        ratios = [run["swapped"][what] / run["still"][what] for run in runs]
        figures = [statistics.median(run[variant][what] for run in runs) for variant in ("swapped", "still")]
        spread = f"{statistics.median(ratios):.3g} [{min(ratios):.3g}-{max(ratios):.3g}]"
        lines.append(f"{what}, swapped / still: {spread} ({figures[0]:.1f} / {figures[1]:.1f})")
    waits = statistics.median(run["swapped"]["swap_p50_ms"] for run in runs)
    lines.append(f"from in force to its first answer, p50: {waits:.0f} ms")
    print("\n" + "\n".join(lines))
    kept = {"machine": machine.platform(), "cores": os.cpu_count(), "swaps": done, "lines": lines, "runs": runs}
    (RESULTS / "adapter_swaps.json").write_text(json.dumps(kept, indent=1) + "\n")
    if broken:
        sys.exit(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.swaps, arguments.repeats))
