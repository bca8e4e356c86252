"""Exporting by OTLP over HTTP. Apart from `setup.py` because its libraries take long to import and few need them."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import get_meter_provider, set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from hearthmind.settings import BadSetting


def span_processor(endpoint: str) -> SpanProcessor:
    """Sends spans in batches from a thread of its own; the standard OTEL_* variables say how, if they are set."""
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=_of_signal(endpoint, "traces")))


def meter_provider(endpoint: str, resource: Resource) -> MeterProvider:
    """Sends metrics from time to time, likewise; libraries that measure by themselves find it too."""
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=_of_signal(endpoint, "metrics")))
    provider = MeterProvider([reader], resource, shutdown_on_exit=False)
    if not isinstance(get_meter_provider(), MeterProvider):
        set_meter_provider(provider)
    return provider


def _of_signal(endpoint: str, signal: str) -> str:
    """Where a signal goes: what the standard variable says for it alone, else its path below the endpoint."""
    if urlsplit(endpoint).scheme not in {"http", "https"}:
        why = f"{endpoint!r} has to begin with http:// or https://, as in http://127.0.0.1:4318"
        raise BadSetting(key="HEARTHMIND_TELEMETRY__OTLP_ENDPOINT", why=why)
    own = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    return own or f"{endpoint.rstrip('/')}/v1/{signal}"
