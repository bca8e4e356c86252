"""The least that a decision can cost on this bus: nats-py pulls, publishes the action and the record, acknowledges.

Nothing is decoded, checked, decided, traced or leased; the bodies are ready-made and as long as real ones.
"""

import asyncio
import os
import sys

import nats
import uvloop
from nats.aio.msg import Msg

from hearthmind.process import READY_FILE

BATCH = 100


async def main(url: str, action_bytes: int, detail_bytes: int) -> None:
    """Answers every observation of the one partition, until it is ended."""
    nc = await nats.connect(url, skip_subject_validation=True)
    js = nc.jetstream(publish_async_max_pending=20_000)
    action, detail = b"a" * action_bytes, b"d" * detail_bytes
    pulled = await js.pull_subscribe_bind("decision_0", "OBSERVATION")
    open(os.environ[READY_FILE], "w").close()  # noqa: ASYNC230, PTH123

    async def answer(msg: Msg) -> None:
        _, _, game, npc, _ = msg.subject.split(".")
        decision = (msg.headers or {})["Nats-Msg-Id"]
        stored = await js.publish_async(f"mind.action.{game}.{npc}", action, headers={"Nats-Msg-Id": decision})
        kept = await js.publish_async(
            f"mind.decision.{game}.{npc}", detail, headers={"Nats-Msg-Id": decision + "/detail"}
        )
        await stored
        await kept
        await msg.ack()

    while True:
        try:
            messages = await pulled.fetch(BATCH, timeout=5)
        except TimeoutError:
            continue
        for msg in messages:
            asyncio.create_task(answer(msg))  # noqa: RUF006


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
