"""Stands where a program of others would, and does nothing of what it does: it reads what compose.yaml mounts for it, writes
where its volume is, and answers at its port. So users, mounts, volumes, secrets and networks are tried, and no more.

    python3 answers.py PORT VOLUME [WHAT TO READ ...]
"""

from __future__ import annotations

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Answers(BaseHTTPRequestHandler):
    """Says yes."""

    def do_GET(self) -> None:
        """Says it."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keeps quiet."""


def main(port: str, volume: str, *named: str) -> None:
    """Fails where something can't be read or written."""
    wanted = [name.partition("=")[2] or name for name in named]
    wanted += [path for key, path in os.environ.items() if key.endswith("__FILE")]
    files = [file for path in map(Path, wanted) for file in ([path] if path.is_file() else sorted(path.rglob("*.*")))]
    if len(files) < len(wanted) or not all(file.read_bytes() for file in files):
        sys.exit(f"of {wanted} there is only {files}")
    (Path(volume) / "written").write_text("yes\n")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    HTTPServer(("0.0.0.0", int(port)), Answers).serve_forever()  # noqa: S104  in a container's own network


if __name__ == "__main__":
    main(*sys.argv[1:])
