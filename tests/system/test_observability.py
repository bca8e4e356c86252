"""The dashboards, alerts, traces and logs of a real run, in a real Prometheus.

The Realm plays on the whole platform; metrics, spans and log records go by OTLP to a stand-in for the collector, since Debian's
Prometheus is older than OTLP. All else is what a deployment has: its scraping, its rules, its dashboards' queries.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest

from hearthmind import ids, prompts
from hearthmind.bus.publish import MSG_ID
from hearthmind.bus.wire import encode
from hearthmind.embedded import postgres
from hearthmind.flow import game_user
from hearthmind.telemetry import names
from hearthmind.testing.observations import an_observation
from hearthmind.testing.waiting import until
from services.command.pages.metrics import in_prometheus, label_in_prometheus

from ..observability.collector import Span
from ..observability.prometheus import CONFIGURATION, MISSING, is_installed
from ..observability.running import GAME, Run, running

needs_prometheus = pytest.mark.skipif(not is_installed(), reason=MISSING)

UNTRIED = {"vllm:": "no vLLM runs here"}
"""What is asked for and can't have an answer in this run, by how it begins, and why."""

EDGES = {
    ("", "game.observe"),
    ("game.observe", "decision.decide"),
    ("decision.decide", "inference_worker.infer"),
    ("decision.decide", "game.act"),
    ("game.act", "game.report"),
    ("game.report", "reward.store"),
}
"""Who causes whom, in the trace of a decision that a model made. The reply to `decide` is no span of its own."""


async def _asked_twice_and_in_vain(run: Run) -> None:
    """What a short and healthy run has not: an answer from the cache, and a request that fails."""
    connection, few = run.platform.connection, prompts.Sampling(tokens_max=4, temperature=0)
    address, password = connection.nats_url, connection.passwords["prompts"]
    async with prompts.connect(address, game="realm", pool="nano", password=password) as asking:
        for _ in range(2):
            await asking.ask("Which way?", sampling=few)
        with pytest.raises(prompts.NoAnswer, match="nobody@1"):
            await asking.ask("Which way?", sampling=few, adapter="nobody@1")


@pytest.fixture(scope="module")
async def run(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Run]:
    if not is_installed():
        pytest.skip(MISSING)
    folder = tmp_path_factory.mktemp("watched")
    try:
        async with running(folder, npcs=20) as run:
            await until(lambda: len(run.told) > 20)
            await _asked_twice_and_in_vain(run)
            yield run
    finally:
        postgres.remove(folder / "platform" / "postgres")


