"""A plan is drawn from its seed alone, and gives everybody a turn."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from .plan import KINDS, TARGETS, draw

kinds = st.sets(st.sampled_from(KINDS), min_size=1)


@settings(deadline=None)
@given(st.integers(0, 2**32), kinds, st.floats(1, 600), st.floats(0.5, 20))
def test_a_seed_gives_one_plan_within_its_time(seed: int, kinds: set[str], seconds: float, every_s: float) -> None:
    plan = draw(seed, seconds, kinds, every_s)
    assert plan == draw(seed, seconds, sorted(kinds, reverse=True), every_s)
    assert [fault.at_s for fault in plan] == sorted(fault.at_s for fault in plan)
    assert all(0 < fault.at_s <= seconds for fault in plan)
    assert {fault.kind for fault in plan} <= kinds


@settings(deadline=None)
@given(st.integers(0, 2**32), kinds)
def test_nobody_is_hit_again_before_everybody_was(seed: int, kinds: set[str]) -> None:
    everybody = {(kind, *whom) for kind in kinds for whom in TARGETS[kind]}
    plan = draw(seed, 5 * len(everybody) + 100, kinds, every_s=1, away_s=1)
    first, second = plan[: len(everybody)], plan[len(everybody) : 2 * len(everybody)]
    for turn in (first, second):
        assert {(fault.kind, fault.target, fault.way) for fault in turn} == everybody


def test_other_seeds_give_other_plans() -> None:
    assert len({draw(seed, 60, KINDS, 3) for seed in range(100)}) == 100


def test_what_is_away_stays_away_as_long_as_was_asked() -> None:
    plan = draw(1, 300, {"away"}, every_s=5, away_s=60)
    assert {fault.lasts_s for fault in plan} == {60}
    assert all(later.at_s - earlier.at_s > 60 for earlier, later in pairwise(plan))
