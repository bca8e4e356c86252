"""States as features: the same for the same facts, near for states that are alike, and within bounds for any."""

from __future__ import annotations

import json
from math import sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearthmind.store.cases import DIMENSIONS, SUM_MAX, features_of

facts = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
)
states = st.recursive(
    facts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=30,
)


def vector(state: Any) -> list[int]:
    found = features_of(json.dumps(state).encode())
    assert found
    return list(map(int, found.strip("[]").split(",")))


def distance(one: Any, other: Any) -> float:
    """Of the angle between two, as pgvector has it."""
    a, b = vector(one), vector(other)
    return 1 - sum(x * y for x, y in zip(a, b, strict=True)) / sqrt(sum(x * x for x in a) * sum(y * y for y in b))


@given(states)
def test_any_state_has_features_within_bounds_or_none(state: Any) -> None:
    found = features_of(json.dumps(state).encode())
    if found is not None:
        numbers = vector(state)
        assert len(numbers) == DIMENSIONS
        assert all(abs(number) <= SUM_MAX for number in numbers)
        assert any(numbers)


@given(st.dictionaries(st.text(max_size=8), states, min_size=1, max_size=5))
def test_the_order_of_facts_says_nothing(state: dict[str, Any]) -> None:
    turned = dict(reversed(state.items()))
    assert features_of(json.dumps(state).encode()) == features_of(json.dumps(turned).encode())


def test_what_is_alike_is_near() -> None:
    state = {"stocks": {"wood": 100, "clay": 900}, "near": ["wolves", "river"], "rank": 17}
    alike = {"stocks": {"wood": 110, "clay": 880}, "near": ["wolves", "river"], "rank": 18}
    other = {"guests": ["a bard"], "hour": 23, "stocks": {"wood": 0, "clay": 0}}
    assert distance(state, state) == pytest.approx(0)
    assert distance(state, alike) < 0.01
    assert distance(state, other) > 0.3


def test_the_features_of_a_state_never_change() -> None:
    """Rows of long ago are compared with those of today."""
    features = vector({"wood": 12, "near": ["wolves", {"far": True}], "of": None, "cold": -3.5})
    assert {at: number for at, number in enumerate(features) if number} == {3: 16, 9: -24, 20: 41, 36: -16}


@pytest.mark.parametrize(
    "state", [b"{}", b"[]", b"null", b"", b"{", b'{"a":null}', b'{"a":0}', b'{"a":1e999}', b'"\xff"']
)
def test_where_there_is_nothing_to_say_there_are_none(state: bytes) -> None:
    assert features_of(state) is None


def test_a_huge_state_costs_no_more_than_its_outline() -> None:
    assert features_of(json.dumps({"many": list(range(1, 50_000))}).encode())
    assert features_of(b"[" * 500 + b"1" + b"]" * 500) is None
    assert features_of(b"[" * 100_000) is None
