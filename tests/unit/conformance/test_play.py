"""The platform's part as a machine: right games pass, however slow or many, and what is wrong is blamed on its act."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from hearthmind.contracts.observation import Observation
from hearthmind.testing.observations import an_observation
from services.command.conformance.acts import AGAIN, AT_ONCE, AWAY, FUTURE, LAST_MOMENT, LATE, SILENT, UNCONFIRMED
from services.command.conformance.play import Play

from .saying import observed, reported
from .worlds import Action, World


def found(play: Play) -> dict[str, str]:
    return {finding.name: finding.level for finding in play.findings.all()}


def states(play: Play) -> dict[str, str]:
    return {act.name: act.state for act in play.acts.values()}


@pytest.mark.parametrize(
    "world",
    [
        World(),
        World(npcs=20),
        World(npcs=3, within_s=0.25),
        World(npcs=2, within_s=60, seconds=3_600),
        World(npcs=4, takes_s=1.5),
    ],
    ids=["one", "many", "hurried", "patient", "slow to report"],
)
def test_a_right_game_passes_every_act(world: World) -> None:
    play = world.run()
    assert found(play) == {}
    assert set(states(play).values()) == {"passed"}, states(play)
    assert all(all(taken.values()) for taken in play.ledger.coverage.taken.values())


def test_each_observation_is_answered_once_unless_the_act_wants_it_otherwise() -> None:
    world = World(npcs=5)
    play = world.run()
    parts: dict[str, Counter[str]] = {}
    for decision, part in world.actions:
        parts.setdefault(decision, Counter())[part] += 1
    for decision in play.ledger.asked:
        act = next((act.name for act in play.acts.values() if decision in act.cases), AT_ONCE)
        expected = {SILENT: {}, LATE: {"late": 1}, AGAIN: {"": 1, "again": 1, "second": 1}}.get(act, {"": 1})
        got = parts.get(decision, Counter())
        got.pop("outdated", None)
        assert got == expected, act


def test_a_deadline_longer_than_the_time_is_named_and_no_mistake() -> None:
    play = World(within_s=200, seconds=30).run()
    assert found(play) == {}
    assert {name for name, state in states(play).items() if state == "not tried"} == {LAST_MOMENT, SILENT, LATE, AWAY}
    assert "answer_within_ms is 200000" in play.acts[SILENT].why


def test_a_game_that_asks_anew_before_it_is_answered_is_right() -> None:
    class Restless(World):
        def ask(self, npc: str) -> None:
            super().ask(npc)
            self.at(0.2, lambda: self.ask(npc))

        def execute(self, seen: Observation, action: str, arguments: dict[str, Any], by: str) -> None:
            if by == "platform":
                self.report(seen.id, reported(seen, action, arguments, by))

    play = Restless(within_s=1.0, seconds=60).run()
    assert found(play) == {}
    assert "replaced by a newer one" in play.acts[SILENT].why


class StandsStill(World):
    def on_deadline(self, seen: Observation) -> None:
        pass


class ExecutesLate(World):
    def on_action(self, action: Action) -> None:
        known = self.play.ledger.asked[action["decision"]]
        if action["decision"] not in self._waiting and known.outcome and known.outcome.executed.by == "client":
            self.report(action["decision"], reported(known.observation, action["action"], action["arguments"]))
        super().on_action(action)


class TakesTheSecond(World):
    def on_action(self, action: Action) -> None:
        if action["decision"] in self._waiting:
            self._chosen = action
            self.at(0.01, lambda: super(TakesTheSecond, self).on_action(self._chosen))
        elif self._chosen["decision"] == action["decision"]:
            self._chosen = action


class KnowsItsFields(World):
    def on_action(self, action: Action) -> None:
        if "mood" not in action:
            super().on_action(action)


class NeverSendsAgain(World):
    def send_again(self, decision: str) -> None:
        pass


class NeverConfirmed(World):
    sent_again_after_s = 0.5

    def on_stored(self, decisions: tuple[str, ...]) -> None:
        pass


class NeverBack(World):
    def ask(self, npc: str) -> None:
        if not self.play.ledger.was_away:
            super().ask(npc)


class EndsWhenAlone(World):
    def ask(self, npc: str) -> None:
        self.ends = self.is_away
        super().ask(npc)


class GivesUpEarly(World):
    def ask(self, npc: str) -> None:
        super().ask(npc)
        for seen in list(self._waiting.values()):
            self.at(self._within_s / 3, lambda seen=seen: self.on_deadline(seen))  # type: ignore[misc]


class IgnoresMost(World):
    def on_action(self, action: Action) -> None:
        if len(self.actions) % 4 == 0:
            super().on_action(action)


class ReportsSome(World):
    def report(self, decision: str, said: Any) -> None:
        if len(self.actions) % 4:
            super().report(decision, said)


@pytest.mark.parametrize(
    ("world", "mistakes", "act"),
    [
        (StandsStill(), {"stands-still"}, SILENT),
        (ExecutesLate(), {"late-executed"}, LATE),
        (TakesTheSecond(), {"second-executed"}, AGAIN),
        (KnowsItsFields(), {"future-refused"}, FUTURE),
        (NeverSendsAgain(), {"never-sends-again"}, UNCONFIRMED),
        (NeverConfirmed(), {"sends-again-for-ever"}, None),
        (NeverBack(), {"not-back"}, AWAY),
        (EndsWhenAlone(), {"not-back"}, AWAY),
        (GivesUpEarly(), {"gives-up-early"}, LAST_MOMENT),
        (IgnoresMost(npcs=3), {"answer-ignored"}, None),
        (ReportsSome(npcs=3), {"no-outcome"}, None),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, World) else "",
)
def test_a_mistake_is_found_and_blamed_on_its_act(world: World, mistakes: set[str], act: str | None) -> None:
    play = world.run()
    assert mistakes <= set(found(play))
    if act:
        assert play.acts[act].state == "failed"


def test_some_missing_outcomes_of_a_game_that_plays_on_are_a_warning() -> None:
    assert found(ReportsSome(npcs=3).run())["no-outcome"] == "warning"


def test_a_game_that_never_reports_is_an_error_and_done_before_its_time() -> None:
    class NeverReports(World):
        def report(self, decision: str, said: Any) -> None:
            pass

    world = NeverReports(npcs=2, seconds=100)
    play = world.run()
    assert found(play) == {"no-outcome": "error"}
    assert play.left_s(world.now_s) > 50


def test_what_was_asked_while_the_broker_was_away_is_excused() -> None:
    play = Play("realm", 30)
    play.ledger.was_away = True
    play.heard(reported(an_observation(), "wait", {}, "client"), 1.0)
    assert found(play) == {}


@pytest.mark.parametrize(
    ("first", "second", "mistake"),
    [
        ({"id": "d1"}, {"id": "d1", "snapshot": 2}, "id-used-twice"),
        ({"snapshot": 3}, {"snapshot": 2}, "snapshot-backwards"),
    ],
)
def test_two_observations_that_do_not_go_together(first: dict[str, Any], second: dict[str, Any], mistake: str) -> None:
    play = Play("realm", 30)
    for fields in (first, second):
        play.heard(observed(an_observation(**fields)), 1.0)
    assert mistake in found(play)


def test_the_same_bytes_again_are_no_mistake() -> None:
    play = Play("realm", 30)
    said = observed()
    assert play.heard(said, 1.0)
    assert play.heard(said, 1.1) == []
    assert found(play) == {}


def test_a_new_episode_counts_its_snapshots_anew() -> None:
    play = Play("realm", 30)
    for episode, snapshot in (("one", 9), ("two", 0)):
        play.heard(observed(an_observation(episode=episode, snapshot=snapshot)), 1.0)
    assert found(play) == {}


def test_nothing_but_rubbish_ends_the_check() -> None:
    play = Play("realm", 30)
    for _ in range(100):
        play.heard(observed(npc=7), 1.0)
    assert play.is_over
    assert set(found(play)) == {"wrong-type"}
