"""With inference dead: how long after its observation does a character have its action?

    python benchmarks/fallback.py [--npcs 100] [--seconds 20] [--per-s 2]

One decision service, no worker at all, and every observation wants a model. In the first seconds they wait for it, as they must;
then the pool is known to be silent, and everybody is scripted at once. Beside it, in the same run and at the same rate: a service
whose triage sends everything to the rules, which is the least that an answer can take. Times are from asking to acting, in the
game's process, and the platform's own: waiting on the bus and deciding. What the goal says: p99 at most 50 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nats
import uvloop

from hearthmind.bus.provision import provision
from hearthmind.client import Client, Decision, LegalAction, Whole, connect
from hearthmind.embedded.nats import EmbeddedNats, NatsConfig
from hearthmind.embedded.processes import Supervisor
from hearthmind.testing.serving import process
from hearthmind.testing.waiting import until

RESULTS = Path(__file__).parent / "results" / "fallback.json"
VARIANTS = {"rules": "*=rules", "inference dead": "*=onnx_nano"}
ANSWER_WITHIN_S = 2.0
ACTIONS = (
    LegalAction(name="wait"),
    LegalAction(name="build", parameters={"levels": Whole(minimum=1, maximum=3)}, appeal=0.5),
)
GOAL_MS = 50.0


@dataclass
class Measured:
    """One variant."""

    decisions: list[Decision] = field(default_factory=list)

    def of(self, spent_ms: Sequence[float]) -> dict[str, float]:
        """p50, p99 and the longest."""
        ordered = sorted(spent_ms)
        return {
            "p50": round(ordered[len(ordered) // 2], 2),
            "p99": round(ordered[len(ordered) * 99 // 100], 2),
            "max": round(ordered[-1], 2),
        }

    def summary(self) -> dict[str, object]:
        """What is kept of it."""
        stages = [each.chosen.stages_ms for each in self.decisions if each.chosen.stages_ms]
        return {
            "decisions": len(self.decisions),
            "sources": dict(Counter(each.source for each in self.decisions)),
            "why": dict(Counter(each.chosen.why for each in self.decisions).most_common(3)),
            "asking to acting, ms": self.of([each.latency_ms for each in self.decisions]),
            "bus and deciding, ms": self.of([each["bus"] + each["decide"] for each in stages]),
        }


@asynccontextmanager
async def deciding(variant: str, folder: Path) -> AsyncIterator[str]:
    """A broker and one decision service; gives the broker's address."""
    server = EmbeddedNats(folder / "nats", NatsConfig(sync_interval="1s"))
    async with Supervisor([server.command()], folder / "broker"):
        nc = await nats.connect(server.url)
        await provision(nc, partitions=16, pools=("nano",))
        await nc.close()
        environment = {"NATS_URL": server.url, "HEARTHMIND_DECISION__TRIAGE": VARIANTS[variant]}
        async with process("services.decision", folder, **environment):
            yield server.url


async def measure(variant: str, npcs: int, seconds: float, per_s: float) -> Measured:
    """Everybody asks again and again, each in its own time; what comes before the pool is known to be silent isn't counted."""
    measured, dice = Measured(), random.Random(1)
    with tempfile.TemporaryDirectory(prefix="hearthmind-") as name:
        async with deciding(variant, Path(name)) as url, connect(url, game="castle") as mind:
            await asyncio.gather(*(ask(mind, f"p{number}") for number in range(npcs)))
            await until_scripted(mind)
            ends_s = time.monotonic() + seconds

            async def live(npc: str) -> None:
                while time.monotonic() < ends_s:
                    await asyncio.sleep(dice.expovariate(per_s))
                    measured.decisions.append(await ask(mind, npc))

            await asyncio.gather(*(live(f"p{number}") for number in range(npcs)))
    return measured


async def ask(mind: Client, npc: str) -> Decision:
    """One observation and its action."""
    return await mind.observe(npc=npc, kind="patrol", legal_actions=ACTIONS, answer_within_s=ANSWER_WITHIN_S)


async def until_scripted(mind: Client) -> None:
    """Waits until nobody is asked any more."""

    async def scripted() -> bool:
        return (await ask(mind, "first")).latency_ms < 1000 * ANSWER_WITHIN_S / 2

    await until(scripted, within_s=60)


async def main(arguments: argparse.Namespace) -> None:
    """Both variants, twice, and keeps the result."""
    kept: dict[str, object] = {"machine": platform.platform(), "cores": os.cpu_count(), "arguments": vars(arguments)}
    for repeat in range(arguments.repeats):
        for variant in VARIANTS:
            measured = await measure(variant, arguments.npcs, arguments.seconds, arguments.per_s)
            summary = measured.summary()
            kept[f"{variant}, {repeat + 1}"] = summary
            print(f"{variant}: {json.dumps(summary, indent=1)}", flush=True)
            p99_ms = summary["asking to acting, ms"]["p99"]  # type: ignore[index]
            print(f"{variant}: p99 {p99_ms} ms; the goal is {GOAL_MS:g}\n", flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--npcs", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--per-s", type=float, default=2, help="observations of each character per second")
    parser.add_argument("--repeats", type=int, default=2)
    uvloop.run(main(parser.parse_args()))
