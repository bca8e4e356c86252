"""What one check of `hearthmind doctor` found."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARNING, WRONG = "ok", "warning", "wrong"


@dataclass(frozen=True)
class Finding:
    """What one check found, and what to do about it."""

    what: str
    state: str
    says: str
