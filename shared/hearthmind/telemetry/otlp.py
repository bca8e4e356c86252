"""Exporting by OTLP over HTTP. Apart from `setup.py` because its libraries take long to import and few need them."""

from __future__ import annotations

import logging
import os
from urllib.parse import urlsplit

from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import get_meter_provider, set_meter_provider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from hearthmind.settings import BadSetting

METRICS_EVERY_MS = 10_000
"""How often metrics are sent, where the standard variable says nothing: a graph of a minute's steps shows no trouble."""


def span_processor(endpoint: str) -> SpanProcessor:
    """Sends spans in batches from a thread of its own; the standard OTEL_* variables say how, if they are set."""
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=_of_signal(endpoint, "traces")))


def meter_provider(endpoint: str, resource: Resource) -> MeterProvider:
    """Sends metrics from time to time, likewise; libraries that measure by themselves find it too."""
    every_ms = None if os.environ.get("OTEL_METRIC_EXPORT_INTERVAL") else METRICS_EVERY_MS
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=_of_signal(endpoint, "metrics")), every_ms)
    provider = MeterProvider([reader], resource, shutdown_on_exit=False)
    if not isinstance(get_meter_provider(), MeterProvider):
        set_meter_provider(provider)
    return provider


def logger_provider(endpoint: str, resource: Resource) -> LoggerProvider:
    """Sends log records in batches, likewise."""
    provider = LoggerProvider(resource, shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint=_of_signal(endpoint, "logs"))))
    return provider


class ToCollector(logging.Handler):
    """Hands log records to OpenTelemetry, each with the span that was being worked on."""

    def __init__(self, provider: LoggerProvider) -> None:
        super().__init__()
        self._provider = provider
        self._loggers: dict[str, Logger] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is sent: not what sending itself complains of."""
        return not record.name.startswith(("opentelemetry", "urllib3", "requests"))

    def emit(self, record: logging.LogRecord) -> None:
        """Puts it into the queue of what is sent; one that can't be written is complained of, as everywhere."""
        try:
            self._send(record)
        except Exception:
            self.handleError(record)

    def _send(self, record: logging.LogRecord) -> None:
        logger = self._loggers.get(record.name)
        if logger is None:
            logger = self._loggers[record.name] = self._provider.get_logger(record.name)
        logger.emit(
            LogRecord(
                timestamp=int(record.created * 1e9),
                severity_text=record.levelname,
                severity_number=_SEVERITIES.get(record.levelno, SeverityNumber.INFO),
                body=record.getMessage(),
                exception=record.exc_info[1] if record.exc_info else None,
            )
        )


_SEVERITIES = {
    logging.DEBUG: SeverityNumber.DEBUG,
    logging.INFO: SeverityNumber.INFO,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
    logging.CRITICAL: SeverityNumber.FATAL,
}


def _of_signal(endpoint: str, signal: str) -> str:
    """Where a signal goes: what the standard variable says for it alone, else its path below the endpoint."""
    if urlsplit(endpoint).scheme not in {"http", "https"}:
        why = f"{endpoint!r} has to begin with http:// or https://, as in http://127.0.0.1:4318"
        raise BadSetting(key="HEARTHMIND_TELEMETRY__OTLP_ENDPOINT", why=why)
    own = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    return own or f"{endpoint.rstrip('/')}/v1/{signal}"