def panels() -> Iterator[tuple[str, str, str]]:
    """Of each dashboard, each panel's queries, and what their lines are called."""
    for path in sorted((CONFIGURATION / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                yield f"{path.stem}: {panel['title']}", target["expr"], target["legendFormat"]


def is_untried(expression: str) -> bool:
    return any(begin in expression for begin in UNTRIED)


async def planted(run: Run, observation: Any, message_id: str, traceparent: str = "") -> None:
    """Publishes an observation as a game in another language would."""
    nc = await nats.connect(
        run.platform.connection.url_of(game_user(GAME)), inbox_prefix=f"_INBOX_{game_user(GAME)}".encode()
    )
    headers = {MSG_ID: message_id, **({"traceparent": traceparent} if traceparent else {})}
    subject = ids.observation_subject(GAME, observation.npc, observation.kind)
    await nc.publish(subject, encode(observation), headers=headers)
    await nc.flush()
    await nc.close()


# ---- dashboards and alerts --------------------------------------------------------------------------------------------


async def test_every_query_of_every_panel_has_an_answer(run: Run) -> None:
    dropped = in_prometheus(names.DROPPED)
    while not run.prometheus.now(dropped):
        await planted(run, an_observation(answer_within_ms=1), ids.new_decision_id())  # too late when it comes
        await asyncio.to_thread(run.prometheus.now, "up")
    for title, expression, legend in panels():
        if not is_untried(expression):
            await until(lambda asked=expression: bool(run.prometheus.now(asked)))  # type: ignore[misc]
            for labels, _ in run.prometheus.now(expression):
                missing = set(re.findall(r"{{(\w+)}}", legend)) - labels.keys()
                assert not missing, f"{title}: lines are called by {missing}, which no series has"


def test_what_is_untried_is_only_what_cannot_be_had_here() -> None:
    assert {title.partition(":")[0] for title, expression, _ in panels() if is_untried(expression)} == {"engines"}


async def test_every_rule_is_evaluated_and_no_alert_fires_in_a_healthy_run(run: Run) -> None:
    def rules() -> list[dict[str, Any]]:
        return [rule for group in run.prometheus.ask("rules")["groups"] for rule in group["rules"]]

    await until(lambda: all(rule["health"] != "unknown" for rule in rules()))
    assert [rule for rule in rules() if rule["health"] != "ok"] == []
    assert [rule["name"] for rule in rules() if rule.get("state") == "firing"] == []
    for expression in (rule["query"] for rule in rules() if rule["type"] == "alerting"):
        for metric in set(re.findall(r"\b(?:hearthmind[_:][\w:]+)(?=[{)\[ ])", expression)) - set(labels()):
            await until(lambda asked=metric: bool(run.prometheus.now(asked)))  # type: ignore[misc]


async def test_the_metrics_are_those_of_the_registry_each_with_its_labels(run: Run) -> None:
    expected = {
        in_prometheus(name): set(map(label_in_prometheus, names.METRICS[name].labels)) for name in names.METRICS
    }

    def there() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for series in run.prometheus.ask("series", **{"match[]": '{__name__=~"(hearthmind|gen_ai)_.+"}'}):
            name = re.sub(r"_(bucket|sum|count)$", "", series.pop("__name__"))
            found.setdefault(name, set()).update(series.keys() - {"job", "instance", "le"})
        return found

    await until(lambda: there().keys() >= expected.keys() - {in_prometheus(names.DROPPED)})
    found = there()
    assert found == {name: expected[name] for name in found}


def labels() -> Iterator[str]:
    for metric in names.METRICS.values():
        yield from map(label_in_prometheus, metric.labels)


async def test_no_series_is_told_twice_and_the_brokers_count_is_the_services(run: Run) -> None:
    def stored(stream: str) -> float:
        return sum(
            value for _, value in run.prometheus.now(f'hearthmind_stream_stored_total{{hearthmind_stream="{stream}"}}')
        )

    def decided_by_all() -> float:
        return sum(value for _, value in run.prometheus.now("hearthmind_decisions_total"))

    await until(lambda: stored("ACTION") > 20 and decided_by_all() > 20)
    told = [
        line.rpartition(" ")[0]
        for line in run.collector.exposition().splitlines()
        if " # " not in line and line[0] != "#"
    ]
    assert len(told) == len(set(told))


# ---- traces and logs --------------------------------------------------------------------------------------------------


async def test_an_exemplar_of_the_latency_leads_to_the_trace_of_a_decision(run: Run) -> None:
    def exemplars() -> list[dict[str, str]]:
        query = f"{in_prometheus(names.DECISION_DURATION)}_bucket"
        found = run.prometheus.ask("query_exemplars", query=query, start="0", end="9999999999")
        return [exemplar["labels"] for series in found for exemplar in series["exemplars"]]

    await until(lambda: bool(exemplars()))
    leads_to = exemplars()[0]

    def span() -> Span | None:
        return next((span for span in run.collector.spans if span.span == leads_to["span_id"]), None)

    await until(lambda: span() is not None)
    found = span()
    assert found
    assert (found.trace, found.service, found.name) == (leads_to["trace_id"], "hearthmind.decision", "decide")
    assert found.attributes[names.DECISION_ID]


async def test_the_edges_between_services_are_those_of_the_loop(run: Run) -> None:
    def traces() -> dict[str, dict[str, Span]]:
        """Each trace with its spans, by their ids; only those that went all the way round, through a model."""
        found: dict[str, dict[str, Span]] = {}
        for span in run.collector.spans:
            found.setdefault(span.trace, {})[span.span] = span
        return {
            trace: spans
            for trace, spans in found.items()
            if {"infer", "store"} <= {span.name for span in spans.values()}
        }

    def edges(spans: dict[str, Span]) -> set[tuple[str, str]]:
        return {(called(spans[span.parent]) if span.parent in spans else "", called(span)) for span in spans.values()}

    def called(span: Span) -> str:
        return f"{span.service.removeprefix('hearthmind.')}.{span.name}"

    await until(lambda: any(edges(spans) == EDGES for spans in traces().values()))
    whole = [spans for spans in traces().values() if edges(spans) == EDGES]
    for spans in whole:
        assert len(spans) == len(EDGES)
        decided = next(span for span in spans.values() if span.name == "decide")
        assert decided.attributes[names.SOURCE] == "model"
    strange = set().union(*(edges(spans) for spans in traces().values())) - EDGES
    assert {child for parent, child in strange if parent} == set(), "somebody causes what the flow does not know"


async def test_a_line_of_the_log_leads_to_the_trace_it_was_written_in(run: Run) -> None:
    """A game says the same thing twice: the second action is a duplicate, and the decision service says so in its log."""
    trace, observation = "f" * 31 + "7", an_observation(npc="twice", answer_within_ms=10_000)
    traceparent = f"00-{trace}-{'7' * 16}-01"
    for number in (1, 2):
        await planted(run, observation, f"{observation.id}-{number}", traceparent)
        await until(lambda times=number: decided(run, trace) >= times)  # type: ignore[misc]
    log = run.platform.folder / "logs" / "decision.log"
    await until(lambda: bool(lines_of(log, trace)))
    (line,) = lines_of(log, trace)
    assert f"decision {observation.id} had an action already" in line["message"]
    assert line["service"] == "hearthmind.decision"
    span = next(span for span in run.collector.spans if span.span == line["span_id"])
    assert (span.trace, span.attributes[names.DECISION_ID]) == (trace, observation.id)
    await until(lambda: any(sent.trace == trace for sent in run.collector.lines))
    (sent,) = (sent for sent in run.collector.lines if sent.trace == trace)
    assert (sent.span, sent.text) == (line["span_id"], line["message"])


def decided(run: Run, trace: str) -> int:
    return sum(span.trace == trace and span.name == "decide" for span in run.collector.spans)


def lines_of(log: Path, trace: str) -> list[dict[str, str]]:
    """The whole lines of a trace; every line of the log is one object."""
    lines = (json.loads(line) for line in log.read_text().splitlines() if line.endswith("}"))
    return [line for line in lines if line.get("trace_id") == trace]
