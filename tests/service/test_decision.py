"""The decision service on a real NATS: bad input ends as a dead letter with its reason, and nobody else notices;
whatever fails, each observation gets one legal action."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import msgspec
import nats
import pytest
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from hearthmind import flow, ids, legal
from hearthmind.bus.dead import REASON, SUBJECT
from hearthmind.bus.provision import consumer_config, provision, stream_config
from hearthmind.bus.publish import Publisher
from hearthmind.bus.wire import OBSERVATION_BYTES_MAX, decode, encode
from hearthmind.client import Client, Decision, connect
from hearthmind.contracts.action import FALLBACK, MODEL, RULES, ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.observation import Event, Observation
from hearthmind.contracts.outcome import CLIENT
from hearthmind.embedded.nats import EmbeddedNats
from hearthmind.flow import stream_named
from hearthmind.testing.observations import BUILD, WAIT, an_observation
from hearthmind.testing.servers import nats_server
from hearthmind.testing.serving import process, serving
from hearthmind.testing.waiting import until
from services.decision import app as decision
from services.inference_worker import app as inference_worker

PARTITIONS = 4
PATIENT_S = 30.0
"""A deadline that only a platform that stands still can miss."""
GOOD_NPCS = [f"good{number}" for number in range(12)]

Case = Callable[[str], tuple[str, bytes]]
"""From the name of a game to a subject and a body."""


@dataclass
class Rig:
    """A broker, and somebody who may do everything there."""

    server: EmbeddedNats
    nc: Nats
    publisher: Publisher
    folder: Path
    letters: list[Msg] = field(default_factory=list)
    _games: count[int] = field(default_factory=count)

    def new_game(self) -> str:
        return f"game{next(self._games)}"

    def environment(self, **more: str) -> dict[str, str]:
        return {"NATS_URL": self.server.url, "HEARTHMIND_FLOW__PARTITIONS": str(PARTITIONS), **more}

    @asynccontextmanager
    async def deciding(self, triage: str = "combat=rules_scripted,*=rules") -> AsyncIterator[None]:
        environment = self.environment(HEARTHMIND_DECISION__TRIAGE=triage)
        async with serving(decision.serve, self.folder, **environment):
            yield

    @asynccontextmanager
    async def deciding_elsewhere(
        self, triage: str = "combat=rules_scripted,*=rules"
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        environment = self.environment(HEARTHMIND_DECISION__TRIAGE=triage)
        async with process("services.decision", self.folder, **environment) as running:
            yield running

    @asynccontextmanager
    async def inferring(self, tiers: tuple[str, ...] = flow.TIERS) -> AsyncIterator[None]:
        environment = self.environment(HEARTHMIND_INFERENCE_WORKER__TIERS=",".join(tiers))
        async with serving(inference_worker.serve, self.folder, **environment):
            yield

    async def owners(self) -> set[str]:
        """Who owns the partitions; nobody (an empty name) owns a partition that is free."""
        return {await self._owner(partition) for partition in range(PARTITIONS)}

    async def _owner(self, partition: int) -> str:
        try:
            said = await self.nc.jetstream().get_last_msg(f"KV_{flow.LEASES}", f"$KV.{flow.LEASES}.{partition}")
        except NotFoundError:
            return ""
        return (said.data or b"").decode()

    async def until_owned(self, by: int = 1) -> set[str]:
        """Waits until so many processes own all partitions between them."""
        owners: set[str] = set()

        async def owned() -> bool:
            owners.clear()
            owners.update(await self.owners())
            return "" not in owners and len(owners) == by

        await until(owned)
        return owners

    async def say(self, subject: str, data: bytes, **headers: str) -> None:
        """Publishes as a game would that has no library of ours."""
        await self.publisher.publish(subject, data, secrets.token_hex(8), headers)

    async def letter(self, game: str) -> Msg:
        """The one dead letter of a game."""
        found: list[Msg] = []

        def come() -> bool:
            found[:] = [letter for letter in self.letters if f".{game}." in (letter.headers or {})[SUBJECT]]
            return bool(found)

        await until(come)
        (letter,) = found
        return letter

    async def held(self, stream: str, subject: str = ">") -> int:
        """How many messages a stream holds, on subjects like this one."""
        info = await self.nc.jetstream().stream_info(stream, subjects_filter=subject)
        return sum((info.state.subjects or {}).values())

    async def actions(self, game: str) -> list[ActionChosen]:
        """The record: what the ACTION stream keeps of a game."""
        number = await self.held("ACTION", f"mind.action.{game}.*")
        reader = await self.nc.jetstream().pull_subscribe(f"mind.action.{game}.*", stream="ACTION")
        messages = await reader.fetch(number, timeout=5) if number else []
        await reader.unsubscribe()
        return [decode(message.data, ActionChosen) for message in messages]

    async def detail(self, game: str, npc: str) -> DecisionMade:
        """What EXPERIENCE has of the one decision of an NPC."""
        subject = ids.decision_subject(game, npc)
        await self.until_held(1, "EXPERIENCE", subject)
        kept = await self.nc.jetstream().get_last_msg("EXPERIENCE", subject)
        return decode(kept.data or b"", DecisionMade)

    async def until_held(self, number: int, stream: str, subject: str = ">") -> None:
        """Waits until a stream holds so many messages."""

        async def holds() -> bool:
            return await self.held(stream, subject) == number

        await until(holds)

    @asynccontextmanager
    async def limited(self, stream: str, messages_max: int) -> AsyncIterator[None]:
        """The stream takes no more than so many messages while the block lasts."""
        await self.nc.jetstream().purge_stream(stream)
        config = stream_config(replace(stream_named(stream), messages_max=messages_max), PARTITIONS)
        await self.nc.jetstream().update_stream(config)
        yield
        await self.nc.jetstream().purge_stream(stream)
        await provision(self.nc, partitions=PARTITIONS)

    @asynccontextmanager
    async def undisturbed(self, game: str) -> AsyncIterator[Client]:
        """Other NPCs of the game ask before, all through the block and after it, and all of them are answered."""
        async with connect(self.server.url, game=game) as mind:
            await ask_all(mind)
            going_on = asyncio.create_task(ask_on_and_on(mind))
            yield mind
            await end(going_on)
            await ask_all(mind)


async def ask_all(mind: Client) -> list[Decision]:
    """Each good NPC is answered by the platform, half of them by a model."""
    asking = (
        mind.observe(
            npc=npc,
            kind=("combat", "economic")[number % 2],
            legal_actions=(WAIT, BUILD),
            priority=number % 7,
            answer_within_s=PATIENT_S,
        )
        for number, npc in enumerate(GOOD_NPCS)
    )
    decisions = await asyncio.gather(*asking)
    assert {(each.kind, each.source) for each in decisions} == {("combat", MODEL), ("economic", RULES)}
    return decisions


async def end(task: asyncio.Task[None]) -> None:
    """Ends a task that has no end, and raises where it came to one by itself."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def ask_on_and_on(mind: Client) -> None:
    while True:
        await ask_all(mind)


