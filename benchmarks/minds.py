"""What it costs to be somebody: microseconds a decision and bytes an NPC, from 50 to 5,000 NPCs.

    python benchmarks/minds.py [--sizes 50 500 5000] [--windows 34] [--repeats 5]

Everybody sees situations of a real Realm (its own world, 24 hours long), acts by the scripted mind and hears what came of it,
until each has as many windows behind it as are kept and more. The baseline is the decision without a mind: the same scripted
choice with neutral genes, and the action made of it. `policy` is what the house's policy adds to that, batch by batch against
the baseline of the same moment: what may be done, whether the answer passes, and the history that it is held against. `rules`
is a decision as the rules make it, with genes, progress, plans and memory kept; `model` besides recalls what matters now, as for
a prompt. Bytes are what Python's allocator has given out for the memories, plans and progress of all, after that life;
microseconds are of processor time. No broker, no engine.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import numpy as np

from hearthmind import scripted
from hearthmind.acting import action_of
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.observation import Observation
from hearthmind.contracts.outcome import Executed, OutcomeObserved
from hearthmind.contracts.wire import Fact
from hearthmind.persona import Behaviour
from realm.contest import choose
from realm.players import STYLES, Dice
from realm.sight import Sight, look
from realm.situation import player_name
from realm.world import World
from services.decision.history import Histories
from services.decision.memory import Memories
from services.decision.plans import Plans
from services.decision.policy import read_policy
from services.decision.progress import Progress, without

RESULTS = Path(__file__).parent / "results" / "minds.json"
SOMEBODY = Behaviour(aggression=0.8, patience=0.2, diplomacy=0.4)
HOUR_S = 3600.0
BATCH = 2_000


@dataclass(frozen=True)
class Measured:
    """One number of NPCs."""

    npcs: int
    baseline_us: float
    policy_us: float
    """Of it alone."""
    rules_us: float
    model_us: float
    outcome_us: float
    bytes_an_npc: int
    bytes_at_first: int
    """Of an NPC that was seen once."""


def situations(turns: int = 24, players: int = 24) -> list[Observation]:
    """What is seen in a real game, in the order of its hours."""
    styles = [STYLES[player % len(STYLES)] for player in range(players)]
    world, dice, seen = World.found(players, 1), Dice(np.random.PCG64(1)), list[Observation]()
    for turn in range(turns):
        seen += [as_observed(sight, turn) for sight in look(world)]
        world.step(choose(world, styles, dice))
    return seen


def as_observed(sight: Sight, turn: int) -> Observation:
    """A question of the Realm as it is asked."""
    return Observation(
        id="-",
        game="realm",
        npc=player_name(sight.player),
        kind=sight.kind,
        legal_actions=sight.legal_actions,
        answer_within_ms=1000,
        snapshot=turn,
        game_time=float(turn),
        state=msgspec.Raw(msgspec.json.encode(sight.state)),
    )


def as_seen_by(npc: int, number: int, observation: Observation) -> Observation:
    """The same, as a new observation of another NPC."""
    return msgspec.structs.replace(observation, npc=f"p{npc:05}", id=f"d{number:018}")


def came_of_it(number: int, observation: Observation, action: ActionChosen) -> OutcomeObserved:
    """What the Realm tells: how things stand, and of some deeds what they led to."""
    facts: dict[str, Fact] = {"day": number % 9, "rank": number % 50, "population": 90 + number % 70, "villages": 1}
    if number % 4 == 0:
        facts |= {"opponent": f"p{number % 12:04}", "own_losses": number % 7, "result": "loss", "resources_gained": 120}
    return OutcomeObserved(
        decision=observation.id,
        game=observation.game,
        npc=observation.npc,
        kind=observation.kind,
        executed=Executed(action=action.action, arguments=action.arguments),
        success=number % 3 > 0,
        facts=facts,
        game_time=observation.game_time,
    )


class Minds:
    """All that a partition's owner keeps of its NPCs."""

    def __init__(self) -> None:
        self.memories, self.progress, self.plans = Memories(), Progress(), Plans()

    def decide(self, observation: Observation, happened_s: float, most: int) -> ActionChosen:
        """A decision with a mind; `most` memories are recalled for it."""
        memory = self.memories.of(observation)
        planned = self.plans.next(observation)
        stuck = self.progress.stuck(observation)
        if most:
            memory.relevant(observation, happened_s, most)
        answer = planned.answer if planned else scripted.choose(without(observation, stuck), SOMEBODY)
        action = action_of(observation, answer, "rules")
        self.progress.did(observation, answer.action, answer.arguments)
        self.plans.made(observation, answer)
        memory.saw(observation, action, happened_s)
        return action

    def hear(self, outcome: OutcomeObserved) -> None:
        """What came of one."""
        self.memories.heard(outcome)
        self.plans.heard(outcome)
        self.progress.heard(outcome)


def bare(observation: Observation) -> ActionChosen:
    """A decision without a mind."""
    return action_of(observation, scripted.choose(observation), "rules")


