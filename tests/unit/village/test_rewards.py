"""What the village's outcomes are worth, against arithmetic done by hand, and that the service finds it."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from services.reward.registry import GROUP, registered

CHATS: list[tuple[dict[str, Any], float]] = [
    ({}, 0.0),
    ({"content": True}, 0.4),
    ({"content": False}, -0.2),
    ({"content": True, "trust_change": 1, "gold_gained": 10}, 0.75),
    ({"content": False, "trust_change": -1}, -0.4),
    ({"gold_gained": 500}, 0.3),
    ({"gold_gained": "much"}, 0.0),
]


@pytest.mark.parametrize(("facts", "total"), CHATS)
def test_a_chat(facts: dict[str, Any], total: float) -> None:
    registry = registered(points=[EntryPoint("village", "village.rewards:REWARDS", GROUP)])
    assert registry.reward("village", "chat", "say", facts).total == pytest.approx(total)
    assert registry.reward("realm", "chat", "say", facts) == (0.0, {})


def test_an_hour() -> None:
    registry = registered(points=[EntryPoint("village", "village.rewards:REWARDS", GROUP)])
    assert registry.reward("village", "routine", "work", {"made": "bread"}).total == pytest.approx(0.2)
    assert registry.reward("village", "routine", "rest", {"made": ""}).total == 0
