"""Bad input at the decision service, on a real NATS: a dead letter with its reason, and nobody else notices."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import nats
import pytest
from nats.aio.msg import Msg

from hearthmind import flow, ids
from hearthmind.bus.dead import REASON, SUBJECT
from hearthmind.bus.wire import OBSERVATION_BYTES_MAX, decode, encode
from hearthmind.contracts.action import MODEL, RULES, ActionChosen
from hearthmind.testing.observations import an_observation
from hearthmind.testing.waiting import until
from tests.service.rig import PARTITIONS, Rig, rig_in

Case = Callable[[str], tuple[str, bytes]]
"""From the name of a game to a subject and a body."""


@pytest.fixture(scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """A platform of a decision service and a worker that serves all tiers but the lowest; each test is a game."""
    async with rig_in(tmp_path_factory.mktemp("rig")) as rig, rig.inferring(flow.TIERS[:-1]), rig.deciding():
        await rig.until_owned()
        yield rig


@pytest.fixture
async def own_rig(folder: Path) -> AsyncIterator[Rig]:
    """A broker of the test's own, without any service; what is not acknowledged comes again a little sooner."""
    async with rig_in(folder, ack_wait_s=4) as rig:
        yield rig


def bad(change: Callable[[dict[str, object]], object] = lambda fields: None, **fields: object) -> Case:
    """An observation of the NPC `bad` with something wrong in its body."""

    def case(game: str) -> tuple[str, bytes]:
        said: dict[str, object] = msgspec.json.decode(encode(an_observation(game=game, npc="bad"))) | fields
        change(said)
        return ids.observation_subject(game, "bad", "economic"), msgspec.json.encode(said)

    return case


def raw(body: bytes | Callable[[bytes], bytes], to: str = "observation") -> Case:
    """Bytes as they are, or a good observation with its bytes changed."""

    def case(game: str) -> tuple[str, bytes]:
        good = encode(an_observation(game=game, npc="bad"))
        return f"game.{game}.{to}.bad.economic", body if isinstance(body, bytes) else body(good)

    return case


def with_number(number: bytes) -> Case:
    return raw(lambda good: good.replace(b'"appeal":0.5', b'"appeal":' + number))


CAN_T_BE_READ = "The Observation can't be read: "

