"""Whose function judges an outcome: the game's own of the action, of the kind, or the standard one."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from hearthmind.contracts.outcome import PLATFORM
from hearthmind.store.rows import Joined
from services.reward.batch import reward_row
from services.reward.registry import GROUP, BadRewards, Registry, registered
from services.reward.rewards import PARTS_MAX, Facts, Parts


def brave(facts: Facts) -> Parts:
    """An own reward, as a package has it."""
    return {"brave": 0.7 if facts.get("stayed") else None}


def failing(facts: Facts) -> Parts:
    """A reward with a bug."""
    return {"share": 1 / len(facts)}


def odd(_: Facts) -> Parts:
    """A reward that says more than numbers."""
    return {"inf": float("inf"), "nan": float("nan"), "word": "much", "flag": True, "half": 0.5}  # type: ignore[dict-item]


OWN = {"guard": brave, "raid": failing, "chat": odd}
NOTHING = 3


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, f"{__name__}:{value}", GROUP)


def test_an_action_counts_more_than_its_kind_and_both_more_than_the_standard() -> None:
    registry = registered(points=[point("castle", "OWN")])
    assert registry.reward("castle", "combat", "guard", {"stayed": True}) == (0.7, {"brave": 0.7})
    assert registry.reward("castle", "guard", "hit", {"stayed": True}) == (0.7, {"brave": 0.7})
    assert registry.reward("castle", "combat", "hit", {"victory": True}) == (0.5, {"victory": 0.5})
    assert registry.reward("other", "guard", "guard", {"stayed": True}) == (0.0, {})


def test_a_function_that_fails_costs_the_reward_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry({"castle": OWN})
    assert registry.reward("castle", "combat", "raid", {}) == (0.0, {})
    assert "castle" in caplog.text


def test_what_is_no_number_is_no_part() -> None:
    assert Registry({"castle": OWN}).reward("castle", "chat", "say", {}) == (0.5, {"half": 0.5})


def test_parts_are_bounded() -> None:
    registry = Registry({"castle": {"chat": lambda _: {f"p{number}": 0.001 for number in range(500)}}})
    assert len(registry.reward("castle", "chat", "say", {}).parts) == PARTS_MAX


def test_the_file_counts_more_than_the_package(tmp_path: Path) -> None:
    file = tmp_path / "rewards.yaml"
    file.write_text("castle:\n  guard:\n    steady: 0.1 * hours\n")
    registry = registered(str(file), [point("castle", "OWN")])
    assert registry.reward("castle", "combat", "guard", {"stayed": True, "hours": 3}).parts == pytest.approx(
        {"steady": 0.3}
    )


@pytest.mark.parametrize("value", ["NOTHING", "MISSING"])
def test_a_package_without_functions_is_refused_by_name(value: str) -> None:
    with pytest.raises(BadRewards, match=value):
        registered(points=[point("castle", value)])


def test_a_file_with_mistakes_is_refused_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "rewards.yaml"
    file.write_text("castle:\n  guard:\n    steady: 0.1 ** hours\n")
    with pytest.raises(BadRewards, match="line 3"):
        registered(str(file), [])
    with pytest.raises(BadRewards, match="No such file"):
        registered(str(tmp_path / "none.yaml"), [])


def test_what_a_mind_says_of_itself_changes_nothing() -> None:
    """Success and reward are the outcome's word; the decision's side of it can say what it likes."""
    lived = Joined(
        game="castle",
        decision="d1",
        happened_at=datetime(2031, 1, 1, tzinfo=UTC),
        npc="p1",
        kind="combat",
        facts={"victory": False},
        success=False,
        executed_by=PLATFORM,
        action="raid",
        opponent=None,
        game_time=1.0,
        **dict.fromkeys(Joined._fields[11:]),
    )
    boasting = lived._replace(source="model", tier="critical", persona="success", variant="the best", latency_ms=0.0)
    assert reward_row(boasting, Registry()) == reward_row(lived, Registry())
    assert reward_row(lived._replace(success=True), Registry()).reward == -0.5