@asynccontextmanager
async def rig_in(folder: Path, ack_wait_s: float | None = None) -> AsyncIterator[Rig]:
    async with nats_server(folder / "nats") as server:
        nc = await nats.connect(server.url)
        await provision(nc, partitions=PARTITIONS)
        if ack_wait_s:
            for consumer in flow.consumers_of("decision", PARTITIONS, ()):
                config = consumer_config(replace(consumer, ack_wait_s=ack_wait_s))
                await nc.jetstream().add_consumer(consumer.stream, config)
        publisher = await Publisher(nc).start()
        rig = Rig(server, nc, publisher, folder)

        async def on_letter(letter: Msg) -> None:
            rig.letters.append(letter)

        await nc.subscribe("dead.*", cb=on_letter)
        yield rig
        await publisher.stop()
        await nc.close()


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


# ---- the way of an observation ----------------------------------------------------------------------------------------


async def test_rules_and_a_model_decide_and_say_where_the_time_went(rig: Rig) -> None:
    game = rig.new_game()
    async with connect(rig.server.url, game=game) as mind:
        decisions = await ask_all(mind)
        for each in decisions:
            stages = {"bus", "decide"} | ({"queue", "engine"} if each.source == MODEL else set())
            assert set(each.chosen.stages_ms) == stages
            assert all(spent_ms >= 0 for spent_ms in each.chosen.stages_ms.values())
            assert each.chosen.model == ("rules_scripted" if each.source == MODEL else "")
            assert legal.problem(each.observation, each.action, each.arguments) is None
        assert mind.tally.by_source == {RULES: 6, MODEL: 6}
    await rig.until_held(0, "OBSERVATION", f"observation.*.{game}.>")


