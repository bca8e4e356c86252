"""Reward functions written as expressions: what they reckon, what they pass over, and which line a mistake is on."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.reward.expressions import (
    FUNCTIONS_MAX,
    LENGTH_MAX,
    PARTS_MAX,
    BadExpression,
    Unreckonable,
    compiled,
    functions_in,
)

FACTS: dict[str, Any] = {"gold": 250, "trust": -3, "content": True, "mood": "calm", "half": 0.5}

RECKONED: list[tuple[str, float]] = [
    ("1", 1.0),
    ("gold / 100", 2.5),
    ("gold - 50 * 2", 150.0),
    ("-trust + 1", 4.0),
    ("min(gold / 100, 0.2)", 0.2),
    ("max(trust, -1, -2)", -1.0),
    ("clip(gold / 100, -1, 1)", 1.0),
    ("abs(trust)", 3.0),
    ("0.4 if content else -0.2", 0.4),
    ("0.4 if not content else -0.2", -0.2),
    ("0.3 if mood == 'calm' else 0", 0.3),
    ("0.3 if mood != 'calm' else 0", 0.0),
    ("1 if gold > 249 and trust < 0 else 0", 1.0),
    ("1 if gold <= 249 or trust >= 0 else 0", 0.0),
    ("known(uptime, 0.5) - 0.8", -0.3),
    ("known(half, 0) - 0.8", -0.3),
    ("content", 1.0),
]


@pytest.mark.parametrize(("said", "value"), RECKONED)
def test_what_is_reckoned(said: str, value: float) -> None:
    assert compiled(said)(FACTS) == pytest.approx(value)


@pytest.mark.parametrize(
    "said",
    ["silver", "mood", "mood + 1", "gold / 0", "1e300 * 1e300", "1 if silver else 0", "gold * 1e200", "mood < 3"],
)
def test_what_cant_be_reckoned_contributes_nothing(said: str) -> None:
    functions, mistakes = functions_in(f"castle:\n  guard:\n    part: {said}\n    other: 0.25\n")
    assert not mistakes
    assert functions["castle"]["guard"](FACTS) == {"part": None, "other": 0.25}


@pytest.mark.parametrize(
    "said",
    [
        *("2 ** 9", "gold // 2", "gold % 2", "1 << 60", "gold.real", "[1, 2]", "{}", "lambda: 1", "f'{gold}'"),
        *(
            "__import__('os')",
            "eval('1')",
            "open('x')",
            "mni(1, 2)",
            "min(1)",
            "clip(1, 2)",
            "min(1, x=2)",
            "min(*gold)",
        ),
        *("known(1, 2)", "known(gold)", "gold[0]", "1 < gold < 3", "gold in mood", "await gold", "(gold := 1)", "None"),
        *("1 +", "(" * 250, "-" * 299 + "1", "b'x'", "1j", "...", "", "abs(" * 60 + "1" + ")" * 60),
    ],
)
def test_what_is_not_part_of_the_language_is_refused(said: str) -> None:
    with pytest.raises(BadExpression):
        compiled(said)


def test_an_expression_is_bounded() -> None:
    with pytest.raises(BadExpression, match="longer"):
        compiled("1" + " " * LENGTH_MAX + "+ 1")
    with pytest.raises(BadExpression, match="parts"):
        compiled("+".join(["1"] * 60))


def test_every_mistake_is_named_with_its_line() -> None:
    _, mistakes = functions_in(
        "castle:\n  guard:\n    a: mni(1, 2)\n    b: 1\n    c: gold ** 2\n  tower: 3\ncourt:\n  jester:\n    d: [1]\n"
    )
    assert [mistake.line for mistake in mistakes] == [3, 5, 6, 6, 8, 9]
    assert "castle.guard.a: there is no function 'mni'; is it 'min'?" in mistakes[0].what
    assert "not part of the language" in mistakes[1].what
    assert "court.jester" in mistakes[4].what


@pytest.mark.parametrize("text", ["", "# nothing\n", "just words", "- a\n- b\n", "a: [", "a: 1"])
def test_a_file_that_says_nothing_usable_is_refused(text: str) -> None:
    functions, mistakes = functions_in(text)
    assert mistakes
    assert not functions


def test_a_file_is_bounded() -> None:
    parts = "".join(f"    p{number}: 1\n" for number in range(PARTS_MAX + 1))
    assert "more than" in functions_in(f"castle:\n  guard:\n{parts}")[1][0].what
    kinds = "".join(f"  k{number}: {{p: 1}}\n" for number in range(FUNCTIONS_MAX + 1))
    assert "more than" in functions_in(f"castle:\n{kinds}")[1][0].what


_facts = st.booleans() | st.integers() | st.integers(-(10**400), 10**400) | st.floats() | st.text(max_size=3)
_atoms = st.sampled_from(["gold", "trust", "mood", "1", "0", "1e308", "'calm'", "known(gold, 1)"])
_grown = st.recursive(
    _atoms,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "<", "==", "and", "or"]), inner).map(
            lambda three: f"({' '.join(three)})"
        ),
        st.tuples(inner, inner, inner).map(lambda three: f"({three[0]} if {three[1]} else {three[2]})"),
        st.tuples(inner, inner).map(lambda two: f"max({two[0]}, {two[1]})"),
    ),
    max_leaves=8,
)


@given(_grown, st.dictionaries(st.sampled_from(["gold", "trust", "mood"]), _facts))
def test_whatever_is_written_gives_a_finite_number_or_none(said: str, facts: dict[str, Any]) -> None:
    try:
        evaluate = compiled(said)
    except BadExpression:
        return
    with suppress(Unreckonable, OverflowError):
        assert math.isfinite(evaluate(facts))


@given(st.text(max_size=40))
def test_any_words_are_understood_or_refused(said: str) -> None:
    with suppress(BadExpression):
        compiled(said)
