"""The `hearthmind` command: the one place that knows every service; no service knows it."""