async def test_the_detail_of_a_decision_reaches_the_experience_stream(rig: Rig) -> None:
    game = rig.new_game()
    async with connect(rig.server.url, game=game) as mind:
        told = await mind.observe(
            npc="a",
            kind="combat",
            legal_actions=(WAIT, BUILD),
            state={"wood": 12},
            priority=1,
            answer_within_s=PATIENT_S,
        )
    detail = await rig.detail(game, "a")
    assert (detail.decision, detail.attempt, detail.source, detail.tier) == (told.id, 1, MODEL, "critical")
    assert detail.observation == told.observation
    assert msgspec.json.decode(detail.answer)["action"] == told.action
    assert detail.worker.startswith("inference_worker-")
    assert detail.epoch > 0
    await rig.until_held(1, "EXPERIENCE", ids.chosen_subject(game, "a"))


async def test_an_event_is_decided_too(rig: Rig) -> None:
    async with connect(rig.server.url, game=rig.new_game()) as mind:
        asking = (
            mind.event(npc="a", kind=kind, legal_actions=(WAIT,), answer_within_s=PATIENT_S)
            for kind in ("attacked", "combat", "attacked", "combat")
        )
        assert [each.source for each in await asyncio.gather(*asking)] == [RULES, MODEL, RULES, MODEL]


# ---- bad input --------------------------------------------------------------------------------------------------------


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


# ---- one action -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["economic", "combat"])
@pytest.mark.parametrize("message", [Observation, Event])
async def test_what_is_said_twice_is_done_once(rig: Rig, kind: str, message: type[Observation]) -> None:
    game = rig.new_game()
    heard: list[ActionChosen] = []

    async def on_action(msg: Msg) -> None:
        heard.append(decode(msg.data, ActionChosen))

    await rig.nc.subscribe(ids.action_subject(game, "*"), cb=on_action)
    seen = an_observation(game=game, npc="a", kind=kind, answer_within_ms=30_000)
    said = encode(message(**{name: getattr(seen, name) for name in seen.__struct_fields__}))
    is_event = message is Event
    subject = (ids.event_subject if is_event else ids.observation_subject)(game, "a", kind)
    async with rig.undisturbed("others"):
        await asyncio.gather(*(rig.say(subject, said) for _ in range(2)))
        await until(lambda: len(heard) >= 1)
        await rig.say(subject, said)
        stream = "EVENT" if is_event else "OBSERVATION"
        await rig.until_held(0, stream, f"{stream.lower()}.*.{game}.>")
    assert [action.decision for action in heard] == [seen.id]
    assert len(await rig.actions(game)) == 1


# ---- always an action -------------------------------------------------------------------------------------------------


async def test_without_a_worker_the_platform_falls_back_before_the_deadline(rig: Rig) -> None:
    game = rig.new_game()
    async with rig.undisturbed(game), connect(rig.server.url, game=f"{game}x") as mind:
        told = await mind.observe(npc="a", kind="combat", legal_actions=(WAIT, BUILD), priority=9, answer_within_s=2)
    assert (told.source, told.chosen.why) == (FALLBACK, "no engine answered in time")
    assert legal.problem(told.observation, told.action, told.arguments) is None
    assert (await rig.detail(f"{game}x", "a")).source == FALLBACK


