"""Sets up telemetry in a process: where spans, metrics and logs go, and how much of them.

The law: telemetry never holds up and never ends a process. An endpoint that is away or a full disk costs spans, a line
in the log, and at the end at most `END_WITHIN_S`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from opentelemetry import trace as api
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from hearthmind.settings import Telemetry
from hearthmind.telemetry import metrics, trace
from hearthmind.telemetry.files import FileExporter
from hearthmind.telemetry.logs import start_logs

log = logging.getLogger("hearthmind.telemetry")

END_WITHIN_S = 3.0
"""How long the end of a process waits for its last spans to be sent."""

FILE_EVERY_MS = 500
"""How old spans get before they are in the file: what a killed process loses."""

FILE_QUEUE_MAX = 16_384
"""Spans on their way to the file; beyond, the oldest are dropped."""

ATTRIBUTE_LENGTH_MAX = 2_000


def start_telemetry(service: str, settings: Telemetry) -> Callable[[], None]:
    """Sets up logs, traces and metrics; the function returned sends what is left and ends."""
    name = f"hearthmind.{service}"
    resource = Resource.create({SERVICE_NAME: name})  # and a service.instance.id of its own
    sampler = ParentBased(TraceIdRatioBased(settings.sample_ratio))
    limits = SpanLimits(max_span_attribute_length=ATTRIBUTE_LENGTH_MAX)
    tracing = TracerProvider(sampler, resource, shutdown_on_exit=False, span_limits=limits)
    ends: list[Callable[[], None]] = [tracing.shutdown]
    collector: logging.Handler | None = None
    if settings.otlp_endpoint:
        from hearthmind.telemetry import otlp  # takes 0.3 s to import, and an HTTP client that nobody else needs

        tracing.add_span_processor(otlp.span_processor(settings.otlp_endpoint))
        measuring = otlp.meter_provider(settings.otlp_endpoint, resource)
        ends.append(measuring.shutdown)
        metrics.use(measuring)
        metrics.begin(service)
        logging_to = otlp.logger_provider(settings.otlp_endpoint, resource)
        ends.append(logging_to.shutdown)
        collector = otlp.ToCollector(logging_to)
    elif settings.folder:
        exporter = FileExporter(Path(settings.folder), service, settings.file_mib_max)
        tracing.add_span_processor(BatchSpanProcessor(exporter, FILE_QUEUE_MAX, FILE_EVERY_MS))
    stop_logs = start_logs(settings.log_level, settings.log_format, name, collector)
    trace.use(tracing)
    if isinstance(api.get_tracer_provider(), api.ProxyTracerProvider):
        api.set_tracer_provider(tracing)  # for libraries that trace by themselves

    def end() -> None:
        trace.use(api.NoOpTracerProvider())
        metrics.use(NoOpMeterProvider())
        _end_all(ends)
        stop_logs()

    return end


def _end_all(ends: list[Callable[[], None]]) -> None:
    """Ends all at once, and waits only so long: the SDK itself would wait for half a minute."""
    threads = [threading.Thread(target=_end_one, args=(end,), daemon=True) for end in ends]
    for thread in threads:
        thread.start()
    give_up_s = time.monotonic() + END_WITHIN_S
    for thread in threads:
        thread.join(max(0.0, give_up_s - time.monotonic()))


def _end_one(end: Callable[[], None]) -> None:
    try:
        end()
    except Exception as error:
        log.warning("telemetry did not end well: %s", error)
