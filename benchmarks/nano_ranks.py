"""Does it pay to let nano decide? Its players against random ones and against the rules mind, in one world, over many seeds.

    python benchmarks/nano_ranks.py [--seeds 10] [--players 20] [--turns 168] [--kinds strategic]

Every other player is nano's: decisions of these kinds are nano's, asked over a real broker and worker as the decision service
asks, and everything else is the rules mind's. The others are all random, or all the rules mind. A difference is by how many ranks
nano's players are better on average at the end of a world (half the players is the most there can be), with its 95 % interval
over the seeds. Beside it, in the same worlds: the rules mind against random players, which is what nano's would be without nano.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import nats
import numpy as np
import uvloop

from hearthmind import prompts
from hearthmind.bus.provision import provision
from hearthmind.contracts.inference import Sampling
from hearthmind.contracts.observation import Observation
from hearthmind.embedded.nats import EmbeddedNats, NatsConfig
from hearthmind.embedded.processes import Supervisor
from hearthmind.ids import new_decision_id
from hearthmind.prompting import answer_schema, prompt_of
from hearthmind.testing.serving import process
from realm.answers import as_order
from realm.contest import Result, compete, result_of
from realm.orders import Order
from realm.players import GOOD, RANDOM, Chosen, Dice, Style
from realm.sight import Sight, look
from realm.situation import player_name
from realm.world import World
from services.decision.reading import Unreadable, read

RESULTS = Path(__file__).parent / "results" / "nano_ranks.json"
MODEL, POOL = "onnx_nano", "nano"
WITHIN_S = 120.0


class Nano:
    """Players whose strategy is nano's."""

    def __init__(self, asking: prompts.Prompts, kinds: Sequence[str]) -> None:
        self._asking = asking
        self._kinds = frozenset(kinds)
        self.said: Counter[str] = Counter()

    async def choose(self, world: World, sight: Sight, dice: Dice) -> Chosen:
        """What such a player does."""
        if sight.kind not in self._kinds:
            return GOOD.player(sight, dice)
        observation = _observation(world, sight)
        (said,) = await self._asking.ask_all(
            [prompt_of(observation)],
            priority=sight.priority,
            answer_schema=answer_schema(observation),
            sampling=Sampling(tokens_max=256, temperature=0),
            within_s=WITHIN_S,
        )
        self.said["cached" if said.cached else "asked"] += 1
        try:
            answer = read(said.text, observation)
        except Unreadable:
            self.said["of no use"] += 1
            return GOOD.player(sight, dice)
        return answer.action, answer.arguments


def _observation(world: World, sight: Sight) -> Observation:
    return Observation(
        id=new_decision_id(),
        game="realm",
        npc=player_name(sight.player),
        kind=sight.kind,
        legal_actions=sight.legal_actions,
        answer_within_ms=1_000,
        snapshot=world.turn,
        game_time=float(world.turn),
        priority=sight.priority,
        state=msgspec.Raw(msgspec.json.encode(sight.state)),
    )


async def difference(nano: Nano, other: Style, seed: int, players: int, turns: int) -> float:
    """By how many ranks nano's players are better than the others at the end of one world."""
    world, dice = World.found(players, seed), Dice(np.random.PCG64([seed, 3]))
    is_nano = np.array([(player + seed) % 2 == 0 for player in range(players)])
    appetite = np.array([GOOD.appetite for _ in range(players)])

    async def choose(sight: Sight) -> Chosen:
        return await nano.choose(world, sight, dice) if is_nano[sight.player] else other.player(sight, dice)

    for _ in range(turns):
        sights = look(world, style=appetite)
        chosen = await asyncio.gather(*map(choose, sights))
        orders = [as_order(world, sight, *each) for sight, each in zip(sights, chosen, strict=True)]
        world.step([order for order in orders if isinstance(order, Order)])
    ranks = world.ranks()
    return float(ranks[~is_nano].mean() - ranks[is_nano].mean())


@asynccontextmanager
async def asking(folder: Path) -> AsyncIterator[prompts.Prompts]:
    """A broker, a worker with nano, and somebody who asks."""
    server = EmbeddedNats(folder / "nats", NatsConfig(sync_interval="1s"))
    async with Supervisor([server.command()], folder / "broker"):
        nc = await nats.connect(server.url)
        await provision(nc, partitions=1, pools=(POOL,))
        await nc.close()
        environment = {"NATS_URL": server.url, "HEARTHMIND_INFERENCE_WORKER__MODEL": MODEL}
        async with (
            process("services.inference_worker", folder, **environment),
            prompts.connect(server.url, game="realm", pool=POOL, model=MODEL) as asked,
        ):
            yield asked


def told(name: str, result: Result) -> str:
    """A line of the table."""
    return f"| {name} | {result.mean:+.2f} | {result.low:+.2f} to {result.high:+.2f} |"


async def main(arguments: argparse.Namespace) -> None:
    """All pairings, and keeps the result."""
    seeds, lines = range(arguments.seeds), ["| players | mean ranks better | 95 % interval |", "| --- | --- | --- |"]
    print("\n".join(lines), flush=True)
    results: dict[str, Result] = {}
    with tempfile.TemporaryDirectory(prefix="hearthmind-") as folder:
        async with asking(Path(folder)) as asked:
            nano = Nano(asked, arguments.kinds)
            for other in (RANDOM, GOOD):
                players, turns = arguments.players, arguments.turns
                found = [await difference(nano, other, seed, players, turns) for seed in seeds]
                name = f"nano against {'random' if other is RANDOM else 'the rules mind'}"
                results[name] = result_of(found)
                print(told(name, results[name]), flush=True)
    name = "the rules mind against random"
    results[name] = compete(GOOD, RANDOM, seeds, players=arguments.players, turns=arguments.turns)
    print(told(name, results[name]), f"\n{dict(nano.said)}", flush=True)
    kept = {
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "arguments": vars(arguments),
        "asked": dict(nano.said),
    }
    kept |= {name: vars(result) for name, result in results.items()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--players", type=int, default=20)
    parser.add_argument("--turns", type=int, default=168)
    parser.add_argument("--kinds", nargs="+", default=["strategic"])
    uvloop.run(main(parser.parse_args()))
