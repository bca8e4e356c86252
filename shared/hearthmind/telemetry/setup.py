"""Sets up telemetry in a process: where spans, metrics and logs go. The only place that imports the SDK.

The OTLP exporters are imported where an endpoint is set: they bring an HTTP client that nobody else needs.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from hearthmind.settings import Telemetry
from hearthmind.telemetry.files import FileExporter

EXPORT_EVERY_MS = 500


def start_telemetry(service: str, settings: Telemetry) -> Callable[[], None]:
    """Sets up logs, traces and metrics; the function returned sends what is left and ends."""
    _start_logs(settings)
    resource = Resource.create(
        {"service.name": f"hearthmind.{service}", "service.instance.id": f"{service}-{os.getpid()}"}
    )
    exporter = _exporter(service, settings)
    if exporter is None:
        return _nothing
    tracing = TracerProvider(resource=resource, sampler=ParentBased(TraceIdRatioBased(settings.sample_ratio)))
    tracing.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=EXPORT_EVERY_MS))
    trace.set_tracer_provider(tracing)
    if not settings.otlp_endpoint:
        return tracing.shutdown
    measuring = _metrics_to(settings.otlp_endpoint, resource)

    def end() -> None:
        tracing.shutdown()
        measuring.shutdown()

    return end


def _metrics_to(endpoint: str, resource: Resource) -> MeterProvider:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    exporter = OTLPMetricExporter(f"{endpoint.rstrip('/')}/v1/metrics")
    provider = MeterProvider([PeriodicExportingMetricReader(exporter)], resource)
    metrics.set_meter_provider(provider)
    return provider


def _exporter(service: str, settings: Telemetry) -> SpanExporter | None:
    if settings.otlp_endpoint:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(f"{settings.otlp_endpoint.rstrip('/')}/v1/traces")
    if settings.folder:
        return FileExporter(Path(settings.folder), service, settings.file_mib_max)
    return None


def _start_logs(settings: Telemetry) -> None:
    logging.basicConfig(
        level=settings.log_level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
    )


def _nothing() -> None:
    """There is nothing to end."""
