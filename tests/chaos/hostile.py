"""A game that means no good: with its own credentials it sends what should not be said, and where it has no business.

Odd ids, subjects and headers, bodies that are broken, huge, or in another game's name, ids that collide, replies that point at
others. It learns nothing and is told nothing; whether it did harm is for the laws to say, which are about the other game.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from nats.errors import Error as NatsError

from hearthmind.bus.connect import close, connect
from hearthmind.bus.wire import encode
from hearthmind.contracts.outcome import Executed, OutcomeObserved
from hearthmind.settings import Broker
from hearthmind.testing.observations import an_observation

GAME = "castle"
MESSAGES = 2_000

_NAMES = (
    *(
        "p0001",
        "*",
        ">",
        "a*",
        "$JS",
        "$SYS",
        "_INBOX",
        "%2e%2e",
        "${x}",
        "{{wildcard(1)}}",
        "';--",
        "-",
        "é",
        "\u202e",
        "\u2028",
    ),
    *(
        "\ud7ff",
        "\x00",
        "\x7f",
        "\u00a0",
        "\u2028",
        "x" * 64,
        "x" * 65,
        "x" * 1_500,
        "realm",
        "castle",
        "0",
        "None",
        "nan",
        "1e999",
    ),
)
_ELSEWHERE = (
    *(
        "game.realm.observation.p0001.economic",
        "game.realm.outcome.p0001",
        "game.realm.action.p0001",
        "game.realm.stored",
    ),
    *("mind.action.realm.p0001", "mind.decision.realm.p0001", "inference.request.critical.rules", "inference.reply.0"),
    *("$JS.API.STREAM.DELETE.ACTION", "$JS.API.STREAM.PURGE.EXPERIENCE", "$JS.API.CONSUMER.DELETE.EXPERIENCE.reward"),
    *("$KV.LEASES.0", "mind.alive.decision", "dead.EVENT", "$JS.ACK.EXPERIENCE.reward.1.1.1.1.0", "_INBOX_reward.x"),
)
_HEADERS = (
    *(
        {"Nats-Rollup": "all"},
        {"Nats-Expected-Last-Sequence": "1"},
        {"Nats-TTL": "never"},
        {"Nats-Msg-Id": "realm/p0001/x"},
    ),
    *(
        {"Hearthmind-Deadline": "nan"},
        {"traceparent": "00-" + "0" * 32 + "-" + "0" * 16 + "-01"},
        {"traceparent": "x" * 300},
    ),
    *(
        {"Nats-Expected-Stream": "ACTION"},
        {"Nats-Stream-Source": "ACTION 1 > >"},
        {f"X-{n}": "x" * 100 for n in range(60)},
    ),
)


class Said(NamedTuple):
    """One message of it."""

    subject: str
    body: bytes
    headers: dict[str, str] | None
    reply: str


async def attack(address: str, password: str, seed: int) -> str:
    """Says it all, however often it is refused; returns what it was."""
    nc = await connect(Broker(url=address, user=f"game_{GAME}", password=password), "hostile", on_closed=_nothing)
    try:
        for said in words(seed):
            with suppress(NatsError):
                await nc.publish(said.subject, said.body, said.reply, said.headers)
        with suppress(NatsError, TimeoutError):
            await nc.flush(10)
    finally:
        await close(nc)
    return f"{MESSAGES} hostile messages"


def words(seed: int) -> Iterator[Said]:
    """What it says; the same for the same seed."""
    dice = random.Random(seed)
    for _ in range(MESSAGES):
        npc, kind = dice.choice(_NAMES), dice.choice(_NAMES)
        own = (f"game.{GAME}.observation.{npc}.{kind}", f"game.{GAME}.event.{npc}.{kind}", f"game.{GAME}.outcome.{npc}")
        subject = dice.choice(own) if dice.random() < 0.8 else dice.choice(_ELSEWHERE)
        reply = dice.choice(_ELSEWHERE) if dice.random() < 0.2 else ""
        yield Said(subject, _body(dice, npc, kind), dice.choice(_HEADERS) if dice.random() < 0.4 else None, reply)


def _body(dice: random.Random, npc: str, kind: str) -> bytes:
    game = dice.choice((GAME, "realm"))
    seen = an_observation(id=f"h{dice.getrandbits(40)}", game=game, npc=npc, kind=kind, priority=dice.randrange(11))
    done = OutcomeObserved(
        decision=seen.id,
        game=game,
        npc=npc,
        kind=kind,
        executed=Executed(action="wait", by="client", why="none"),
        success=True,
        observation=seen,
    )
    broken = (
        *(b"", b"{", b"null", b"[" * 20_000, b'{"type":"Observation"}', b"\xff\xfe\x00", dice.randbytes(200)),
        *(json.dumps({"type": "Unheard", "id": "\u0000" * 50}).encode(), b"9" * 5_000, b'{"a":1e999}'),
    )
    return dice.choice((encode(seen), encode(done), dice.choice(broken)))


def _nothing() -> None:
    """Its connection may close."""
