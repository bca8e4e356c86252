"""A game and the platform's part against it, in time that passes only here."""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Callable
from typing import Any

from hearthmind.contracts.observation import Observation
from hearthmind.contracts.outcome import CLIENT, PLATFORM
from hearthmind.ids import new_decision_id
from hearthmind.testing.observations import an_observation
from services.command.conformance.effects import Confirm, Effect, Say
from services.command.conformance.judgement import judge
from services.command.conformance.play import Play
from services.command.conformance.reading import Said

from .saying import GAME, observed, reported

TRAVEL_S = 0.001
AWAY_S = 0.5

Action = dict[str, Any]


class World:
    """A right game with some NPCs that decide by turns; `takes_s` is how long an action takes to be reported."""

    sent_again_after_s = 5.0

    def __init__(self, npcs: int = 1, within_s: float = 1.0, seconds: float = 30.0, takes_s: float = 0.0) -> None:
        self.play = Play(GAME, seconds)
        self.now_s = 1_000.0
        self.actions: list[tuple[str, str]] = []
        """Decision and part of every action that was sent."""
        self.is_away = self.ends = False
        self._within_s, self._takes_s = within_s, takes_s
        self._waiting: dict[str, Observation] = {}
        self._unconfirmed: dict[str, Said] = {}
        self._snapshots = itertools.count()
        self._times: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        for number in range(npcs):
            self.at(0.01 * number, lambda number=number: self.ask(f"n{number}"))  # type: ignore[misc]

    def run(self) -> Play:
        """Plays to the end, and judges."""
        while not (self.play.is_over or self.ends):
            wakes_s = self.play.wakes_s
            if wakes_s is not None and (not self._times or wakes_s <= self._times[0][0]):
                self.now_s = max(self.now_s, wakes_s)
                self._carry_out(self.play.ticked(self.now_s))
            elif self._times:
                self.now_s, _, happen = heapq.heappop(self._times)
                happen()
            else:
                break
        judge(self.play, self.now_s, game_ended=self.ends)
        return self.play

    def at(self, after_s: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._times, (self.now_s + after_s, next(self._numbers), happen))

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Say):
                self._deliver(effect)
            elif isinstance(effect, Confirm):
                self.on_stored(effect.decisions)
            else:
                self.is_away = True
                self.at(AWAY_S, self._back)

    def _deliver(self, say: Say) -> None:
        self.actions.append((say.asked.observation.id, say.part))
        if self.is_away:
            return
        if say.counts:
            self.play.answered(say.asked, self.now_s)
        self.at(TRAVEL_S, lambda: self.on_action(json.loads(say.data)))

    def _back(self) -> None:
        self.is_away = False
        self._carry_out(self.play.back(self.now_s))

    # ---- the game --------------------------------------------------------------------------------------------------

    def say(self, said: Said) -> None:
        if not self.is_away:
            self._carry_out(self.play.heard(said, self.now_s))

    def seen_by(self, npc: str) -> Observation:
        within_ms = round(self._within_s * 1000)
        snapshot = next(self._snapshots)
        return an_observation(id=new_decision_id(), npc=npc, snapshot=snapshot, answer_within_ms=within_ms)

    def ask(self, npc: str) -> None:
        seen = self.seen_by(npc)
        self._waiting[seen.id] = seen
        self.at(self._within_s, lambda: self.on_deadline(seen))
        self.say(observed(seen))

    def on_action(self, action: Action) -> None:
        seen = self._waiting.pop(action["decision"], None)
        if seen:
            self.execute(seen, action["action"], action["arguments"], PLATFORM)

    def on_deadline(self, seen: Observation) -> None:
        if self._waiting.pop(seen.id, None):
            self.execute(seen, "wait", {}, CLIENT)

    def execute(self, seen: Observation, action: str, arguments: dict[str, Any], by: str) -> None:
        said = reported(seen, action, arguments, by)
        self.at(self._takes_s, lambda: self.report(seen.id, said))
        self.at(0.01, lambda: self.ask(seen.npc))

    def report(self, decision: str, said: Said) -> None:
        self._unconfirmed[decision] = said
        self.say(said)
        self.at(self.sent_again_after_s, lambda: self.send_again(decision))

    def send_again(self, decision: str) -> None:
        if said := self._unconfirmed.get(decision):
            self.say(said)
            self.at(self.sent_again_after_s, lambda: self.send_again(decision))

    def on_stored(self, decisions: tuple[str, ...]) -> None:
        for decision in decisions:
            self._unconfirmed.pop(decision, None)
