"""A game with nothing but a NATS client: a guard hears a noise, does what the platform says, tells what came of it."""

import asyncio
import json
import sys
import uuid

import nats.aio.client

ID = str(uuid.uuid4())


async def tell(nc: nats.aio.client.Client, to: str, said: object, key: str, answers: str) -> dict[str, object]:
    """Publishes a message and returns what is answered about its decision, or nothing after a second."""
    heard = await nc.subscribe(f"game.castle.{answers}")
    try:
        async with asyncio.timeout(1):
            await nc.jetstream().publish(f"game.castle.{to}", json.dumps(said).encode(), headers={"Nats-Msg-Id": key})
            return dict(json.loads(await anext(m.data async for m in heard.messages if ID.encode() in m.data)))
    except (TimeoutError, nats.errors.Error):
        await heard.unsubscribe()
        return {}


async def main(address: str) -> None:
    """From what the guard hears to what came of it."""
    async with await nats.connect(address, inbox_prefix="_INBOX_game_castle", max_reconnect_attempts=-1) as nc:
        who = {"type": "observation", "game": "castle", "npc": "guard", "kind": "patrol"}
        may = [{"name": "walk", "parameters": {"to": {"type": "string", "enum": ["gate", "tower"]}}}, {"name": "wait"}]
        seen = {**who, "id": ID, "snapshot": 1, "answer_within_ms": 1000, "state": {"noise": 3}, "legal_actions": may}
        chosen = await tell(nc, "observation.guard.patrol", seen, f"castle/guard/{ID}", "action.guard")
        done = chosen or {"action": "wait", "arguments": {}, "source": "client"}  # the game's own fallback
        print(f"{ID}: {done['action']} {json.dumps(done['arguments'])} by {done['source']}")

        executed = {"action": done["action"], "arguments": done["arguments"], "by": "platform" if chosen else "client"}
        outcome = {**who, "type": "outcome_observed", "decision": ID, "executed": executed, "success": True}
        outcome |= {"facts": {"seen": 2}, "observation": None if chosen else seen}
        while not await tell(nc, "outcome.guard", outcome, f"castle/guard/{ID}/{uuid.uuid4()}", "stored"):
            print("not stored yet: once more, under a new message id")


asyncio.run(main(sys.argv[1]))
