"""Functions on plain arrays, compiled by numba and kept on disk until any of the compiled modules changes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")

HERE = Path(__file__).parent


def _keep() -> bool:
    """Whether there is a place to keep what was compiled.

    numba looks only at the file of a function, not at those it calls, and would run yesterday's rules from today's tables; so
    the place is named after the text of all that is compiled.
    """
    digest = hashlib.sha256()
    for module in sorted(HERE.glob("*.py")):
        text = module.read_bytes()
        if b"@compiled" in text:
            digest.update(text)
    above = Path(numba.config.CACHE_DIR or HERE / "__pycache__")  # type: ignore[attr-defined]  # it is made at run time
    place = above / f"compiled-{digest.hexdigest()[:12]}"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    numba.config.CACHE_DIR = str(place)  # type: ignore[attr-defined]
    return os.access(place, os.W_OK)


KEEP = _keep()


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The function as machine code, made at its first call."""
    return cast("Callable[P, R]", numba.njit(cache=KEEP, nogil=True, error_model="numpy")(function))
