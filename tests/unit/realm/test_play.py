"""A play by minds: one outcome for each decision, with the facts that rewards need, and a log that replays."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from realm.events import DRAW
from realm.log import replay
from realm.play import Turn, play
from realm.sight import COMBAT, DIPLOMACY, ECONOMIC, STRATEGIC
from realm.world import World

from ..minds import Mind, Told, anything

STANDING = {"day", "rank", "population", "villages", "battles_won", "battles_lost"}
ECONOMY = STANDING | {"village", "production_before", "production_after", "wasted", "queue_uptime"}
BATTLE = STANDING | {
    *("errand", "target", "opponent", "own_losses", "enemy_losses", "resources_gained", "razed", "breach"),
    *("predicted", "result"),
}
LOOKED = STANDING | {"target", "found", "own_losses"}
DEALT = STANDING | {"treaty", "opponent", "accepted", "answered", "trust_change", "strategic_value"}
DAY = STANDING | {"priority", "rank_before", "population_before", "villages_before"}
NPCS, TURNS = 12, 60


@dataclass
class Played:
    world: World
    mind: Mind
    log: Path
    turns: list[Turn] = field(default_factory=list)


@pytest.fixture(scope="module")
async def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    mind, log, turns = Mind("realm", anything(1)), tmp_path_factory.mktemp("realm") / "log.jsonl", list[Turn]()
    world = await play(
        mind, npcs=NPCS, seed=3, until=lambda: len(turns) >= TURNS, on_turn=turns.append, turn_s=0, log=log
    )
    return Played(world, mind, log, turns)


def test_every_decision_gets_exactly_one_outcome(played: Played) -> None:
    told = Counter(told.decision.id for told in played.mind.told)
    assert set(told.values()) == {1}
    assert told.keys() == {decision.id for decision in played.mind.asked}


def test_everyone_is_asked_every_turn(played: Played) -> None:
    asked = Counter((decision.npc, decision.kind, decision.observation.snapshot) for decision in played.mind.asked)
    assert set(asked.values()) == {1}
    economic = {(npc, turn) for npc, kind, turn in asked if kind == ECONOMIC}
    assert economic == {(f"p{player:04}", turn) for player in range(NPCS) for turn in range(TURNS)}
    assert {decision.observation.episode for decision in played.mind.asked} == {"seed-3"}


def facts_of(told: Told) -> set[str]:
    """Those that an outcome of this decision should tell."""
    action = told.decision.action
    if told.decision.kind == STRATEGIC:
        return DAY
    if action in ("raid", "attack"):
        return BATTLE | ({"victory"} if told.facts["result"] != DRAW else set())
    if told.decision.kind == ECONOMIC:
        founded = {"founded", "founded_village"} if told.success else {"founded"}
        return ECONOMY | (founded if action == "settle" else set())
    by_action = {"scout": LOOKED, "accept": DEALT, "refuse": DEALT, "offer_truce": DEALT, "offer_alliance": DEALT}
    return by_action.get(action, STANDING)


def test_who_strikes_back_or_answers_an_offer_names_what_it_answers(played: Played) -> None:
    by_decision = {told.decision.id: told for told in played.mind.told}
    kinds = set()
    for told in played.mind.told:
        assert told.opponent == (None if told.facts.get("opponent", "nobody") == "nobody" else told.facts["opponent"])
        assert told.decision.id not in told.related
        for earlier in (by_decision[each] for each in told.related):
            assert (earlier.decision.npc, earlier.opponent) == (told.opponent, told.decision.npc)
            assert earlier.game_time <= told.game_time
            kinds.add(earlier.decision.kind)
    answers = [
        told for told in played.mind.told if told.decision.action in ("accept", "refuse") and "treaty" in told.facts
    ]
    assert all(len(told.related) == 1 for told in answers)
    assert kinds >= {DIPLOMACY}


def test_the_facts_are_those_that_rewards_are_made_of(played: Played) -> None:
    for told in played.mind.told:
        assert told.facts.keys() == facts_of(told), told.decision.action
        assert told.game_time > told.decision.observation.snapshot
    happened = {told.decision.action for told in played.mind.told}
    assert {"build", "raid", "attack", "scout", "accept", "refuse", "offer_truce", "expand", "wait", "hold"} <= happened


def test_success_is_what_the_world_says(played: Played) -> None:
    for told in played.mind.told:
        for fact in ("victory", "found", "founded", "accepted"):
            if fact in told.facts and told.decision.action != "refuse":
                assert told.success == told.facts[fact]


def test_building_shows_in_its_own_outcome(played: Played) -> None:
    fields = {"woodcutter", "clay_pit", "iron_mine", "farm"}
    stormed = {(told.facts["target"], told.game_time) for told in played.mind.told if told.facts.get("razed")}
    for told in played.mind.told:
        was_stormed = (told.facts.get("village"), told.game_time) in stormed
        if told.decision.arguments.get("what") in fields and not was_stormed:
            assert told.facts["production_after"] > told.facts["production_before"]  # type: ignore[operator]


def test_battles_are_told_of_when_they_were_fought(played: Played) -> None:
    battles = [told for told in played.mind.told if "result" in told.facts]
    assert {told.facts["result"] for told in battles} >= {"win", "loss"}
    assert {told.facts["predicted"] for told in battles} >= {"win", "loss"}
    assert any(told.game_time > told.decision.observation.snapshot + 1 for told in battles)
    assert sum(len(turn.battles) for turn in played.turns) <= len(battles)
    assert played.turns[-1].under_way > 0
    assert played.world.turn > TURNS


def test_a_day_is_told_of_when_it_is_over(played: Played) -> None:
    days = [told for told in played.mind.told if told.decision.kind == STRATEGIC]
    lengths = Counter(told.game_time - told.decision.observation.snapshot for told in days)
    assert lengths[25] == 2 * NPCS  # told after the turn in which the next one begins, but for the day of the end
    assert len(days) >= 2 * NPCS


def test_the_log_replays_the_play(played: Played) -> None:
    assert replay(played.log).digest() == played.world.digest()


def test_turns_tell_what_happened(played: Played) -> None:
    assert [turn.turn for turn in played.turns] == list(range(1, TURNS + 1))
    assert sum(turn.actions.total() for turn in played.turns) == len(played.mind.asked)
    for turn in played.turns:
        assert turn.top == sorted(turn.top, key=lambda standing: -standing[1])
    assert COMBAT in {decision.kind for decision in played.mind.asked}


async def test_a_play_that_is_over_at_once_asks_nobody() -> None:
    mind = Mind("realm", anything(1))
    world = await play(mind, npcs=3, seed=1, until=lambda: True)
    assert (world.turn, mind.asked, mind.told) == (0, [], [])
