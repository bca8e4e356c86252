"""Draws the dashboards of a real run: `python -m tests.observability`. Prometheus and matplotlib have to be installed.

Grafana is not needed: each panel's own queries are asked of Prometheus and drawn here, with the same titles and lines. For a
while in the middle the inference worker is frozen, so that there is something to see.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot

from hearthmind.embedded import postgres

from .prometheus import CONFIGURATION, MISSING, ROOT, WINDOW, Prometheus, is_installed
from .running import Run, running

DRAWN = ("loop", "broker")
COLUMNS = 3
LINES_MAX = 8
"""Beyond, a legend hides its graph."""
FORMATS = {"s": "{:g} s", "percentunit": "{:.0%}", "bytes": "{:,.0f} B", "dtdurations": "{:g} s"}


@dataclass(frozen=True)
class Watched:
    """What was seen: from when to when, and when the worker was frozen."""

    began_s: float
    ended_s: float
    frozen: tuple[float, float]


async def watch(run: Run, seconds: float) -> Watched:
    """Lets the game play, with the worker frozen from a third of the time to the half."""
    began_s = time.time()
    await asyncio.sleep(seconds / 3)
    worker = run.platform.supervisor.pid("inference_worker")
    assert worker
    os.kill(worker, signal.SIGSTOP)
    froze_s = time.time()
    try:
        await asyncio.sleep(seconds / 6)
    finally:
        os.kill(worker, signal.SIGCONT)
    thawed_s = time.time()
    await asyncio.sleep(seconds / 2)
    return Watched(began_s, time.time(), (froze_s, thawed_s))


def draw(prometheus: Prometheus, watched: Watched, to: Path) -> None:
    """Draws each dashboard into its picture."""
    mpl.rcParams.update(
        {"font.size": 8, "axes.grid": True, "grid.alpha": 0.3, "axes.titlesize": 9, "svg.hashsalt": "hearthmind"}
    )
    for name in DRAWN:
        made = json.loads((CONFIGURATION / "grafana" / "dashboards" / f"{name}.json").read_text())
        panels = [panel for panel in made["panels"] if panel["type"] != "row"]
        rows = -(-len(panels) // COLUMNS)
        figure, axes = pyplot.subplots(rows, COLUMNS, figsize=(14, 2.6 * rows), squeeze=False, layout="constrained")
        for graph, panel in zip(axes.flat, panels, strict=True):
            _draw(graph, panel, prometheus, watched)
        to.mkdir(parents=True, exist_ok=True)
        figure.savefig(to / f"{name}.png", dpi=75)
        pyplot.close(figure)


def _draw(graph: Any, panel: dict[str, Any], prometheus: Prometheus, watched: Watched) -> None:
    lines = 0
    for target in panel["targets"]:
        for series in _range(prometheus, target["expr"], watched):
            at = [when - watched.began_s for when, _ in series["values"]]
            called = _called(target["legendFormat"], series["metric"])
            graph.plot(at, [float(value) for _, value in series["values"]], label=called, linewidth=1.4)
            lines += 1
        if target["exemplar"] and target["refId"] == "A":
            graph.scatter(*_exemplars(prometheus, watched), s=6, color="black", alpha=0.4, label="a trace")
    graph.set_title(panel["title"], loc="left")
    graph.set_xlim(0, watched.ended_s - watched.began_s)
    graph.axvspan(*(when - watched.began_s for when in watched.frozen), color="grey", alpha=0.15)
    bounds = panel["fieldConfig"]["defaults"]
    graph.set_ylim(bottom=0, top=bounds.get("max") and bounds["max"] * 1.05)
    if words := FORMATS.get(bounds["unit"]):
        graph.yaxis.set_major_formatter(lambda value, _: words.format(value))
    if lines:
        graph.legend(fontsize=6, ncols=1 + (lines > LINES_MAX // 2), loc="best", framealpha=0.6)


def _called(legend: str, labels: dict[str, str]) -> str:
    """What a line is called, in few words."""
    return re.sub(r"{{(\w+)}}", lambda label: labels.get(label[1], "")[:20], legend)


def _range(prometheus: Prometheus, expression: str, watched: Watched) -> list[Any]:
    asked = expression.replace("$__rate_interval", WINDOW)
    found = prometheus.ask("query_range", query=asked, start=str(watched.began_s), end=str(watched.ended_s), step="1")
    return list(found["result"])


def _exemplars(prometheus: Prometheus, watched: Watched) -> tuple[list[float], list[float]]:
    query = "hearthmind_decision_duration_seconds_bucket"
    found = prometheus.ask("query_exemplars", query=query, start=str(watched.began_s), end=str(watched.ended_s))
    points = [each for series in found for each in series["exemplars"]]
    return [each["timestamp"] - watched.began_s for each in points], [float(each["value"]) for each in points]


async def main() -> None:
    """Runs, watches, draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--npcs", type=int, default=60)
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "pictures" / "observability")
    asked = parser.parse_args()
    if not is_installed():
        sys.exit(MISSING)
    with tempfile.TemporaryDirectory() as folder:
        try:
            async with running(Path(folder), asked.npcs) as run:
                sys.stdout.write(f"everything runs; it is watched for {asked.seconds:g} s\n")
                watched = await watch(run, asked.seconds)
                await asyncio.to_thread(draw, run.prometheus, watched, asked.to)
        finally:
            postgres.remove(Path(folder) / "platform" / "postgres")
    sys.stdout.write(f"drawn into {asked.to}\n")


if __name__ == "__main__":
    asyncio.run(main())
