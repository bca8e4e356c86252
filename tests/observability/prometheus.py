"""A real Prometheus with the deployment's own configuration: only the collector's address and the pace are others."""

from __future__ import annotations

import asyncio
import shutil
import socket
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from hearthmind.embedded.processes import Command

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "infra" / "observability"
MISSING = "Prometheus and promtool are not installed: apt-get install prometheus"
EVERY = "1s"
WINDOW = "10s"
"""What stands for `$__rate_interval`: in a run of a minute, Grafana's choice would be too long."""


def is_installed() -> bool:
    """Whether both programs are there."""
    return bool(shutil.which("prometheus") and shutil.which("promtool"))


@dataclass(frozen=True)
class Prometheus:
    """One that works in a folder."""

    folder: Path
    port: int
    collector: str

    def command(self) -> Command:
        """How to run it."""
        argv = (
            "prometheus",
            f"--config.file={self.folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--enable-feature=exemplar-storage",
            "--log.level=warn",
        )
        return Command("prometheus", argv, before_start=self._configure, ready=self._is_ready)

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return msgspec.json.decode(answer.read())["data"]

    def now(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The series that an expression has now, each with its value."""
        found = self.ask("query", query=expression.replace("$__rate_interval", WINDOW))["result"]
        return [(series["metric"], float(series["value"][1])) for series in found]

    async def _configure(self) -> None:
        shutil.copytree(CONFIGURATION, self.folder, dirs_exist_ok=True)
        path = self.folder / "prometheus.yaml"
        text = path.read_text().replace("collector:8889", self.collector.removeprefix("http://"))
        path.write_text(text.replace("_interval: 5s", f"_interval: {EVERY}"))

    async def _is_ready(self) -> bool:
        return await asyncio.to_thread(self._answers)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def free_port() -> int:
    """A port that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