BAD: dict[str, tuple[Case, str]] = {
    "nothing": (raw(b""), CAN_T_BE_READ + "Input data was truncated"),
    "no JSON": (raw(b"\x00\xff\xfe"), CAN_T_BE_READ + "JSON is malformed"),
    "half of it": (raw(lambda good: good[: len(good) // 2]), CAN_T_BE_READ + "Input data was truncated"),
    "no object": (raw(b"[1,2]"), CAN_T_BE_READ + "Expected `object`"),
    "very deep": (raw(b'{"x":' + b"[" * 100_000), CAN_T_BE_READ + ".*recursion"),
    "very deep state": (
        raw(lambda good: good.replace(b'{"wood":12}', b"[" * 50_000 + b"]" * 50_000)),
        CAN_T_BE_READ + ".*recursion",
    ),
    "oversized": (
        bad(state="x" * OBSERVATION_BYTES_MAX),
        r"The Observation of \d{6} bytes is over the limit of 131072",
    ),
    "as large as the broker takes": (
        raw(b"x" * 500_000),
        "The Observation of 500000 bytes is over the limit of 131072",
    ),
    "a game that is no id": (bad(game="a.b"), r"regex .* `\$.game`"),
    "an NPC that is no id": (bad(npc="*"), r"regex .* `\$.npc`"),
    "a decision id that is no id": (bad(id="d 1\r\nX: y"), r"regex .* `\$.id`"),
    "an id too long": (bad(id="d" * 65), r"regex .* `\$.id`"),
    "an action that is no id": (bad(legal_actions=[{"name": "burn it"}]), r"regex .* `\$.legal_actions\[0\].name`"),
    "another NPC": (bad(npc="good1"), "The subject .* does not belong to what the message says .*, good1, economic"),
    "another kind": (bad(kind="combat"), "The subject .* does not belong to what the message says .*, bad, combat"),
    "another game": (
        bad(game="chess"),
        "The subject .* does not belong to what the message says .chess, bad, economic",
    ),
    "an event as an observation": (bad(type="event"), CAN_T_BE_READ + "its type is 'event'"),
    "an observation as an event": (
        raw(lambda good: good, to="event"),
        "The Event can't be read: its type is 'observation'",
    ),
    "another message": (bad(type="action_chosen"), CAN_T_BE_READ + "its type is 'action_chosen'"),
    "a type in other words": (bad(type="Beobachtung\r\nX: ü"), CAN_T_BE_READ + r"its type is 'Beobachtung\\r\\nX: ü'"),
    "no legal actions": (bad(legal_actions=[]), r"length >= 1 .*legal_actions"),
    "two legal actions of a name": (bad(legal_actions=[{"name": "a"}] * 2), "two legal actions have the same name"),
    "a parameter without a value": (
        bad(
            legal_actions=[
                {"name": "a", "parameters": {"n": {"type": "integer", "minimum": 3, "maximum": 2}}},
            ]
        ),
        "minimum 3 is above maximum 2",
    ),
    "NaN": (with_number(b"NaN"), "JSON is malformed"),
    "NaN in the state": (raw(lambda good: good.replace(b":12}", b":NaN}")), "JSON is malformed"),
    "infinity": (with_number(b"1e999"), r"Number out of range - at `\$.legal_actions\[1\].appeal`"),
    "null for a number": (with_number(b"null"), "Expected `float`, got `null`"),
    "no time to answer": (bad(answer_within_ms=0), r"`int` >= 1 .*answer_within_ms"),
    "all the time to answer": (bad(answer_within_ms=10**12), r"`int` <= 300000 .*answer_within_ms"),
    "a priority that does not exist": (bad(priority=11), r"`int` <= 10 .*priority"),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_input_is_a_dead_letter_with_its_reason_and_the_others_go_on(rig: Rig, name: str) -> None:
    case, reason = BAD[name]
    game = rig.new_game()
    subject, body = case(game)
    async with rig.undisturbed(game):
        await rig.say(subject, body, **{"X-Big": "x" * 5_000})
        letter = await rig.letter(game)
    assert letter.data == body
    assert letter.headers
    assert re.search(reason, letter.headers[REASON]), letter.headers[REASON]
    assert "X-Big" not in letter.headers
    await rig.until_held(0, "OBSERVATION", f"observation.*.{game}.>")
    await rig.until_held(0, "EVENT", f"event.*.{game}.>")
    assert "bad" not in {action.npc for action in await rig.actions(game)}


async def test_an_unknown_version_is_tried_again_later(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    game = rig.new_game()
    subject, body = bad(v=2, legal_actions="in other words")(game)
    async with rig.undisturbed(game):
        await rig.say(subject, body)
        await until(lambda: "tried again after 5 s: The Observation has the major version 2" in caplog.text)
    assert await rig.held("OBSERVATION", f"observation.*.{game}.bad.>") == 1
    assert not [letter for letter in rig.letters if game in (letter.headers or {})[SUBJECT]]
    await rig.nc.jetstream().purge_stream("OBSERVATION", subject=f"observation.*.{game}.>")


async def test_an_unknown_version_is_dead_after_its_last_delivery(own_rig: Rig) -> None:
    subject, body = bad(v=2)("realm")
    await own_rig.say(subject, body)
    for _ in range(4):
        await refuse_one(own_rig)
    async with own_rig.inferring(), own_rig.deciding(), own_rig.undisturbed("realm"):
        letter = await own_rig.letter("realm")
    assert (letter.data, letter.headers and letter.headers["Hearthmind-Delivered"]) == (body, "5")
    assert "after 5 deliveries: The Observation has the major version 2" in (letter.headers or {})[REASON]
    assert await own_rig.held("OBSERVATION") == 0


async def refuse_one(rig: Rig) -> None:
    """Takes the one message that waits for a decision service, as one that can't read it would."""
    refused = asyncio.Event()
    readers = [
        await rig.nc.jetstream().pull_subscribe_bind(f"decision_{number}", "OBSERVATION")
        for number in range(PARTITIONS)
    ]

    async def take(reader: nats.js.JetStreamContext.PullSubscription) -> None:
        (message,) = await reader.fetch(1, timeout=20)
        await message.nak()
        refused.set()

    taking = [asyncio.create_task(take(reader)) for reader in readers]
    await refused.wait()
    for task in taking:
        task.cancel()
    await asyncio.wait(taking)
    for reader in readers:
        await reader.unsubscribe()
    await rig.nc.flush()


async def test_huge_headers_are_not_passed_on(rig: Rig) -> None:
    game = rig.new_game()
    heard: list[Msg] = []

    async def on_action(message: Msg) -> None:
        heard.append(message)

    async with rig.undisturbed(game):
        await rig.nc.subscribe(ids.action_subject(game, "big"), cb=on_action)
        for kind in ("combat", "economic"):
            body = encode(
                an_observation(game=game, npc="big", kind=kind, state=msgspec.Raw(b'"%s"' % (b"x" * 100_000)))
            )
            headers = {"traceparent": "x" * 20_000, "tracestate": "y" * 10_000, "X-Big": "z" * 30_000}
            await rig.say(ids.observation_subject(game, "big", kind), body, **headers)
        await until(lambda: len(heard) == 2)
        await rig.until_held(0, "OBSERVATION", f"observation.*.{game}.big.>")
    assert {decode(message.data, ActionChosen).source for message in heard} == {RULES, MODEL}
    assert all(len(value) < 1_000 for message in heard for value in (message.headers or {}).values())
    await rig.until_held(2, "EXPERIENCE", ids.decision_subject(game, "big"))


HOSTILE = {
    "not UTF-8": b"\xff\xfe",
    "a vertical tab": b"a\x0bb",
    "a form feed": b"a\x0cb",
    "NUL": b"a\0b",
    "a word": "ü".encode(),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_subject_does_not_end_the_connection(rig: Rig, name: str) -> None:
    game = rig.new_game()
    async with rig.undisturbed(game):
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.server.port)
        await reader.readline()
        subject = b"game.%s.observation.%s.economic" % (game.encode(), HOSTILE[name])
        writer.write(b'CONNECT {"verbose":false}\r\nPUB %s 2\r\n{}\r\nPING\r\n' % subject)
        assert await reader.readline() == b"PONG\r\n"
        writer.close()
        await writer.wait_closed()
        assert CAN_T_BE_READ in ((await rig.letter(game)).headers or {})[REASON]
