"""Who asks in `inference_worker.py`: another process, which prints as JSON how it went. It is not run by hand."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import sys
import time
from collections.abc import Iterable
from typing import Any

import uvloop

from hearthmind import prompts
from hearthmind.contracts.inference import SYSTEM, USER, Inferred, Sampling, Turn

TOKENS, SPREAD = 24, 12
"""How long answers are: from half to one and a half times as many tokens, as real answers differ; 25 lengths in turn."""
SHARED = "You are the chief of a village by the river. Wood is short and the neighbours arm. " * 4
ALONE = 60
PROBES, PROBE_AFTER_S, PROBE_EVERY_S = 8, 0.5, 0.4
CROWD = 200
"""More than three times as many as are answered at once: they end together, and others have to be at hand."""
WITHIN_S = 300.0
CRITICAL, ROUTINE = 0, 9
numbers = itertools.count(random.Random(os.getpid()).randrange(10**9))
Said = dict[str, Any]


def a_prompt() -> tuple[Turn, ...]:
    """Like no other, with a beginning that all share."""
    return Turn(SYSTEM, SHARED), Turn(USER, f"Day {next(numbers)}: fortify, expand or trade?")


def samplings(requests: int, *, even: bool) -> list[Sampling]:
    """How long each answer is; the same lengths for every variant."""
    lengths = (TOKENS if even else TOKENS - SPREAD + number * 7 % (2 * SPREAD + 1) for number in range(requests))
    return [Sampling(tokens_max=length, temperature=0.0) for length in lengths]


class Asker:
    """Asks, and notes when it sent what and when the answer came."""

    def __init__(self, asking: prompts.Prompts) -> None:
        self._asking = asking

    async def ask(self, priority: int, sampling: Sampling, *, varied: bool = True) -> tuple[Inferred, float, float]:
        """The answer, when it was asked for and when it was there."""
        sent_s = time.monotonic()
        how: prompts.How = {"priority": priority, "sampling": sampling, "varied": varied, "within_s": WITHIN_S}
        answer = await self._asking.ask(a_prompt(), **how)
        return answer, sent_s, time.monotonic()

    async def alone(self, _: int) -> Said:
        """One after the other, to an idle engine: those that must be drawn anew, and those that the cache is asked about."""
        found = [await self.ask(CRITICAL, Sampling(tokens_max=TOKENS, temperature=0.0)) for _ in range(ALONE)]
        short = Sampling(tokens_max=1, temperature=0.0)
        looked_up = [await self.ask(CRITICAL, short, varied=False) for _ in range(ALONE)]
        return {"probes": _noted(found), "looked_up": _noted(looked_up)}

    async def bus(self, requests: int, *, even: bool = False) -> Said:
        """All at once."""
        return _told(await self._all(requests, even=even))

    async def bus_even(self, requests: int) -> Said:
        """All at once, and all answers of one length."""
        return await self.bus(requests, even=True)

    async def urgent(self, requests: int, priority: int = CRITICAL) -> Said:
        """All at once; while they wait, a few critical ones, one after the other."""

        async def probe(number: int) -> tuple[Inferred, float, float]:
            await asyncio.sleep(PROBE_AFTER_S + number * PROBE_EVERY_S)
            return await self.ask(priority, Sampling(tokens_max=TOKENS, temperature=0.0))

        began_s = time.monotonic()
        others = asyncio.create_task(self._all(requests))
        probes = await asyncio.gather(*map(probe, range(PROBES)))
        answers = await others
        seconds = time.monotonic() - began_s
        return _told(answers) | {"seconds": seconds, "probes": _noted(probes)}

    async def queue(self, requests: int) -> Said:
        """The same, with no tier for the critical ones: first come, first served."""
        return await self.urgent(requests, ROUTINE)

    async def oldest(self, _: int) -> Said:
        """A routine one, while the critical tier never runs dry."""
        answered = 0

        async def crowd() -> None:
            nonlocal answered
            while True:
                await self.ask(CRITICAL, Sampling(tokens_max=TOKENS, temperature=0.0))
                answered += 1

        tasks = [asyncio.create_task(crowd()) for _ in range(CROWD)]
        await asyncio.sleep(1)
        before = answered
        answer, sent_s, ended_s = await self.ask(ROUTINE, Sampling(tokens_max=TOKENS, temperature=0.0))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return {"seconds": ended_s - sent_s, "critical": answered - before, "waited_ms": answer.queue_ms}

    async def _all(self, requests: int, *, even: bool = False) -> list[tuple[Inferred, float, float]]:
        return await asyncio.gather(*(self.ask(ROUTINE, each) for each in samplings(requests, even=even)))


def _told(answers: list[tuple[Inferred, float, float]]) -> Said:
    """How long all took, and one of them on average."""
    began_s = min(sent_s for _, sent_s, _ in answers)
    ended = [ended_s - began_s for _, _, ended_s in answers]
    return {"seconds": max(ended), "mean_s": sum(ended) / len(ended)}


def _noted(answers: Iterable[tuple[Inferred, float, float]]) -> list[tuple[str, float, float]]:
    """Of each: its name, when it was sent, and how long its first token took in the engine."""
    return [(answer.decision, sent_s, answer.first_token_ms) for answer, sent_s, _ in answers]


async def main(url: str, variant: str, requests: int) -> Said:
    """One variant, asked over the bus."""
    async with prompts.connect(url, game="bench", pool="bench", at_once=10_000) as asking:
        said: Said = await getattr(Asker(asking), variant)(requests)
        return said


if __name__ == "__main__":
    _, address, which, count = sys.argv
    print(json.dumps(uvloop.run(main(address, which, int(count)))))