async def test_a_full_tier_falls_back_at_once_and_blocks_no_other(rig: Rig) -> None:
    game = rig.new_game()
    async with rig.limited("INFERENCE_ROUTINE", 1), rig.undisturbed(game):
        await rig.say(ids.request_subject("routine", "rules"), b"{}")
        async with connect(rig.server.url, game=f"{game}x") as mind:
            told = await mind.observe(
                npc="a", kind="combat", legal_actions=(WAIT,), priority=9, answer_within_s=PATIENT_S
            )
    assert told.source == FALLBACK
    assert re.match(
        r"no engine could be asked: The stream of inference.request.routine.rules takes no more", told.chosen.why
    )


async def test_an_event_that_finds_its_stream_full_falls_back_at_once_and_says_why(rig: Rig) -> None:
    game = rig.new_game()
    async with rig.limited("EVENT", 1), rig.undisturbed(game), connect(rig.server.url, game=f"{game}x") as mind:
        first = asyncio.create_task(
            mind.event(npc="a", kind="combat", legal_actions=(WAIT,), priority=9, answer_within_s=3)
        )
        await rig.until_held(1, "EVENT")
        second = await mind.event(npc="b", kind="combat", legal_actions=(WAIT,), answer_within_s=PATIENT_S)
        assert second.source == CLIENT
        assert "The stream of game." in second.chosen.why
        assert "takes no more" in second.chosen.why
        assert (await first).source == FALLBACK


# ---- kills ------------------------------------------------------------------------------------------------------------


async def test_an_observation_whose_service_was_killed_is_decided_by_the_next_one_once(own_rig: Rig) -> None:
    rig = own_rig
    async with connect(rig.server.url, game="realm") as mind:
        async with rig.deciding_elsewhere() as killed:
            await rig.until_owned()
            asked = asyncio.create_task(
                mind.observe(npc="a", kind="combat", legal_actions=(WAIT, BUILD), answer_within_s=60)
            )
            await rig.until_held(1, "INFERENCE_SOCIAL")
            killed.kill()
        async with rig.deciding(), rig.inferring():
            told = await asked
            await rig.until_held(0, "OBSERVATION")
            await ask_all(mind)
    assert (told.source, told.chosen.attempt) == (MODEL, 2)
    assert [action.decision for action in await rig.actions("realm")].count(told.id) == 1
    assert (await rig.detail("realm", "a")).attempt == 2
    assert (mind.tally.doubled, mind.tally.late, mind.tally.illegal) == (0, 0, 0)


async def test_others_take_over_from_a_killed_process(own_rig: Rig) -> None:
    rig = own_rig
    decisions: list[Decision] = []
    async with rig.inferring(), rig.deciding(), connect(rig.server.url, game="realm") as mind:
        mind.on_decision = decisions.append
        async with rig.deciding_elsewhere() as killed:
            await rig.until_owned(by=2)
            playing = asyncio.create_task(play(mind))
            await until(lambda: len(decisions) > 200)
            killed.kill()
            await rig.until_owned(by=1)
        await end(playing)
        await ask_all(mind)
        await until(lambda: not mind._decided)
    tally = mind.tally
    assert tally.observations == tally.actions + tally.replaced == len({each.id for each in decisions}) + tally.replaced
    assert set(tally.by_source) <= {RULES, MODEL, FALLBACK, CLIENT}
    assert tally.illegal == 0
    recorded = [action.decision for action in await rig.actions("realm")]
    assert len(recorded) == len(set(recorded))
    by_platform = {each.id for each in decisions if each.source != CLIENT}
    assert by_platform <= set(recorded)


async def play(mind: Client) -> None:
    """Sixty NPCs ask again and again, as a game does that doesn't care who died."""
    while True:
        asking = (
            mind.observe(npc=f"p{number}", kind=("combat", "economic")[number % 2], legal_actions=(WAIT, BUILD))
            for number in range(60)
        )
        await asyncio.gather(*asking)
