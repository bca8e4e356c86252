"""docs/reference/metrics.md: every metric with its unit, its labels and what it means."""

from __future__ import annotations

from collections.abc import Iterable

from hearthmind.telemetry.names import METRICS, Metric

INTRODUCTION = """# Metrics

Every metric that a process sends where `HEARTHMIND_TELEMETRY__OTLP_ENDPOINT` is set. This page is written by `./just reference`
from [`names.py`](../../shared/hearthmind/telemetry/names.py), and a test keeps it in step.

A metric has two names: that of OpenTelemetry, by which a process sends it, and that of Prometheus, as a collector with a
`prometheus` exporter writes it. Beside the labels that are listed each series has `job`, the service (`hearthmind.decision`),
and `instance`, one process of it. A label is one of a closed set, or of what is configured (games, kinds, models); of other
values 64 are told apart, the rest is `other`. No metric has a character as a label, however many there are.

[Watch a deployment](../how-to/watch-it.md) has the dashboards, [the runbook](../how-to/runbook.md) the alerts.
"""

COUNTED = ("counter", "total")

UNITS = {"s": "seconds", "By": "bytes"}
"""Units that become a part of the name; what stands in braces does not."""


def metrics_as_markdown() -> str:
    """A table, and the values of the labels that are closed sets."""
    lines = [
        INTRODUCTION,
        "| metric | in Prometheus | is | unit | labels | told by |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, metric in METRICS.items():
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
        unit = UNITS.get(metric.unit) or metric.unit.strip("{}")
        told_by = ", ".join(metric.told_by)
        kind = "counter" if metric.kind in COUNTED else metric.kind
        lines.append(f"| `{name}` | `{in_prometheus(name)}` | {kind} | {unit} | {labels} | {told_by} |")
    lines += ["", *(f"- `{name}`: {metric.says}." for name, metric in METRICS.items()), "", "## Labels", ""]
    return "\n".join([*lines, *_closed(METRICS.items())]) + "\n"


def in_prometheus(name: str) -> str:
    """The name of a metric in Prometheus; of a histogram the first part of its names."""
    metric = METRICS[name]
    parts = [name.replace(".", "_"), UNITS.get(metric.unit, ""), "total" if metric.kind in COUNTED else ""]
    return "_".join(part for part in parts if part)


def label_in_prometheus(label: str) -> str:
    """The name of a label in Prometheus."""
    return label.replace(".", "_")


def _closed(metrics: Iterable[tuple[str, Metric]]) -> list[str]:
    """Each closed set once, with the metrics that it belongs to where a label has several."""
    sets: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, metric in metrics:
        for label, values in metric.labels.items():
            if values:
                sets.setdefault((label, values), []).append(name)
    several = {label for label, _ in sets if sum(other == label for other, _ in sets) > 1}
    return [
        f"- `{label}`{' of ' + ', '.join(f'`{name}`' for name in of) if label in several else ''}: {', '.join(values)}"
        for (label, values), of in sets.items()
    ]
