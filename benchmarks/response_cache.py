"""What the response cache saves in the Realm, with nano behind the strategic decisions.

    python benchmarks/response_cache.py [--npcs 200] [--turns 30]

The Realm is played three times on one platform, each turn as soon as the last one is answered: a game, the same game again within
the hour (as after a restart from its beginning), and another one. What the worker's metrics say of each goes into the table;
the first line is the baseline.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from hearthmind.client import connect
from hearthmind.flow import game_user
from hearthmind.settings import Flow
from hearthmind.telemetry import names
from realm.play import Turn, play
from services.command.platform import Options, Platform

RESULTS = Path(__file__).parent / "results" / "response_cache.json"
GAMES = (("a game", 1), ("the same again", 1), ("another one", 2))
ANSWER_WITHIN_S = 280.0
SENT_EVERY_S = 1.0
Counted = Counter[str]


class Collector:
    """Takes the workers' metrics, and keeps what they said last."""

    def __init__(self) -> None:
        self._said: dict[str, Counted] = {}

    def counted(self) -> Counted:
        """What all processes said together."""
        return sum(self._said.values(), Counted())

    def take(self, path: str, body: bytes) -> None:
        """A process has sent something."""
        if path != "/v1/metrics":
            return
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            said = self._said.setdefault(str(resource.resource), Counted())
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                for point in (*metric.sum.data_points, *metric.histogram.data_points):
                    labels = {label.key: label.value.string_value for label in point.attributes}
                    value = point.sum if metric.HasField("histogram") else point.as_int
                    if metric.name == names.CACHE_REQUESTS:
                        said[labels[names.CACHE_RESULT]] = int(value)
                    elif metric.name in (names.CACHE_SAVED, names.TOKENS):
                        what = "saved" if metric.name == names.CACHE_SAVED else "generated"
                        if labels[names.GEN_AI_RESPONSE_MODEL] == "onnx_nano":
                            tier = labels.get(names.TIER, "")
                            said[f"{what} {labels[names.GEN_AI_TOKEN_TYPE]} {tier}".strip()] = int(value)

    @contextmanager
    def listening(self) -> Iterator[str]:
        """Its address."""

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:  # noqa: N805
                body = handler.rfile.read(int(handler.headers["Content-Length"]))
                self.take(
                    handler.path, gzip.decompress(body) if handler.headers["Content-Encoding"] == "gzip" else body
                )
                handler.send_response(200)
                handler.end_headers()

            def log_message(handler, *_: object) -> None:  # noqa: N805
                """Nothing is said."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


async def one_game(platform: Platform, npcs: int, turns: int, seed: int) -> int:
    """Plays, and says how many strategic decisions there were."""
    strategic, seen = 0, list[Turn]()

    def count(turn: Turn) -> None:
        seen.append(turn)

    async with connect(platform.connection.url_of(game_user("realm")), game="realm") as mind:

        def on_decision(decision: object) -> None:
            nonlocal strategic
            strategic += getattr(decision, "chosen").kind == "strategic"  # noqa: B009

        mind.on_decision = on_decision
        until = lambda: len(seen) >= turns  # noqa: E731
        await play(mind, npcs=npcs, seed=seed, until=until, on_turn=count, turn_s=0, answer_within_s=ANSWER_WITHIN_S)
        await mind.wait_stored(within_s=300)
    await asyncio.sleep(3 * SENT_EVERY_S)  # until the metrics of all of it have been sent
    return strategic


def line_of(name: str, strategic: int, counted: Counted) -> str:
    """A line of the table."""
    asked = sum(counted[result] for result in names.CACHE_RESULTS)
    shares = " | ".join(
        f"{counted[result] / max(1, asked):.1%}" for result in ("here", "elsewhere", "shared", "missed")
    )
    saved, generated = (
        sum(value for what, value in counted.items() if what.startswith(which)) for which in ("saved", "generated")
    )
    return f"| {name} | {strategic:,} | {asked:,} | {shares} | {saved:,} | {saved / max(1, saved + generated):.1%} |"


async def main(arguments: argparse.Namespace) -> None:
    """Three games, a line each."""
    collector, kept = Collector(), {}
    lines = ["| | strategic decisions | asked | here | elsewhere | joined | missed | tokens saved | of all |"]
    lines.append("| --- |" + " --- |" * 8)
    with collector.listening() as url, tempfile.TemporaryDirectory(prefix="hearthmind-") as folder:
        os.environ["HEARTHMIND_TELEMETRY__OTLP_ENDPOINT"] = url
        os.environ["OTEL_METRIC_EXPORT_INTERVAL"] = str(int(SENT_EVERY_S * 1000))
        options = Options(folder=Path(folder), flow=Flow(games=("realm",)), sync_interval="1s", sample_ratio=0.0)
        async with Platform(options, say=print) as platform:
            for name, seed in GAMES:
                before = collector.counted()
                strategic = await one_game(platform, arguments.npcs, arguments.turns, seed)
                counted = Counted({what: value - before[what] for what, value in collector.counted().items()})
                kept[name] = {"strategic": strategic, **counted}
                lines.append(line_of(name, strategic, counted))
                print(lines[-1], flush=True)
    print("\n" + "\n".join(lines))
    RESULTS.write_text(json.dumps({"arguments": vars(arguments), "lines": lines, "counted": kept}, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--npcs", type=int, default=200)
    parser.add_argument("--turns", type=int, default=30)
    asyncio.run(main(parser.parse_args()))
