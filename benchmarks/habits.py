"""Do habits pay? How often they save a question, how often the model would have said the same, and what it costs in ranks.

    python benchmarks/habits.py [--seeds 10] [--players 20] [--turns 168] [--alike 0.8 0.9 1.0]

The Realm, in this process. The model is the scripted mind with the world's own advice, so that it can be asked every time what it
would have said; every other player goes by habit where a situation is like one in which the same came off. The baseline are the
others, in the same worlds, who always ask: a difference is by how many ranks the players with habits are better on average at the
end (half the players is the most there can be), with its 95 % interval over the seeds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hearthmind import scripted
from hearthmind.acting import action_of
from hearthmind.client import Client, Decision
from hearthmind.contracts.action import CACHE, MODEL
from hearthmind.contracts.observation import Observation
from hearthmind.contracts.outcome import Executed, OutcomeObserved
from hearthmind.contracts.wire import Fact
from realm.contest import Result, result_of
from realm.play import play
from realm.situation import player_name
from services.decision.habits import Habits
from services.reward.registry import Registry

RESULTS = Path(__file__).parent / "results" / "habits.json"


class Habitual(Client):
    """Every other player goes by habit; a client in this process, without a broker."""

    def __init__(self, habitual: frozenset[str], alike: float) -> None:
        self.game = "realm"
        self.counted: Counter[tuple[str, str]] = Counter()
        """By kind, and what happened."""
        self._habitual = habitual
        self._alike = alike
        self._habits = Habits()
        self._rewards = Registry()

    async def ask(self, observation: Observation) -> Decision:
        """By a habit where there is one, else by the model, which is asked in secret either way."""
        place, said = (observation.game, observation.kind), scripted.choose(observation)
        is_habitual = observation.npc in self._habitual
        habit = self._habits.fits(place, observation, self._alike) if is_habitual else None
        answer = habit.answer if habit else said
        if is_habitual:
            self._habits.did(place, observation, answer, habit)
            self.counted[observation.kind, "decided"] += 1
        if habit:
            self.counted[observation.kind, "by habit"] += 1
            self.counted[observation.kind, "same action"] += answer.action == said.action
            self.counted[observation.kind, "same arguments"] += (answer.action, answer.arguments) == (
                said.action,
                said.arguments,
            )
        return Decision(observation, action_of(observation, answer, CACHE if habit else MODEL), 0.0)

    async def report(
        self, decision: Decision, *, success: bool, facts: Mapping[str, Fact] | None = None, **_: Any
    ) -> None:
        """What came of it."""
        if decision.npc not in self._habitual:
            return
        self.counted[decision.kind, f"{decision.source} told"] += 1
        self.counted[decision.kind, f"{decision.source} came off"] += success
        executed = Executed(action=decision.action, arguments=decision.arguments)
        self._habits.heard(
            OutcomeObserved(
                decision=decision.id,
                game=self.game,
                npc=decision.npc,
                kind=decision.kind,
                executed=executed,
                success=success,
            )
        )
        reward = self._rewards.reward(self.game, decision.kind, decision.action, facts or {}).total
        self._habits.valued(self.game, decision.id, reward)


async def difference(seed: int, alike: float, players: int, turns: int, counted: Counter[tuple[str, str]]) -> float:
    """By how many ranks those with habits are better at the end of one world."""
    habitual = [(player + seed) % 2 == 0 for player in range(players)]
    mind = Habitual(frozenset(player_name(player) for player in range(players) if habitual[player]), alike)
    left = iter(range(turns))
    world = await play(mind, npcs=players, seed=seed, until=lambda: next(left, None) is None, turn_s=0)
    counted.update(mind.counted)
    ranks = world.ranks()
    with_habits = [rank for rank, has_any in zip(ranks, habitual, strict=True) if has_any]
    without = [rank for rank, has_any in zip(ranks, habitual, strict=True) if not has_any]
    return float(sum(without) / len(without) - sum(with_habits) / len(with_habits))


def lines(alike: float, counted: Counter[tuple[str, str]], result: Result) -> Iterable[str]:
    """Of each kind, and the ranks."""
    for kind in sorted({kind for kind, _ in counted}):
        habit, decided = counted[kind, "by habit"], counted[kind, "decided"]
        shares = (
            (habit, decided),
            (counted[kind, "same action"], habit),
            (counted[kind, "same arguments"], habit),
            (counted[kind, f"{CACHE} came off"], counted[kind, f"{CACHE} told"]),
            (counted[kind, f"{MODEL} came off"], counted[kind, f"{MODEL} told"]),
        )
        told = " | ".join(f"{100 * part / whole:.0f} %" if whole else "-" for part, whole in shares)
        yield f"| {alike:g} | {kind} | {decided:,} | {told} | |"
    yield f"| {alike:g} | ranks | | | | | | | {result.mean:+.2f} ({result.low:+.2f} to {result.high:+.2f}) |"


async def main(arguments: argparse.Namespace) -> None:
    """Each likeness over all seeds."""
    print(
        "| reuse | kind | decisions | by habit | same action | same arguments | habits came off | asked came off | ranks |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    kept: dict[str, object] = {"machine": platform.platform(), "cores": os.cpu_count(), "arguments": vars(arguments)}
    for alike in arguments.alike:
        counted: Counter[tuple[str, str]] = Counter()
        seeds = range(arguments.seeds)
        found = [await difference(seed, alike, arguments.players, arguments.turns, counted) for seed in seeds]
        result = result_of(found)
        print("\n".join(lines(alike, counted, result)), flush=True)
        kept[f"{alike:g}"] = {"ranks": vars(result), "counted": {" ".join(key): n for key, n in counted.items()}}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--players", type=int, default=20)
    parser.add_argument("--turns", type=int, default=168)
    parser.add_argument("--alike", type=float, nargs="+", default=[0.8, 0.9, 1.0])
    asyncio.run(main(parser.parse_args()))
