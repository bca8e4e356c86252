"""A right game with nothing but nats-py and json; words after the address plant one mistake into it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import nats

GAME = "castle"
NPCS = ("guard", "cook")
ANSWER_WITHIN_S = 0.5
SENT_AGAIN_AFTER_S = 0.5
BETWEEN_TURNS_S = 0.02

Json = dict[str, Any]


class Castle:
    """Two characters that decide by turns. Each `if` on `mistake` is what a game may get wrong."""

    def __init__(self, address: str, mistake: str) -> None:
        self.mistake = mistake
        self.address = address
        self.waiting: dict[str, asyncio.Future[Json]] = {}
        self.unconfirmed: dict[str, tuple[str, bytes, float]] = {}
        self.over: dict[str, bool] = {}
        self.snapshot = 0

    async def play(self) -> None:
        options: Json = {
            "inbox_prefix": f"_INBOX_game_{GAME}",
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.1,
        }
        if self.mistake == "wrong inbox":
            options.pop("inbox_prefix")
        if self.mistake == "never comes back":
            options |= {"allow_reconnect": False, "max_reconnect_attempts": 0}
        self.nc = await nats.connect(self.address, **options)
        if self.mistake == "says nothing":
            await asyncio.Event().wait()
        await self.nc.subscribe(f"game.{GAME}.action.*", cb=self.on_action)
        if self.mistake != "forgets nothing":
            await self.nc.subscribe(f"game.{GAME}.stored", cb=self.on_stored)
        if self.mistake == "listens to others":
            await self.nc.subscribe("game.other.action.*")
        await self.nc.flush()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.send_again())
            for npc in NPCS:
                group.create_task(self.live(npc))

    # ---- deciding --------------------------------------------------------------------------------------------------

    async def live(self, npc: str) -> None:
        for turn in range(100_000):
            seen = self.observation(npc, turn)
            chosen = await self.ask(npc, seen)
            await self.report(npc, seen, chosen, turn)
            await asyncio.sleep(BETWEEN_TURNS_S)

    def observation(self, npc: str, turn: int) -> Json:
        self.snapshot += 1
        actions: list[Json] = [
            {
                "name": "walk",
                "parameters": {
                    "to": {"type": "string", "enum": ["gate", "tower", "hall"], "default": "gate"},
                    "steps": {"type": "integer", "minimum": 1, "maximum": 9, "default": 2},
                },
                "appeal": 0.8,
            },
            {"name": "sing", "parameters": {"loudness": {"type": "number", "minimum": 0, "maximum": 1.5}}},
            {"name": "wait"},
        ]
        seen: Json = {
            "type": "observation",
            "id": str(uuid.uuid4()),
            "game": GAME,
            "npc": npc,
            "kind": "patrol",
            "snapshot": self.snapshot,
            "answer_within_ms": round(ANSWER_WITHIN_S * 1000),
            "state": {"hour": turn % 24},
            "legal_actions": actions,
        }
        if turn % 3 == 1 and self.mistake in OBSERVED:
            OBSERVED[self.mistake](seen)
        return seen

    async def ask(self, npc: str, seen: Json) -> Json | None:
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self.waiting[seen["id"]] = answer
        key = f"{GAME}/{npc}/{seen['id']}"
        headers = {"Nats-Msg-Id": SHARED if self.mistake == "message id shared" else key}
        place = "cellar" if self.mistake == "subject of another" else npc
        subject = f"game.{GAME}.observation.{place}.patrol"
        if self.mistake == "publishes where it may not":
            await self.publish("mind.action.castle.guard", b"{}")
        data = b"{walk" if self.mistake == "no json" else json.dumps(seen).encode()
        await self.publish(subject, data, headers if self.mistake != "no message id" else None)
        if self.mistake == "wrong inbox":
            with contextlib.suppress(nats.errors.TimeoutError):
                await self.nc.request(subject, data, 0.1, headers=headers)
        within_s = None if self.mistake == "no fallback" else ANSWER_WITHIN_S
        if self.mistake == "gives up early":
            within_s = ANSWER_WITHIN_S / 3
        try:
            async with asyncio.timeout(within_s):
                chosen = await answer
        except TimeoutError:
            return None
        finally:
            self.over[seen["id"]] = answer.done() and not answer.cancelled()
            self.waiting.pop(seen["id"], None)
        return chosen

    async def on_action(self, msg: Any) -> None:
        action = json.loads(msg.data)
        if self.mistake == "knows its sources" and action["source"] not in {"rules", "model", "fallback"}:
            return
        if self.mistake == "crashes" and action["source"] == "oracle":
            sys.exit("this source does not exist")
        answer = self.waiting.get(action["decision"])
        if answer and not answer.done():
            answer.set_result(action)
        elif self.mistake == {False: "late action", True: "second action"}.get(self.over.get(action["decision"], True)):
            await self.report(action["npc"], {"id": action["decision"], "kind": action["kind"]}, action, 0)

    # ---- reporting -------------------------------------------------------------------------------------------------

    async def report(self, npc: str, seen: Json, chosen: Json | None, turn: int) -> None:
        done = chosen or {"action": "walk", "arguments": {"to": "gate", "steps": 2}}
        executed = {"action": done["action"], "arguments": done["arguments"], "by": "platform" if chosen else "client"}
        outcome: Json = {
            "type": "outcome_observed",
            "decision": seen["id"],
            "game": GAME,
            "npc": npc,
            "kind": seen["kind"],
            "executed": executed,
            "success": True,
            "facts": {"seen": turn},
            "observation": None if chosen else seen,
        }
        if self.mistake in REPORTED:
            REPORTED[self.mistake](outcome)
        if self.mistake == "no outcome" or (self.mistake == "fallback not reported" and not chosen):
            return
        data = json.dumps(outcome).encode()
        self.unconfirmed[seen["id"]] = (f"game.{GAME}.outcome.{npc}", data, time.monotonic())
        await self.publish(f"game.{GAME}.outcome.{npc}", data, self.outcome_id(npc, seen["id"]))
        if self.mistake == "reports twice":
            again = {**outcome, "facts": {"seen": turn + 1}}
            await self.publish(f"game.{GAME}.outcome.{npc}", json.dumps(again).encode())

    def outcome_id(self, npc: str, decision: str) -> dict[str, str]:
        number = "first" if self.mistake == "same id again" else uuid.uuid4()
        return {"Nats-Msg-Id": f"{GAME}/{npc}/{decision}/{number}"}

    async def on_stored(self, msg: Any) -> None:
        for decision in json.loads(msg.data)["decisions"]:
            self.unconfirmed.pop(decision, None)

    async def send_again(self) -> None:
        while self.mistake != "never sends again":
            await asyncio.sleep(SENT_AGAIN_AFTER_S / 5)
            for decision, (subject, data, sent_s) in list(self.unconfirmed.items()):
                if time.monotonic() - sent_s > SENT_AGAIN_AFTER_S:
                    self.unconfirmed[decision] = (subject, data, time.monotonic())
                    await self.publish(subject, data, self.outcome_id(subject.rpartition(".")[2], decision))

    async def publish(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        """What is said while the broker is away is lost; outcomes are sent again."""
        try:
            await self.nc.publish(subject, data, headers=headers)
        except nats.errors.Error:
            if self.mistake == "never comes back":
                await asyncio.Event().wait()


SHARED = "castle/once"
USED: list[str] = []


def _id_used_twice(seen: Json) -> None:
    USED.append(seen["id"])
    seen["id"] = USED[0]


OBSERVED: dict[str, Callable[[Json], object]] = {
    "missing field": lambda seen: seen.pop("snapshot"),
    "wrong type": lambda seen: seen.update(snapshot="7"),
    "bad id": lambda seen: seen.update(kind="a patrol"),
    "kind of another": lambda seen: seen.update(kind="feast"),
    "event among observations": lambda seen: seen.update(type="event"),
    "another version": lambda seen: seen.update(v=7),
    "not finite": lambda seen: seen["state"].update(distance=float("inf")),
    "too large a number": lambda seen: seen["state"].update(gold=2**60),
    "too large": lambda seen: seen["state"].update(map="." * 200_000),
    "misspelt": lambda seen: seen.update(priorty=1),
    "nothing legal": lambda seen: seen.update(legal_actions=[]),
    "same action twice": lambda seen: seen["legal_actions"].append({"name": "wait"}),
    "upside down": lambda seen: seen["legal_actions"][0]["parameters"]["steps"].update(minimum=10),
    "default out of bounds": lambda seen: seen["legal_actions"][0]["parameters"]["steps"].update(default=12),
    "default not offered": lambda seen: seen["legal_actions"][0]["parameters"]["to"].update(default="cellar"),
    "id used twice": _id_used_twice,
    "snapshot backwards": lambda seen: seen.update(snapshot=0),
    "deadline too long": lambda seen: seen.update(answer_within_ms=900_000),
    "deadline too short": lambda seen: seen.update(answer_within_ms=5),
}

REPORTED: dict[str, Callable[[Json], object]] = {
    "other arguments": lambda told: told["executed"].update(arguments={"to": "hall", "steps": 5}),
    "not legal": lambda told: told["executed"].update(action="fly", arguments={}),
    "by nobody": lambda told: told["executed"].update(by="npc"),
    "always by the platform": lambda told: told["executed"].update(by="platform"),
    "always by the game": lambda told: told["executed"].update(by="client"),
    "unknown decision": lambda told: told.update(decision=str(uuid.uuid4())),
    "of another": lambda told: told.update(kind="feast"),
    "no type": lambda told: told.pop("type"),
    "no facts": lambda told: told.pop("facts"),
    "null fact": lambda told: told["facts"].update(rank=None),
    "without observation": lambda told: told.pop("observation"),
}


if __name__ == "__main__":
    asyncio.run(Castle(sys.argv[1], " ".join(sys.argv[2:])).play())
