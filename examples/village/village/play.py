"""Villages played by minds: an hour is everybody's routine, as observations, and then who is spoken to, as events.

The law: every decision is told of exactly once, in its own hour. A visitor's words travel as texts and nowhere else.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearthmind.client import Client, Decision, Heard

from .people import ROLES
from .scene import Facts, Scene, Villager, Visit
from .transcript import clock, exchange
from .visitors import visits

ROUTINE, CHAT = "routine", "chat"
LEISURELY, SOCIABLE = 8, 5
"""Priorities."""


@dataclass(frozen=True)
class Turn:
    """One hour, for those who watch."""

    turn: int
    actions: Counter[str]
    lines: Sequence[str]
    """What was said, to read."""


async def play(
    mind: Client,
    *,
    npcs: int,
    seed: int,
    until: Callable[[], bool],
    on_turn: Callable[[Turn], None] | None = None,
    turn_s: float = 1.0,
    answer_within_s: float = 1.0,
    log: Path | None = None,
    episode: str | None = None,
) -> list[Scene]:
    """Play until told to stop (asked between hours). A village has up to five people; the log is the transcript."""
    scenes = [Scene(number, ROLES[: npcs - first]) for number, first in enumerate(range(0, npcs, len(ROLES)), 1)]
    hours = _Hours(mind, seed, answer_within_s, episode or f"seed-{seed}")
    with ExitStack() as open_files:
        written = open_files.enter_context(log.open("w", encoding="utf-8")) if log else None
        while not until():
            begun_s = time.monotonic()
            actions, lines = Counter[str](), [clock(scenes[0])]
            for acted, said in await asyncio.gather(*map(hours.pass_one, scenes)):
                actions, lines = actions + acted, lines + said
            if written:
                written.writelines(f"{line}\n" for line in lines)
            if on_turn:
                on_turn(Turn(scenes[0].turn, actions, lines))
            await asyncio.sleep(max(0.0, begun_s + turn_s - time.monotonic()))
    return scenes


class _Hours:
    """Takes a village from one hour to the next."""

    def __init__(self, mind: Client, seed: int, answer_within_s: float, episode: str) -> None:
        self._mind = mind
        self._seed = seed
        self._answer_within_s = answer_within_s
        self._episode = episode

    async def pass_one(self, scene: Scene) -> tuple[Counter[str], list[str]]:
        """An hour of a village: what was done, and what was said."""
        lived = await self._routine(scene)
        replies, lines = await self._visitors(scene)
        scene.turn += 1
        return Counter(decision.action for decision in (*lived, *replies)), lines

    async def _routine(self, scene: Scene) -> list[Decision]:
        """Everybody does something."""
        lived = await asyncio.gather(*(self._live(scene, villager) for villager in scene.villagers))
        led_to = [
            scene.live(villager, decision.action, decision.arguments)
            for villager, decision in zip(scene.villagers, lived, strict=True)
        ]
        await asyncio.gather(*(self._tell(scene, *one, success=True) for one in zip(lived, led_to, strict=True)))
        return lived

    async def _visitors(self, scene: Scene) -> tuple[list[Decision], list[str]]:
        """Visitors speak, to several people at once and to some of them twice in a row; each time is answered."""
        said = [(visit, text) for visit, words in visits(scene, self._seed) for text in words]
        replies = await asyncio.gather(*(self._hear(scene, *one) for one in said))
        lines, telling = list[str](), list[Awaitable[None]]()
        for (visit, text), reply in zip(said, replies, strict=True):
            place = visit.villager.place
            led_to = scene.reply(visit, reply.action, reply.arguments) | {"spoke": bool(reply.speech)}
            lines += exchange(visit, place, text, reply, led_to)
            is_trick = not visit.wish
            telling.append(self._tell(scene, reply, led_to, success=is_trick or bool(led_to["content"])))
        await asyncio.gather(*telling)
        return replies, lines

    def _live(self, scene: Scene, villager: Villager) -> Awaitable[Decision]:
        return self._mind.observe(
            npc=villager.name,
            kind=ROUTINE,
            legal_actions=scene.routine(villager),
            state=scene.sees(villager),
            priority=LEISURELY,
            **self._now(scene),
        )

    def _hear(self, scene: Scene, visit: Visit, text: str) -> Awaitable[Decision]:
        return self._mind.event(
            npc=visit.villager.name,
            kind=CHAT,
            legal_actions=scene.replies(visit),
            state=scene.sees(visit.villager, visit.visitor),
            priority=SOCIABLE,
            texts=[Heard(speaker=visit.visitor, text=text)],
            **self._now(scene),
        )

    def _now(self, scene: Scene) -> dict[str, Any]:
        return {
            "snapshot": scene.turn,
            "game_time": float(scene.turn),
            "answer_within_s": self._answer_within_s,
            "episode": self._episode,
        }

    def _tell(self, scene: Scene, decision: Decision, led_to: Facts, *, success: bool) -> Awaitable[None]:
        return self._mind.report(decision, success=success, facts=led_to, game_time=float(scene.turn + 1))
