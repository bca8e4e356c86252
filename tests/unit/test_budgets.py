"""Budgets: nobody spends more than an hour allows, in bounded memory; and what waits is shed by its worth."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearthmind.contracts.observation import Event, Heard, Observation
from hearthmind.testing.observations import an_observation
from services.decision.budgets import HOUR_S, Allowance, Allowances, Budgets
from services.decision.shedding import SHARES, class_of, sheds


def test_without_a_budget_nothing_is_kept() -> None:
    budgets = Budgets()
    for number in range(100):
        assert budgets.allows("realm", f"p{number}", 0.0) == ""
        budgets.asked("realm", f"p{number}", 0.0)
        budgets.spent("realm", f"p{number}", 1_000, 1.0, 0.0)
    assert budgets.kept == 0


def test_an_npc_that_has_spent_its_calls_is_refused_until_they_wear_off() -> None:
    budgets = Budgets(Allowances(npc=Allowance(calls_per_h=2)))
    for _ in range(2):
        assert budgets.allows("realm", "p1", 0.0) == ""
        budgets.asked("realm", "p1", 0.0)
    assert budgets.allows("realm", "p1", 0.0) == "the NPC's budget of 2 calls an hour is used up"
    assert budgets.allows("realm", "p2", 0.0) == ""
    assert budgets.allows("realm", "p1", HOUR_S / 2 - 1) != ""
    assert budgets.allows("realm", "p1", HOUR_S / 2 + 1) == ""


def test_tokens_and_cost_count_when_they_are_known() -> None:
    budgets = Budgets(Allowances(npc=Allowance(tokens_per_h=100), game=Allowance(usd_per_h=0.5)))
    budgets.spent("realm", "p1", 99, 0.4, 0.0)
    assert budgets.allows("realm", "p1", 0.0) == ""
    budgets.spent("realm", "p1", 99, 0.0, 0.0)
    assert "100 tokens an hour" in budgets.allows("realm", "p1", 0.0)
    budgets.spent("realm", "p2", 1, 0.2, 0.0)
    assert budgets.allows("realm", "p3", 0.0) == "the game's budget of 0.5 USD an hour is used up"
    assert budgets.allows("castle", "p3", 0.0) == ""


def test_a_game_may_have_its_own() -> None:
    allowances = Allowances(
        npc=Allowance(calls_per_h=0), npcs_of={"castle": Allowance()}, games={"realm": Allowance(calls_per_h=9)}
    )
    budgets = Budgets(allowances)
    assert "0 calls an hour" in budgets.allows("realm", "p1", 0.0)
    assert budgets.allows("castle", "p1", 0.0) == ""


def test_accounts_are_bounded_and_forgotten_when_nothing_is_left_on_them() -> None:
    budgets = Budgets(Allowances(npc=Allowance(calls_per_h=10)), npcs_max=50)
    for number in range(500):
        budgets.asked("realm", f"p{number}", 0.0)
        assert budgets.kept <= 50
    assert budgets.allows("realm", "p499", 0.0) == ""
    for number in range(60):
        budgets.asked("realm", f"late{number}", 2 * HOUR_S)
    assert budgets.kept <= 50
    for _ in range(60):
        budgets.asked("realm", "one", 9 * HOUR_S)
    assert budgets.kept == 1


@given(
    st.lists(st.tuples(st.floats(0, 600), st.sampled_from(("p1", "p2")), st.integers(0, 50)), max_size=80),
    st.integers(1, 20),
    st.integers(1, 200),
)
def test_in_no_hour_more_is_asked_than_twice_what_it_allows(
    asks: list[tuple[float, str, int]], calls: int, tokens: int
) -> None:
    """What is saved up in an idle hour may be spent at once, and no more."""
    budgets = Budgets(Allowances(npc=Allowance(calls_per_h=calls), game=Allowance(tokens_per_h=tokens)))
    now_s, made = 0.0, []
    for wait_s, npc, cost in asks:
        now_s += wait_s
        if not budgets.allows("realm", npc, now_s):
            budgets.asked("realm", npc, now_s)
            budgets.spent("realm", npc, cost, 0.0, now_s)
            made.append((now_s, npc, cost))
    for start_s, _, _ in made:
        hour = [(npc, cost) for at_s, npc, cost in made if start_s <= at_s < start_s + HOUR_S]
        assert all(sum(npc == who for npc, _ in hour) <= 2 * calls for who in ("p1", "p2"))
        assert sum(cost for _, cost in hour) <= 2 * tokens + 50


# ---- shedding ----------------------------------------------------------------------------------------------------------

SPOKEN_TO = an_observation(priority=9, texts=(Heard(speaker="Bo", text="hi"),))


def as_event(observation: Observation) -> Event:
    return Event(**{name: getattr(observation, name) for name in observation.__struct_fields__})


@pytest.mark.parametrize(
    "observation, which",
    [
        (an_observation(priority=9), "routine"),
        (an_observation(priority=5), "social"),
        (an_observation(priority=3), "strategic"),
        (an_observation(priority=0), "critical"),
        (as_event(an_observation(priority=9)), "event"),
        (as_event(an_observation(priority=1)), "critical"),
        (SPOKEN_TO, "critical"),
    ],
)
def test_what_is_worth_least_goes_first(observation: Observation, which: str) -> None:
    assert class_of(observation) == which
    full = round(SHARES[which] * 100)
    assert sheds(observation, full - 1, 100) == ""
    assert which in sheds(observation, full, 100)


def test_the_tier_of_the_triage_counts() -> None:
    routine = an_observation(priority=9)
    assert class_of(routine, "critical") == "critical"
    assert class_of(routine, "social") == "social"


@given(st.integers(0, 10), st.integers(0, 10), st.integers(0, 100), st.booleans())
def test_nobody_is_shed_while_somebody_of_less_worth_may_wait(high: int, low: int, waiting: int, event: bool) -> None:
    high, low = min(high, low), max(high, low)
    first, second = an_observation(priority=high), an_observation(priority=low)
    if event:
        first = as_event(first)
    if sheds(first, waiting, 100):
        assert sheds(msgspec.structs.replace(second), waiting, 100)
