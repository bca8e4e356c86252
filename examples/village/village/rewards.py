"""What the village's outcomes are worth, for the reward service: found by the entry point `hearthmind.rewards`.

Plain functions from facts to parts; the service adds the parts up and keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping

from hearthmind.contracts.wire import Fact

GOLD = 20
"""So much gold gained by an exchange is as good as it gets."""


def chat(facts: Mapping[str, Fact]) -> dict[str, float | None]:
    """A visitor who is content, comes to trust the villager, and pays."""
    content, trust, gold = (facts.get(name) for name in ("content", "trust_change", "gold_gained"))
    return {
        "content": (0.4 if content else -0.2) if isinstance(content, bool) else None,
        "trust": 0.2 * trust if isinstance(trust, int | float) else None,
        "gold": min(gold / GOLD, 1.0) * 0.3 if isinstance(gold, int | float) else None,
    }


def routine(facts: Mapping[str, Fact]) -> dict[str, float | None]:
    """An hour in which something for the shelf was made."""
    return {"made": 0.2 if facts.get("made") else 0.0}


REWARDS = {"chat": chat, "routine": routine}
