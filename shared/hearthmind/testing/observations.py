"""Observations to test with: one by hand, and any legal one by hypothesis."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from hearthmind.contracts.observation import Choice, LegalAction, Observation, Parameter, Real, Whole
from hearthmind.ids import new_decision_id

BUILD = LegalAction(
    name="build", parameters={"what": Choice(enum=("mill", "farm")), "levels": Whole(minimum=1, maximum=3)}, appeal=0.5
)
WAIT = LegalAction(name="wait")


def an_observation(**changes: Any) -> Observation:
    """A legal observation, with these fields changed."""
    fields: dict[str, Any] = {
        "id": new_decision_id(),
        "game": "realm",
        "npc": "p0001",
        "kind": "economic",
        "legal_actions": (WAIT, BUILD),
        "answer_within_ms": 1000,
        "snapshot": 1,
        "state": msgspec.Raw(b'{"wood":12}'),
    }
    return Observation(**{**fields, **changes})


_words = st.text("abcdefghijklmnopqrstuvwxyz_-0123456789", min_size=1, max_size=12)
_finite = st.floats(allow_nan=False, allow_infinity=False, width=32)


@st.composite
def parameters(draw: st.DrawFn) -> Parameter:
    """Any parameter."""
    which = draw(st.sampled_from(("choice", "whole", "real")))
    if which == "choice":
        words = draw(st.lists(_words, min_size=1, max_size=5, unique=True))
        return Choice(enum=tuple(words), default=draw(st.none() | st.sampled_from(words) | _words))
    if which == "whole":
        low, high = sorted(draw(st.tuples(*[st.integers(-(2**53), 2**53)] * 2)))
        return Whole(minimum=low, maximum=high, default=draw(st.none() | st.integers(-(2**53), 2**53)))
    least, most = sorted(draw(st.tuples(_finite, _finite)))
    return Real(minimum=least, maximum=most, default=draw(st.none() | _finite))


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """Any legal observation."""
    names = draw(st.lists(_words, min_size=1, max_size=6, unique=True))
    actions = tuple(
        LegalAction(name=name, parameters=draw(st.dictionaries(_words, parameters(), max_size=3)), appeal=draw(_finite))
        for name in names
    )
    return an_observation(
        npc=draw(_words),
        kind=draw(st.sampled_from(("economic", "combat"))),
        legal_actions=actions,
        snapshot=draw(st.integers(0, 5)),
        answer_within_ms=draw(st.integers(1, 5_000)),
        priority=draw(st.integers(0, 10)),
    )
