"""Dashboards, alerts and their configuration: in step with the code, with each other, and with the runbook."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hearthmind.telemetry.names import METRICS
from services.command.pages.metrics import in_prometheus, label_in_prometheus, metrics_as_markdown

ROOT = Path(__file__).parents[2]
HERE = ROOT / "infra" / "observability"
RULES = HERE / "rules"
RULES_TEST = RULES / "tests" / "alerts.yaml"

LABELS = {label_in_prometheus(label) for metric in METRICS.values() for label in metric.labels}
OF_HISTOGRAMS = ("_bucket", "_sum", "_count")
SHOWN_NOWHERE = {"hearthmind_broker_up": "an alert is enough"}

needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="there is no promtool: apt-get install prometheus"
)


def dashboards() -> Any:
    """The module that writes the dashboards; infra/ is no package."""
    spec = importlib.util.spec_from_file_location("dashboards", HERE / "dashboards.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((HERE / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            if panel["type"] != "row":
                yield path.stem, panel


def queries() -> Iterator[str]:
    for _, panel in panels():
        for target in panel["targets"]:
            yield target["expr"]


def rules(name: str) -> str:
    return (RULES / name).read_text()


def ours_in(text: str) -> set[str]:
    """The metrics of ours that an expression speaks of."""
    found = set(re.findall(r"\b(?:hearthmind|gen_ai)_\w+", text)) - LABELS
    histograms = {in_prometheus(name) for name, metric in METRICS.items() if metric.kind == "histogram"}
    for suffix in OF_HISTOGRAMS:
        found = {each.removesuffix(suffix) if each.removesuffix(suffix) in histograms else each for each in found}
    return found


def test_the_files_are_what_the_table_says() -> None:
    made = dashboards().pages()
    assert {path.name for path in (HERE / "grafana" / "dashboards").iterdir()} == {path.name for path in made}
    for path, text in made.items():
        assert path.read_text() == text, "run python infra/observability/dashboards.py"


def test_the_page_of_metrics_is_in_step() -> None:
    assert (ROOT / "docs/reference/metrics.md").read_text() == metrics_as_markdown(), "run ./just reference"


def test_panels_and_rules_speak_of_metrics_that_there_are() -> None:
    known = {in_prometheus(name) for name in METRICS}
    for text in (*queries(), rules("loop.yaml"), rules("alerts.yaml")):
        assert ours_in(text) <= known


def test_every_metric_is_looked_at() -> None:
    looked_at = ours_in(" ".join((*queries(), rules("loop.yaml"))))
    assert {in_prometheus(name) for name in METRICS} - looked_at == set(SHOWN_NOWHERE)
    assert set(SHOWN_NOWHERE) <= ours_in(rules("alerts.yaml"))


def test_recorded_series_that_are_asked_for_are_recorded() -> None:
    recorded = set(re.findall(r"record: (\S+)", rules("loop.yaml")))
    for text in (*queries(), rules("alerts.yaml")):
        assert set(re.findall(r"\bhearthmind:[\w:]+", text)) <= recorded


def test_every_panel_says_how_to_read_it() -> None:
    found = list(panels())
    assert all(panel["description"] for _, panel in found)
    for board in {board for board, _ in found}:
        numbers = [panel["id"] for of, panel in found if of == board]
        assert len(numbers) == len(set(numbers))


def test_only_latency_leads_to_traces() -> None:
    leading = {panel["title"] for _, panel in panels() if any(target["exemplar"] for target in panel["targets"])}
    assert leading == {"Latency"}


# ---- alerts -----------------------------------------------------------------------------------------------------------


def alerts() -> list[str]:
    return re.findall(r"- alert: (\w+)", rules("alerts.yaml"))


def test_every_alert_has_its_place_in_the_runbook_and_the_runbook_nothing_else() -> None:
    runbook = (ROOT / "docs/how-to/runbook.md").read_text()
    assert re.findall(r"^## (\w+)$", runbook, re.MULTILINE) == alerts()
    links = re.findall(r"runbook: (\S+)", rules("alerts.yaml"))
    assert links == [f"docs/how-to/runbook.md#{name.lower()}" for name in alerts()]


def test_every_alert_is_tested() -> None:
    tests = RULES_TEST.read_text()
    for name in alerts():
        assert re.search(rf"alertname: {name}\n +eval_time: \w+\n +exp_alerts:\n +- exp_labels", tests), name


@needs_promtool
def test_promtool_accepts_the_configuration() -> None:
    assert promtool("check", "rules", *(str(path) for path in RULES.glob("*.yaml"))).returncode == 0
    checked = promtool("check", "config", str(HERE / "prometheus.yaml"))
    assert checked.returncode == 0, checked.stderr


@needs_promtool
def test_alerts_come_when_they_should_and_not_before() -> None:
    done = promtool("test", "rules", str(RULES_TEST))
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("< 0.99", "< 0.9"),
        ("unless sum(rate(hearthmind_decisions_total[1m])) > 0", ""),
        ("> 0.85", "> 0.95"),
        ('job="hearthmind.decision"', 'job="hearthmind.decider"'),
        ("(increase(hearthmind_dead_letters_total[10m])) > 0", "(hearthmind_dead_letters_total) > 0"),
    ],
)
def test_the_tests_of_alerts_notice_what_is_wrong(right: str, wrong: str, folder: Path) -> None:
    shutil.copytree(RULES, folder / "rules")
    path = folder / "rules" / "alerts.yaml"
    assert right in path.read_text()
    path.write_text(path.read_text().replace(right, wrong))
    assert promtool("test", "rules", str(folder / "rules" / "tests" / "alerts.yaml")).returncode != 0


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60)


# ---- configuration ----------------------------------------------------------------------------------------------------


def configuration(path: str) -> Any:
    yaml: Any = pytest.importorskip("yaml")
    return yaml.safe_load((HERE / path).read_text())


def test_the_collectors_pipelines_have_what_they_name_and_need_what_there_is() -> None:
    collector = configuration("collector.yaml")
    used: dict[str, set[str]] = {"receivers": set(), "processors": set(), "exporters": set()}
    for pipeline in collector["service"]["pipelines"].values():
        for kind, names in used.items():
            names.update(pipeline[kind])
    assert used == {kind: set(collector[kind]) for kind in used}
    assert set(collector["service"]["pipelines"]) == {"metrics", "traces", "logs"}
    assert collector["exporters"]["prometheus"]["enable_open_metrics"], "without it there are no exemplars"


def test_prometheus_reads_where_the_collector_writes_and_keeps_the_processes_names() -> None:
    written = configuration("collector.yaml")["exporters"]["prometheus"]["endpoint"]
    ours = next(job for job in configuration("prometheus.yaml")["scrape_configs"] if job["job_name"] == "collector")
    (target,) = ours["static_configs"][0]["targets"]
    assert target.partition(":")[2] == written.partition(":")[2]
    assert ours["honor_labels"]


def test_traces_and_logs_go_where_their_stores_listen() -> None:
    exporters = configuration("collector.yaml")["exporters"]
    tempo = configuration("tempo.yaml")["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    assert exporters["otlp/tempo"]["endpoint"].partition(":")[2] == tempo.partition(":")[2]
    assert f":{configuration('loki.yaml')['server']['http_listen_port']}/" in exporters["otlphttp/loki"]["endpoint"]


def test_grafana_knows_every_source_that_something_leads_to() -> None:
    sources = configuration("grafana/provisioning/datasources/hearthmind.yaml")["datasources"]
    known = {source["uid"] for source in sources}
    text = (HERE / "grafana/provisioning/datasources/hearthmind.yaml").read_text()
    assert set(re.findall(r"datasourceUid: (\w+)", text)) <= known
    assert {target["datasource"]["uid"] for _, panel in panels() for target in panel["targets"]} <= known
