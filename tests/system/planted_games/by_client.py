"""A right game on the library: some talk, some fight, one is spoken to."""

from __future__ import annotations

import asyncio
import sys

from hearthmind.client import Choice, Client, LegalAction, Real, ReplacedByNewer, Whole, connect

FLEE = LegalAction(name="flee", parameters={"to": Choice(enum=("wood", "hill", "ford"), default="hill")})
STRIKE = LegalAction(name="strike", parameters={"times": Whole(minimum=1, maximum=5)}, appeal=0.4)
SPEAK = LegalAction(name="speak", parameters={"kindness": Real(minimum=-1.0, maximum=1.0, default=0.25)})


async def live(mind: Client, npc: str) -> None:
    for hour in range(100_000):
        ask = mind.event if hour % 4 == 3 else mind.observe
        decision = await ask(
            npc=npc,
            kind="combat" if hour % 2 else "chat",
            legal_actions=[FLEE, STRIKE] if hour % 2 else [SPEAK],
            state={"hour": hour, "foes": ["wolf"] * (hour % 3)},
            snapshot=hour,
            answer_within_s=0.5,
        )
        await mind.report(decision, success=hour % 5 > 0, facts={"hits": hour % 5})
        await asyncio.sleep(0.02)


async def change_mind(mind: Client) -> None:
    """Asks anew before it was answered: only the newest observation is decided."""
    for hour in range(100_000):
        asked = [
            mind.observe(
                npc="fool", kind="tactical", legal_actions=[SPEAK], snapshot=2 * hour + part, answer_within_s=0.5
            )
            for part in range(2)
        ]
        for decision in await asyncio.gather(*asked, return_exceptions=True):
            if not isinstance(decision, BaseException):
                await mind.report(decision, success=True, facts={"laughs": 1})
            elif not isinstance(decision, ReplacedByNewer):
                raise decision
        await asyncio.sleep(0.05)


async def main(address: str) -> None:
    async with connect(address, game="castle") as mind, asyncio.TaskGroup() as group:
        for npc in ("guard", "cook"):
            group.create_task(live(mind, npc))
        group.create_task(change_mind(mind))


asyncio.run(main(sys.argv[1]))
