"""Every clause and every bound of the rewards, against arithmetic done by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.reward.rewards import REWARDS, reward_of

BATTLES: list[tuple[dict[str, Any], float]] = [
    ({}, 0.0),
    ({"victory": True}, 0.5),
    ({"victory": False}, -0.5),
    ({"victory": "yes"}, 0.0),
    ({"victory": 1}, 0.0),
    ({"own_losses": 10, "enemy_losses": 20}, 0.2),
    ({"own_losses": 1, "enemy_losses": 3}, 0.3),
    ({"own_losses": 1, "enemy_losses": 1_000_000}, 0.3),
    ({"own_losses": 0, "enemy_losses": 50}, 0.0),
    ({"own_losses": -1, "enemy_losses": 50}, 0.0),
    ({"own_losses": 10, "enemy_losses": -50}, 0.0),
    ({"enemy_losses": 50}, 0.0),
    ({"own_losses": 50}, 0.0),
    ({"resources_gained": 5_000}, 0.05),
    ({"resources_gained": 20_000}, 0.2),
    ({"resources_gained": 90_000_000}, 0.2),
    ({"resources_gained": -30_000}, -0.3),
    ({"predicted": "win", "result": "win"}, 0.1),
    ({"predicted": "win", "result": "loss"}, 0.0),
    ({"predicted": "win"}, 0.0),
    ({"result": "win"}, 0.0),
    ({"predicted": "draw", "result": "draw"}, 0.1),
    ({"predicted": "loss", "result": "loss"}, 0.0),
    ({"predicted": "Defeat", "result": "Defeat"}, 0.0),
    ({"predicted": "loss", "result": "loss", "victory": False}, -0.5),
    ({"predicted": "ours", "result": "ours", "victory": False}, -0.5),
    ({"predicted": "win", "result": "win", "victory": True}, 0.6),
    (
        {
            "victory": True,
            "own_losses": 1,
            "enemy_losses": 9,
            "resources_gained": 10**6,
            "predicted": "win",
            "result": "win",
        },
        1.0,
    ),
    ({"victory": False, "resources_gained": -(10**9)}, -1.0),
]

ECONOMIES: list[tuple[dict[str, Any], float]] = [
    ({}, -0.09),
    ({"queue_uptime": 0.8}, 0.0),
    ({"queue_uptime": 1.0}, 0.06),
    ({"queue_uptime": 0}, -0.24),
    ({"queue_uptime": 7}, 0.06),
    ({"queue_uptime": "all day"}, -0.09),
    ({"queue_uptime": 0.8, "production_before": 100, "production_after": 150}, 0.25),
    ({"queue_uptime": 0.8, "production_before": 100, "production_after": 50}, -0.25),
    ({"queue_uptime": 0.8, "production_before": 0, "production_after": 1}, 0.5),
    ({"queue_uptime": 0.8, "production_before": 0.5, "production_after": 1.5}, 0.5),
    ({"queue_uptime": 0.8, "production_before": 100}, 0.0),
    ({"queue_uptime": 0.8, "production_after": 100}, 0.0),
    ({"queue_uptime": 0.8, "production_before": 1, "production_after": 100}, 1.0),
    ({"queue_uptime": 0.8, "wasted": 5_000}, -0.1),
    ({"queue_uptime": 0.8, "wasted": 10**9}, -1.0),
    ({"queue_uptime": 0.8, "wasted": -5_000}, 0.0),
    ({"queue_uptime": 1.0, "production_before": 100, "production_after": 120, "wasted": 2_500}, 0.11),
]

DIPLOMACIES: list[tuple[dict[str, Any], float]] = [
    ({}, 0.0),
    ({"accepted": True}, 0.4),
    ({"accepted": False}, -0.2),
    ({"accepted": 1}, 0.0),
    ({"accepted": "yes"}, 0.0),
    ({"trust_change": 10}, 0.1),
    ({"trust_change": -25}, -0.25),
    ({"trust_change": 1_000}, 1.0),
    ({"trust_change": -(10**9)}, -1.0),
    ({"trust_change": True}, 0.0),
    ({"trust_change": "much"}, 0.0),
    ({"strategic_value": "high"}, 0.3),
    ({"strategic_value": "low"}, -0.1),
    ({"strategic_value": "medium"}, 0.0),
    ({"strategic_value": 3}, 0.0),
    ({"accepted": True, "trust_change": 5, "strategic_value": "high"}, 0.75),
    ({"accepted": False, "trust_change": -10, "strategic_value": "low"}, -0.4),
    ({"accepted": True, "trust_change": 90, "strategic_value": "high"}, 1.0),
]


@pytest.mark.parametrize(("facts", "total"), BATTLES)
def test_battle(facts: dict[str, Any], total: float) -> None:
    assert reward_of("combat", facts).total == pytest.approx(total)


@pytest.mark.parametrize(("facts", "total"), ECONOMIES)
def test_economic(facts: dict[str, Any], total: float) -> None:
    assert reward_of("economic", facts).total == pytest.approx(total)


@pytest.mark.parametrize(("facts", "total"), DIPLOMACIES)
def test_diplomatic(facts: dict[str, Any], total: float) -> None:
    assert reward_of("diplomacy", facts).total == pytest.approx(total)


_RESULTS = ("win", "draw", "loss", "lost", "Defeat", "ours")


@pytest.mark.parametrize("victory", [True, False, None])
@pytest.mark.parametrize("result", _RESULTS)
def test_foretelling_a_defeat_never_pays(victory: bool | None, result: str) -> None:
    said: dict[str, Any] = {"result": result} | ({} if victory is None else {"victory": victory})
    silent = reward_of("combat", said)
    is_defeat = victory is False or (victory is None and result.lower() in {"loss", "lost", "defeat"})
    for predicted in _RESULTS:
        reward = reward_of("combat", said | {"predicted": predicted})
        gained = reward.total - silent.total
        assert gained == pytest.approx(0.1 if predicted == result and not is_defeat else 0.0)
        assert ("prediction" in reward.parts) == (gained > 0)


def test_losing_as_foretold_is_worth_less_than_winning_against_all_expectation() -> None:
    lost = reward_of("combat", {"victory": False, "result": "loss", "predicted": "loss"})
    won = reward_of("combat", {"victory": True, "result": "win", "predicted": "loss"})
    assert lost.total < won.total - 0.9


def test_parts_are_those_of_known_facts_before_the_total_is_clipped() -> None:
    reward = reward_of("combat", {"victory": False, "resources_gained": -200_000, "predicted": "win", "result": "loss"})
    assert reward == (-1.0, {"victory": -0.5, "resources": -2.0})


def test_a_kind_without_rewards_gives_nothing() -> None:
    assert reward_of("chat", {"victory": True}) == (0.0, {})


_names = st.sampled_from(
    [
        *("victory", "own_losses", "enemy_losses", "resources_gained", "predicted", "result"),
        *("production_before", "production_after", "wasted", "queue_uptime", "rank"),
        *("accepted", "trust_change", "strategic_value"),
    ]
)
_facts = st.booleans() | st.integers() | st.integers(-(10**400), 10**400) | st.floats() | st.text(max_size=3)


@given(st.sampled_from([*REWARDS, "chat"]), st.dictionaries(_names, _facts))
def test_any_facts_give_a_finite_reward_within_bounds(kind: str, facts: dict[str, Any]) -> None:
    total, parts = reward_of(kind, facts)
    assert -1 <= total <= 1
    assert all(math.isfinite(part) for part in parts.values())
