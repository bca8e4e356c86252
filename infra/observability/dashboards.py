"""Writes grafana/dashboards/ from panels.py: `python infra/observability/dashboards.py`. A test keeps them in step."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from panels import DASHBOARDS, Panel

FOLDER = Path(__file__).parent / "grafana" / "dashboards"

COLUMNS, WIDTH, HEIGHT = 3, 8, 8
"""Three panels stand side by side on Grafana's grid of 24 columns."""

PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}


def dashboard(name: str) -> str:
    """The text of a dashboard's file."""
    title, rows = DASHBOARDS[name]
    panels = [{"id": number, **panel} for number, panel in enumerate(_laid_out(rows), 1)]
    made = {
        "uid": f"hearthmind-{name}",
        "title": title,
        "tags": ["hearthmind"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "graphTooltip": 1,
        "links": [{"type": "dashboards", "tags": ["hearthmind"], "title": "Hearthmind"}],
        "panels": panels,
    }
    return json.dumps(made, indent=2) + "\n"


def _laid_out(rows: Mapping[str, tuple[Panel, ...]]) -> Iterator[dict[str, object]]:
    y = 0
    for title, panels in rows.items():
        yield {"type": "row", "title": title, "panels": [], "gridPos": {"x": 0, "y": y, "w": COLUMNS * WIDTH, "h": 1}}
        y += 1
        for number, panel in enumerate(panels):
            x, below = WIDTH * (number % COLUMNS), HEIGHT * (number // COLUMNS)
            yield {**_graph(panel), "gridPos": {"x": x, "y": y + below, "w": WIDTH, "h": HEIGHT}}
        y += HEIGHT * -(-len(panels) // COLUMNS)


def _graph(panel: Panel) -> dict[str, object]:
    bounds = {"min": 0} if panel.most is None else {"min": 0, "max": panel.most}
    drawn = {"lineWidth": 2, "fillOpacity": 5, "showPoints": "never"}
    targets = [
        {
            "refId": chr(ord("A") + number),
            "datasource": PROMETHEUS,
            "expr": expr,
            "legendFormat": legend,
            "exemplar": panel.exemplars,
        }
        for number, (expr, legend) in enumerate(panel.queries)
    ]
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.says,
        "datasource": PROMETHEUS,
        "fieldConfig": {"defaults": {"unit": panel.unit, "custom": drawn, **bounds}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": targets,
    }


def pages() -> dict[Path, str]:
    """Each dashboard's file with its text."""
    return {FOLDER / f"{name}.json": dashboard(name) for name in DASHBOARDS}


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
