"""Whether the profile `obs` sees what happens: a game is played, and what a dashboard, an alert or a click would ask is asked."""

from __future__ import annotations

import json
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from hearthmind.telemetry import names
from infra.compose.deployment import Deployment, must
from services.command.pages.metrics import in_prometheus

T = TypeVar("T")

SEEN_WITHIN_S = 60.0
WINDOW = "1m"
SERVICES = {f"hearthmind.{each}" for each in ("decision", "inference_worker", "reward", "broker_watch")}
NO_ANSWER = ("vllm:", in_prometheus(names.DROPPED))
"""Queries that have none here: no vLLM runs, and nothing comes so late that it is dropped."""
LATENCY = f"{in_prometheus(names.DECISION_DURATION)}_bucket"


def it_is_watched(deployment: Deployment) -> str:
    """Plays with the profile `obs`, which the page has started, and looks through Prometheus and the collector."""
    deployment.wait_healthy(("prometheus", "grafana", "broker_watch"))
    deployment.shell("docker compose run --rm -T realm play --npcs 20 --seconds 20")
    ask = _asking(deployment)
    asked = [each for each in _queries(deployment.folder) if not any(word in each for word in NO_ANSWER)]
    missing = _patiently(lambda: [each for each in asked if not ask("query", query=each)["result"]])
    must(not missing, f"of the dashboards' queries these have no answer: {missing}")
    rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
    ill = [rule["name"] for rule in rules if rule["health"] != "ok"]
    must(rules and not ill, f"rules that can't be evaluated: {ill or 'none was read'}")
    silent = _patiently(
        lambda: (
            SERVICES
            - {each["metric"].get("job") for each in ask("query", query="hearthmind_started_seconds")["result"]}
        )
    )
    must(not silent, f"{silent} send no metrics")
    traces = _traces(deployment, ask)
    return f"{len(asked)} queries of the dashboards answered by Prometheus, {len(rules)} rules evaluated; {traces}"


def _traces(deployment: Deployment, ask: Callable[..., Any]) -> str:
    """Whether points of the graph of latencies lead to spans, where the collector is one that can be asked."""
    _patiently(lambda: not _exemplars(ask))
    exemplars = _exemplars(ask)
    must(exemplars, "no point of the graph of latencies leads to a trace")
    (collector,) = deployment.containers("collector")
    if not deployment.engine.answers("docker", "exec", collector, "test", "-e", "/collector.py"):
        return f"{len(exemplars)} exemplars (the collector is the real one, which keeps nothing to look at)"
    address = "http://127.0.0.1:8889/received"
    seen = json.loads(deployment.inside(collector, "wget", "-q", "-O", "-", address))
    must(set(exemplars) & set(seen["traces"]), "the traces of the exemplars did not reach the collector")
    return f"{len(exemplars)} exemplars, spans by {seen['spans']}, lines of logs by {seen['lines']}"


def _exemplars(ask: Callable[..., Any]) -> list[str]:
    found = ask("query_exemplars", query=LATENCY, start="0", end="9999999999")
    return [each["labels"]["trace_id"] for series in found for each in series["exemplars"]]


def _asking(deployment: Deployment) -> Callable[..., Any]:
    """Asks Prometheus from within its container, since it is published nowhere."""
    (container,) = deployment.containers("prometheus")

    def ask(path: str, **parameters: str) -> Any:
        url = f"http://127.0.0.1:9090/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        return json.loads(deployment.inside(container, "wget", "-q", "-O", "-", url))["data"]

    return ask


def _queries(folder: Path) -> Iterator[str]:
    for path in sorted((folder / "infra/observability/grafana/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                yield target["expr"].replace("$__rate_interval", WINDOW)


def _patiently(missing: Callable[[], T]) -> T:
    """What is missing still when it has had time to come."""
    give_up_s = time.monotonic() + SEEN_WITHIN_S
    while (still := missing()) and time.monotonic() < give_up_s:
        time.sleep(2)
    return still