class Guarded:
    """The same under the policy."""

    def __init__(self) -> None:
        self.policy = read_policy()
        self.histories = Histories(self.policy.remembers)
        self._now_s = itertools.count()

    def decide(self, observation: Observation) -> ActionChosen:
        """As a decision of the rules goes through it."""
        now_s = float(next(self._now_s))
        history = self.histories.of(observation.game, observation.npc)
        answer = scripted.choose(self.policy.permitted(observation, history, now_s))
        if self.policy.check(observation, answer, history, now_s):
            answer = self.policy.harmless(observation, history, now_s)
        history.did(observation, answer, now_s)
        return action_of(observation, answer, "rules")


def life(seen: list[Observation], npcs: int, windows: int) -> Iterator[tuple[int, Observation]]:
    """Every NPC sees so many situations, everybody one after the other."""
    number = itertools.count()
    for window in range(windows):
        for npc in range(npcs):
            at = next(number)
            yield at, as_seen_by(npc, at, seen[(npc * 7 + window * 13) % len(seen)])


def lived(minds: Minds, seen: list[Observation], npcs: int, windows: int) -> None:
    """That life."""
    for number, observation in life(seen, npcs, windows):
        action = minds.decide(observation, HOUR_S * number / npcs, 0)
        minds.hear(came_of_it(number, observation, action))


def measure(seen: list[Observation], npcs: int, windows: int, repeats: int) -> Measured:
    """One size."""
    tracemalloc.start()
    gc.collect()
    empty = tracemalloc.get_traced_memory()[0]
    minds = Minds()
    lived(minds, seen, npcs, 1)
    gc.collect()
    first = tracemalloc.get_traced_memory()[0] - empty
    lived(minds, seen, npcs, windows)
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0] - empty
    tracemalloc.stop()

    ids = itertools.count(10**12)
    batch = [as_seen_by(npc % npcs, 0, seen[(npc * 11) % len(seen)]) for npc in range(BATCH)]

    def fresh() -> list[Observation]:
        return [msgspec.structs.replace(observation, id=f"d{next(ids):018}") for observation in batch]

    def once(do: Callable[[Observation], ActionChosen]) -> float:
        """Of new observations each time; what came of them is heard, but not timed."""
        now = fresh()
        begun_s = time.process_time()
        actions = [do(observation) for observation in now]
        took_s = time.process_time() - begun_s
        for number, (observation, action) in enumerate(zip(now, actions, strict=True)):
            minds.hear(came_of_it(number, observation, action))
        return 1e6 * took_s / BATCH

    def each(do: Callable[[Observation], ActionChosen]) -> float:
        return statistics.median(once(do) for _ in range(repeats))

    guarded = Guarded()
    once(guarded.decide)  # which rules speak of what is looked up once
    pairs = [(once(bare), once(guarded.decide)) for _ in range(repeats)]
    baseline_us = statistics.median(plain for plain, _ in pairs)
    policy_us = statistics.median(under - plain for plain, under in pairs)
    rules_us = each(lambda observation: minds.decide(observation, HOUR_S * windows, 0))
    model_us = each(lambda observation: minds.decide(observation, HOUR_S * windows, 5))
    now = fresh()
    outcomes = [
        came_of_it(number, observation, minds.decide(observation, HOUR_S * windows, 0))
        for number, observation in enumerate(now)
    ]
    begun_s = time.process_time()
    for outcome in outcomes:
        minds.hear(outcome)
    outcome_us = 1e6 * (time.process_time() - begun_s) / BATCH
    return Measured(npcs, baseline_us, policy_us, rules_us, model_us, outcome_us, kept // npcs, first // npcs)


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 500, 5000])
    parser.add_argument("--windows", type=int, default=34)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print("playing a game to have something to see ...", flush=True)
    seen = situations()
    rows = []
    print(f"{len(seen)} situations\n\n  NPCs  baseline    policy     rules     model   outcome  KB an NPC  at first")
    for npcs in options.sizes:
        row = measure(seen, npcs, options.windows, options.repeats)
        rows.append(row)
        costs = "".join(
            f" {each:6.1f} us" for each in (row.baseline_us, row.policy_us, row.rules_us, row.model_us, row.outcome_us)
        )
        print(f"{npcs:6,}{costs} {row.bytes_an_npc / 1024:10.1f} {row.bytes_at_first / 1024:9.1f}", flush=True)
    few, many = rows[0], rows[-1]
    print(
        f"\nthe policy adds {many.policy_us:.1f} us, {many.policy_us / many.baseline_us:.1f}x the baseline; "
        f"rules {many.rules_us / many.baseline_us:.1f}x, model {many.model_us / many.baseline_us:.1f}x the baseline;"
    )
    print(f"{many.npcs:,} NPCs against {few.npcs}: {many.rules_us / few.rules_us:.2f}x a decision by rules")
    said = {"machine": platform.platform(), "cores": os.cpu_count(), "windows": options.windows}
    RESULTS.write_text(json.dumps(said | {"sizes": [asdict(row) for row in rows]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
