"""The broker's clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearthmind.bus.clock import BrokerClock, parse_stamp


def test_stamps_with_and_without_fractions() -> None:
    assert parse_stamp("1970-01-01T00:00:10Z") == 10
    assert parse_stamp("2026-11-20T14:00:00.123456789Z") == pytest.approx(1795183200.123456789)


@given(st.floats(-1e6, 1e6), st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 1)), min_size=1, max_size=20))
def test_the_offset_is_right_within_half_the_quickest_answer(offset_s: float, trips: list[tuple[float, float]]) -> None:
    clock, now_s = BrokerClock(), 1000.0
    for trip_s, share in trips:
        clock.add(now_s, now_s + trip_s, now_s + trip_s * share + offset_s)
        now_s += 1
    quickest_s = min(trip_s for trip_s, _ in trips[-6:])
    assert abs(clock.broker_s(now_s) - offset_s - now_s) <= quickest_s / 2 + 1e-6
    assert clock.monotonic_s(clock.broker_s(now_s)) == pytest.approx(now_s)
