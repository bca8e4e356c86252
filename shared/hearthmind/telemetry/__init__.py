"""Traces, metrics and logs. A game has only the OpenTelemetry API; the SDK is imported where a process sets it up."""
