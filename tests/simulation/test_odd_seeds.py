"""Every odd seed of the first 10,000 keeps all laws."""

from __future__ import annotations

import pytest

from .lives import first_broken, report


@pytest.mark.parametrize("first", range(1, 10_000, 1000))
def test_no_life_breaks_a_law(first: int) -> None:
    ended = first_broken(range(first, first + 1000, 2))
    assert ended is None, report(ended)
