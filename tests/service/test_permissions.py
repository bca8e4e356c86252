"""Who may say and hear what, on a real broker: every user tries every subject, and only what is written here passes.

The table stands here by hand, so that a mistake in what is derived from `flow.py` shows. Whoever adds a hop adds it here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nats
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from hearthmind import flow, ids
from hearthmind.bus.accounts import authorization, new_passwords, users
from hearthmind.bus.connect import Denied, close, connect, denials
from hearthmind.bus.consume import Consuming
from hearthmind.bus.provision import provision
from hearthmind.bus.publish import Publisher
from hearthmind.bus.subjects import read_any_subject
from hearthmind.client import LegalAction
from hearthmind.client import connect as connect_game
from hearthmind.contracts.outcome import CLIENT
from hearthmind.embedded.nats import EmbeddedNats, NatsConfig
from hearthmind.errors import BadId
from hearthmind.process import connected
from hearthmind.settings import Broker
from hearthmind.testing.servers import nats_server
from hearthmind.testing.serving import serving
from hearthmind.testing.waiting import until
from services.decision import app as decision_service

PROVISION, DECISION, WORKER, REWARD, PROMPTS = "provision", "decision", "inference_worker", "reward", "prompts"
REALM, CHESS = "game_realm", "game_chess"
EVERYBODY = (PROVISION, DECISION, WORKER, REWARD, PROMPTS, REALM, CHESS)
NOBODY = ""

TIERS = ("CRITICAL", "STRATEGIC", "SOCIAL", "ROUTINE")
STREAMS = (
    "OBSERVATION",
    "EVENT",
    *(f"INFERENCE_{tier}" for tier in TIERS),
    "ACTION",
    "EXPERIENCE",
    "DEAD",
    "KV_LEASES",
    "KV_REGISTRY",
    "KV_MINDS",
    "KV_ANSWERS",
    "KV_CLAIMS",
    "OBJ_ADAPTERS",
)

READERS = {
    **{f"{stream}.decision_{number}": DECISION for stream in ("OBSERVATION", "EVENT") for number in (0, 1)},
    **{f"INFERENCE_{tier}.rules": WORKER for tier in TIERS},
    "EXPERIENCE.reward": REWARD,
    "DEAD.reward": REWARD,
}
"""The durable consumers, and who reads each."""

SAYS: dict[str, str | tuple[str, ...]] = {
    "game.realm.observation.p1.combat": REALM,
    "game.realm.event.p1.raid": REALM,
    "game.realm.outcome.p1": REALM,
    "game.realm.rating.p1": REALM,
    "game.realm.action.p1": NOBODY,
    "game.realm.stored": REWARD,
    "game.chess.observation.p1.move": CHESS,
    "game.chess.event.p1.check": CHESS,
    "game.chess.outcome.p1": CHESS,
    "game.chess.rating.p1": CHESS,
    "game.chess.action.p1": NOBODY,
    "game.chess.stored": REWARD,
    "game.realm": NOBODY,
    "game.realm.else.p1": NOBODY,
    "game.realm.observation.p1": NOBODY,
    "game.realm.observation.p1.combat.more": NOBODY,
    "game.realmx.outcome.p1": NOBODY,
    **{f"inference.request.{tier.lower()}.rules": (DECISION, PROMPTS) for tier in TIERS},
    "inference.withdraw.rules": (DECISION, PROMPTS),
    "inference.adapter.social.rules.raider@1": WORKER,
    "inference.reply.0": WORKER,
    "inference.answer.somebody": WORKER,
    "mind.action.realm.p1": DECISION,
    "mind.action.chess.p1": DECISION,
    "mind.decision.realm.p1": DECISION,
    "mind.violation.realm.p1": DECISION,
    "mind.recall": DECISION,
    "mind.recalled.0": REWARD,
    "policy.check": PROMPTS,
    "policy.checked.somebody": DECISION,
    "mind.alive.decision": DECISION,
    "mind.alive.reward": NOBODY,
    "dead.OBSERVATION": DECISION,
    "dead.EVENT": DECISION,
    **{f"dead.INFERENCE_{tier}": WORKER for tier in TIERS},
    "dead.EXPERIENCE": REWARD,
    "dead.DEAD": NOBODY,
    "dead.ACTION": NOBODY,
    "observation.0.realm.p1.combat": NOBODY,
    "$KV.LEASES.0": DECISION,
    "$KV.OTHER.0": NOBODY,
    "$KV.ANSWERS.0": WORKER,
    "$JS.API.DIRECT.GET.KV_ANSWERS.$KV.ANSWERS.0": WORKER,
    "$KV.REGISTRY.0": NOBODY,
    "$JS.API.DIRECT.GET.KV_REGISTRY.$KV.REGISTRY.0": WORKER,
    "$KV.MINDS.freeze.realm.p1": DECISION,
    "$KV.MINDS.ban.realm.p1": NOBODY,
    "$JS.API.DIRECT.GET.KV_MINDS.$KV.MINDS.ban.realm.p1": DECISION,
    "$KV.CLAIMS.realm.inn.word": DECISION,
    "$KV.CLAIMS.realm.inn": NOBODY,
    "$JS.API.DIRECT.GET.KV_CLAIMS.$KV.CLAIMS.realm.inn.word": DECISION,
    "$O.ADAPTERS.C.0": NOBODY,
    "$O.ADAPTERS.M.0": NOBODY,
    "$JS.API.DIRECT.GET.OBJ_ADAPTERS.$O.ADAPTERS.M.0": WORKER,
    "$JS.API.DIRECT.GET.KV_LEASES.$KV.LEASES.0": DECISION,
    "$JS.API.DIRECT.GET.ACTION.mind.action.chess.p1": NOBODY,
    **{f"$JS.API.CONSUMER.MSG.NEXT.{consumer}": reader for consumer, reader in READERS.items()},
    **{f"$JS.API.CONSUMER.INFO.{consumer}": reader for consumer, reader in READERS.items()},
    **{f"$JS.ACK.{consumer}.1.1.1.1.0": reader for consumer, reader in READERS.items()},
    "$JS.ACK.ACTION.reward.1.1.1.1.0": NOBODY,
    "$JS.ACK.EXPERIENCE.other.1.1.1.1.0": NOBODY,
    "$JS.API.CONSUMER.MSG.NEXT.ACTION.mine": NOBODY,
    **{
        f"$JS.API.CONSUMER.{deed}.{consumer}": NOBODY
        for deed in ("CREATE", "DURABLE.CREATE", "DELETE", "PAUSE", "UNPIN", "RESET", "LEADER.STEPDOWN")
        for consumer in (*READERS, "ACTION.mine")
    },
    **{
        f"$JS.API.{deed}.{stream}": NOBODY
        for stream in STREAMS
        for deed in (
            *(f"STREAM.{deed}" for deed in ("CREATE", "UPDATE", "DELETE", "PURGE", "INFO", "MSG.GET", "MSG.DELETE")),
            *("STREAM.SNAPSHOT", "STREAM.RESTORE", "STREAM.PEER.REMOVE", "STREAM.LEADER.STEPDOWN", "DIRECT.GET"),
            *("CONSUMER.CREATE", "CONSUMER.LIST", "CONSUMER.NAMES"),
        )
    },
    **dict.fromkeys(("$JS.API.DIRECT.GET.KV_REGISTRY", "$JS.API.DIRECT.GET.OBJ_ADAPTERS"), WORKER),
    "$JS.API.DIRECT.GET.KV_MINDS": DECISION,
    "$JS.API.CONSUMER.INFO.INFERENCE_ROUTINE.rules": (WORKER, PROMPTS),
    **dict.fromkeys(
        ("$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.CREATE.NEW"), NOBODY
    ),
    **dict.fromkeys(("$JS.API.META.LEADER.STEPDOWN", "$JS.API.SERVER.REMOVE", "$JS.FC.ACTION.x.y", "$JSC.R.x"), NOBODY),
    **dict.fromkeys(("$JS.EVENT.ADVISORY.STREAM.DELETED.ACTION", "$SYS.REQ.SERVER.PING", "$SYS.REQ.USER.INFO"), NOBODY),
    **dict.fromkeys(("$SYS.ACCOUNT.platform.DISCONNECT", "$SYS.REQ.ACCOUNT.platform.JSZ", "hello", "_INBOX.x"), NOBODY),
    **dict.fromkeys((f"_INBOX_{user}.x" for user in EVERYBODY), NOBODY),
    f"_INBOX_{WORKER}.x": WORKER,
}
"""Who may publish there; the provisioning job may everywhere."""

HEARS: dict[str, str | tuple[str, ...]] = {
    "inference.reply.0": DECISION,
    "inference.reply.*": DECISION,
    "inference.answer.somebody": PROMPTS,
    "inference.answer.*": PROMPTS,
    "inference.withdraw.rules": WORKER,
    "inference.adapter.social.rules.raider@1": WORKER,
    "$KV.REGISTRY.>": WORKER,
    "$KV.MINDS.>": NOBODY,
    "$KV.MINDS.ban.>": DECISION,
    "mind.alive.decision": DECISION,
    "mind.recall": REWARD,
    "mind.recalled.*": DECISION,
    "policy.check": DECISION,
    "policy.checked.somebody": PROMPTS,
    "game.*.outcome.*": DECISION,
    "game.realm.action.*": REALM,
    "game.realm.action.p1": REALM,
    "game.realm.stored": (REALM, DECISION),
    "game.chess.action.*": CHESS,
    "game.chess.stored": (CHESS, DECISION),
    "game.*.stored": DECISION,
    **{f"_INBOX_{user}.>": user for user in EVERYBODY},
    **dict.fromkeys((">", "*.>", "game.>", "game.*.action.*", "game.realm.>", "game.realm.*"), NOBODY),
    **dict.fromkeys((f"game.{game}.observation.*.*" for game in ("realm", "chess", "*")), NOBODY),
    **dict.fromkeys((f"game.{game}.event.*.*" for game in ("realm", "chess")), NOBODY),
    **dict.fromkeys((f"game.{game}.outcome.*" for game in ("realm", "chess")), DECISION),
    **dict.fromkeys((f"game.{game}.rating.*" for game in ("realm", "chess")), NOBODY),
    **dict.fromkeys(
        ("mind.>", "mind.action.*.*", "mind.decision.*.*", "mind.violation.*.*", "mind.alive.*", "inference.>"), NOBODY
    ),
    **dict.fromkeys(("inference.request.critical.rules", "inference.request.*.*", "dead.*", "dead.EXPERIENCE"), NOBODY),
    **dict.fromkeys(("$KV.>", "$KV.LEASES.*", "$JS.>", "$JS.API.>", "$JS.ACK.>", "$JS.EVENT.>", "$SYS.>"), NOBODY),
    **dict.fromkeys(("$JS.API.STREAM.DELETE.*", "$JSC.R.>", "_INBOX.>", "_R_.>", "observation.>", "event.>"), NOBODY),
}
"""Who may subscribe there."""

HARMLESS = b"!"
"""No request of the broker's own begins like this: what is allowed does nothing either."""


@dataclass
class Rig:
    """A broker with the users of two games and of every service."""

    server: EmbeddedNats
    passwords: dict[str, str]
    folder: Path

    @asynccontextmanager
    async def as_user(self, user: str) -> AsyncIterator[tuple[Nats, list[str]]]:
        """A connection of a user, and what the broker denies it."""
        denied: list[str] = []

        async def on_error(error: Exception) -> None:
            denied.append(str(error))

        read_any_subject()
        nc = await nats.connect(
            self.server.url,
            user=user,
            password=self.passwords[user],
            inbox_prefix=f"_INBOX_{user}",
            error_cb=on_error,
            allow_reconnect=False,
            skip_subject_validation=True,
        )
        try:
            yield nc, denied
        finally:
            await nc.close()

    def settings(self, user: str) -> Broker:
        return Broker(url=self.server.url, user=user, password=self.passwords[user])


@pytest.fixture(scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    games = ("realm", "chess")
    passwords = new_passwords(games)
    config = NatsConfig(sync_interval="1m", authorization=authorization(games, passwords))
    folder = tmp_path_factory.mktemp("permissions")
    async with nats_server(folder / "nats", config) as server:
        made = Rig(server, passwords, folder)
        async with made.as_user(PROVISION) as (nc, _):
            await provision(nc, partitions=2)
        yield made


# ---- everybody tries everything ----------------------------------------------------------------------------------------


def denial(deed: str, subject: str) -> str:
    """As nats-py reads it, in lower case."""
    return f'nats: permissions violation for {deed} to "{subject.lower()}"'


def forbidden(table: Mapping[str, str | tuple[str, ...]], user: str) -> set[str]:
    return {
        subject for subject, who in table.items() if user not in (PROVISION, *((who,) if isinstance(who, str) else who))
    }


async def heard_out(nc: Nats) -> None:
    """Waits until the broker has answered all that was sent, in order. nats-py pings before it sends what it has gathered."""
    await nc.flush(60)
    await nc.flush(60)


async def messages_of(nc: Nats) -> dict[str, tuple[int, int]]:
    """Of each stream the first and the last sequence."""
    infos = await nc.jetstream().streams_info()
    return {str(info.config.name): (info.state.first_seq, info.state.last_seq) for info in infos}


def test_the_table_knows_every_user_stream_hop_and_consumer() -> None:
    assert set(users(("realm", "chess"))) == set(EVERYBODY)
    assert set(STREAMS) == {stream.name for stream in flow.STREAMS} | set(flow.BUCKETS)
    made = {f"{each.stream}.{each.name}" for name in flow.SERVICES for each in flow.consumers_of(name, 2, ("rules",))}
    assert set(READERS) == made
    for hop in flow.HOPS:
        first = hop.subject.split("<")[0]
        assert any(subject.startswith(first) for subject in SAYS), hop
        assert any(subject.startswith(first) for subject in HEARS), hop


@pytest.mark.parametrize("user", EVERYBODY)
async def test_a_user_may_say_what_the_table_says_and_nothing_else(rig: Rig, user: str) -> None:
    async with rig.as_user(user) as (nc, denied):
        for subject in SAYS:
            await nc.publish(subject, HARMLESS)
        await heard_out(nc)
        assert set(denied) == {denial("publish", subject) for subject in forbidden(SAYS, user)}
    async with rig.as_user(PROVISION) as (nc, _):
        assert set(await messages_of(nc)) == set(STREAMS)
        made = [len(await nc.jetstream().consumers_info(stream)) for stream in ("OBSERVATION", "EXPERIENCE")]
        assert made == [2, 1]


@pytest.mark.parametrize("user", EVERYBODY)
async def test_a_user_may_hear_what_the_table_says_and_nothing_else(rig: Rig, user: str) -> None:
    async with rig.as_user(user) as (nc, denied):
        for subject in HEARS:
            await nc.subscribe(subject)
            await nc.subscribe(subject, queue="together")
        await heard_out(nc)
        alone = {denial("subscription", subject) for subject in forbidden(HEARS, user)}
        assert set(denied) == alone | {f'{each} using queue "together"' for each in alone}


# ---- games apart -------------------------------------------------------------------------------------------------------


@dataclass
class Ears:
    """What others hear while a game says what it likes."""

    platform: list[str] = field(default_factory=list)
    chess: list[str] = field(default_factory=list)


@asynccontextmanager
async def listening(rig: Rig) -> AsyncIterator[tuple[Ears, Nats]]:
    """Everything of the platform's account, and what the other game may hear."""
    ears = Ears()

    async def on_platform(msg: Msg) -> None:
        ears.platform.append(msg.subject)

    async def on_chess(msg: Msg) -> None:
        ears.chess.append(msg.subject)

    async with AsyncExitStack() as stack:
        admin, _ = await stack.enter_async_context(rig.as_user(PROVISION))
        chess, _ = await stack.enter_async_context(rig.as_user(CHESS))
        await admin.subscribe(">", cb=on_platform, pending_msgs_limit=-1, pending_bytes_limit=-1)
        for subject in ("game.chess.action.*", "game.chess.stored", f"_INBOX_{CHESS}.>"):
            await chess.subscribe(subject, cb=on_chess)
        await heard_out(admin)
        await heard_out(chess)
        yield ears, admin
        await heard_out(chess)
        assert admin.is_connected
        assert chess.is_connected


ELSEWHERE = [
    *("$JS.API.STREAM.PURGE.EXPERIENCE", "$JS.API.STREAM.DELETE.ACTION", "$JS.API.CONSUMER.DELETE.EXPERIENCE.reward"),
    *("$KV.LEASES.0", "mind.action.chess.p1", "mind.decision.chess.p1", "game.chess.action.p1", "game.chess.stored"),
    *("game.chess.outcome.p1", "game.chess.event.p1.check", "inference.reply.0", "inference.request.critical.rules"),
    *("dead.OBSERVATION", "mind.alive.decision", f"_INBOX_{CHESS}.pub.1", "_INBOX_decision.pub.1", "$SYS.REQ.x"),
]


async def test_the_broker_writes_nowhere_for_a_game_that_names_another_reply(rig: Rig) -> None:
    """The acknowledgement of a stored message goes to its reply subject, without any permission asked."""
    own = ("game.realm.observation.p1.combat", "game.realm.event.p1.raid", "game.realm.outcome.p1")
    async with listening(rig) as (ears, admin), rig.as_user(REALM) as (nc, _):
        before = await messages_of(admin)
        for subject in own:
            for reply in ELSEWHERE:
                await nc.publish(subject, HARMLESS, reply)
        last = nc.new_inbox()
        answered = await nc.subscribe(last)
        await nc.publish(own[0], HARMLESS, last)
        await answered.next_msg(timeout=60)  # those before it have been answered too
        await until(lambda: ears.platform.count(own[0]) == len(ELSEWHERE) + 1)
        after = await messages_of(admin)
        await heard_out(admin)
    assert not set(ears.platform) & set(ELSEWHERE)
    assert ears.chess == []
    untouched = {"ACTION", "DEAD", "KV_LEASES", *(f"INFERENCE_{tier}" for tier in TIERS)}
    assert {name: after[name] for name in untouched} == {name: before[name] for name in untouched}
    assert after["EXPERIENCE"][0] <= max(before["EXPERIENCE"][0], 1)  # an empty one begins at 0: nothing was purged


NASTY = (
    "",
    ".",
    "..",
    "*",
    ">",
    "$",
    "$JS",
    "\0",
    "\x7f",
    "\u2028",
    "\u00a0",
    "é",
    "猫",
    "😀",
    "%s",
    "{0}",
    "'",
    '"',
    "\\",
)
WORDS = (
    *("game", "realm", "chess", "observation", "event", "outcome", "action", "stored", "p1", "combat", "mind", "dead"),
    *("API", "STREAM", "DELETE", "ACTION", "KV", "LEASES", "_INBOX_game_chess", "ACK", "REALM", "a" * 64, "a" * 1_000),
)
HEADERS = (
    *(
        "Nats-Msg-Id",
        "Nats-Expected-Stream",
        "Nats-Expected-Last-Sequence",
        "Nats-Rollup",
        "Nats-TTL",
        "Nats-Trace-Dest",
    ),
    *("Nats-Schedule", "Nats-Schedule-Target", "Nats-Incr", "Nats-Batch-Id", "Nats-Required-Api-Level", "Status"),
    *("Hearthmind-Deadline", "Hearthmind-Subject", "traceparent", "Nats-Expected-Last-Subject-Sequence"),
)
SAID = (
    "all",
    "sub",
    "1",
    "-1",
    "9" * 40,
    "mind.action.chess.p1",
    "$KV.LEASES.0",
    "chess/p1/d1",
    "é",
    "\0",
    "",
    "@at now",
)


def hostile(seed: int, number: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Subjects that a game may make up, half of them in the shape of its own, with headers to match."""
    chance = random.Random(seed)
    shapes = ("game.realm.observation.{}.{}", "game.realm.event.{}.{}", "game.realm.outcome.{}", "game.{}.outcome.{}")
    for _ in range(number):
        parts = ["".join(chance.choices(NASTY + WORDS, k=chance.randint(1, 3))) for _ in range(5)]
        made = chance.choice(shapes).format(*parts) if chance.random() < 0.5 else ".".join(parts)
        subject = made[:1_500] or "-"
        yield subject, {chance.choice(HEADERS): chance.choice(SAID) for _ in range(chance.randint(0, 3))}


async def test_ten_thousand_hostile_messages_reach_nobody_else_and_end_no_connection(rig: Rig) -> None:
    environment = {
        "NATS_URL": rig.server.url,
        "HEARTHMIND_BROKER__USER": DECISION,
        "HEARTHMIND_BROKER__PASSWORD": rig.passwords[DECISION],
        "HEARTHMIND_FLOW__PARTITIONS": "2",
    }
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serving(decision_service.serve, rig.folder, **environment))
        chess = await stack.enter_async_context(
            connect_game(rig.server.url, game="chess", user=CHESS, password=rig.passwords[CHESS])
        )
        ears, admin = await stack.enter_async_context(listening(rig))
        nc, _ = await stack.enter_async_context(rig.as_user(REALM))
        before = await messages_of(admin)
        for subject, headers in hostile(seed=4, number=10_000):
            await nc.publish(subject, HARMLESS, headers=headers or None)
        await heard_out(nc)
        assert nc.is_connected

        async def decided() -> bool:
            legal = [LegalAction(name="wait")]
            return (await chess.observe(npc="p1", kind="move", legal_actions=legal)).source != CLIENT

        await until(decided)  # by the service that had to read all of it
        await heard_out(admin)
        after = await messages_of(admin)
    games = {subject.split(".")[1] for subject in ears.platform if subject.startswith("game.")}
    assert games == {"realm", "chess"}
    said = [subject for subject in ears.platform if subject.startswith("game.realm.")]
    assert len(said) > 1_000
    assert {subject.split(".")[2] for subject in said} <= {"observation", "event", "outcome"}
    chess_heard = {subject.split(".")[2] for subject in ears.chess if subject.startswith("game.chess.")}
    assert chess_heard <= {"action"}
    assert not [subject for subject in ears.platform if subject.startswith(("$KV.OTHER", "$JS.API.STREAM.DELETE"))]
    assert all(after[name][0] <= max(before[name][0], 1) for name in ("ACTION", "EXPERIENCE", "DEAD"))


@settings(max_examples=200)
@given(st.lists(st.tuples(*(st.text(max_size=8) | st.sampled_from(WORDS),) * 3), min_size=2, max_size=20))
def test_ids_that_pass_make_subjects_that_never_meet(made_up: list[tuple[str, str, str]]) -> None:
    passed = {words for words in made_up if all(_passes(word) for word in words)}
    for make in (ids.observation_subject, ids.event_subject, ids.message_id):
        made = {make(*words) for words in passed}
        assert len(made) == len(passed)
    for game, npc, kind in passed:
        assert ids.observation_subject(game, npc, kind).split(".") == ["game", game, "observation", npc, kind]


def test_ten_thousand_hostile_ids_are_refused_or_are_one_token() -> None:
    refused = 0
    for subject, _ in hostile(seed=5, number=10_000):
        if _passes(subject):
            assert subject.isascii()
            assert not set(subject) & set(".*>$ \t\r\n\0/")
        else:
            refused += 1
    assert refused > 5_000


def _passes(word: str) -> bool:
    try:
        return ids.check_id("npc", word) == word
    except BadId:
        return False


# ---- denials are named -------------------------------------------------------------------------------------------------


async def test_a_denied_publish_says_so_at_once(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    nc = await connect(rig.settings(REALM), "test")
    publisher = await Publisher(nc).start()
    before = denials.total()
    patient_s = 60.0
    publishing = [
        asyncio.ensure_future(publisher.publish(f"game.Chess.outcome.{npc}", b"{}", npc, give_up_after_s=patient_s))
        for npc in ("told1", "told2", "told2")
    ]
    own = await publisher.publish("game.realm.outcome.p1", b"{}", "own")
    results = await asyncio.gather(*publishing, return_exceptions=True)
    assert own.stream == "EXPERIENCE"
    assert [type(result) for result in results] == [Denied] * 3
    assert str(results[0]) == (
        "The broker denies 'game_realm' the permission to publish to game.Chess.outcome.told1. "
        "flow.py says what each user may do."
    )
    assert denials.total() == before + 3
    assert publisher.under_way == 0
    told = [record.message for record in caplog.records if "denied game_realm the permission" in record.message]
    assert len(told) == 2
    assert "publish of game.chess.outcome.told1" in told[0]
    await publisher.stop()
    await close(nc)


async def test_a_denied_request_says_so_at_once_and_others_are_answered(rig: Rig) -> None:
    nc = await connect(rig.settings(DECISION), "test")
    patient_s = 60.0
    subject = "$JS.API.STREAM.INFO.ACTION"
    asking = [
        nc.request("$JS.API.CONSUMER.INFO.OBSERVATION.decision_0", b"", timeout=patient_s),
        nc.request(subject, b"", timeout=patient_s),
        nc.jetstream(timeout=patient_s).stream_info("ACTION"),
    ]
    own, *denied = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(own, Msg)
    assert [type(each) for each in denied] == [Denied] * 2
    assert "'decision'" in str(denied[0])
    assert subject in str(denied[0])
    assert not nc._asked
    await close(nc)


async def test_whoever_is_denied_a_pull_is_not_ready(rig: Rig) -> None:
    nc = await connect(rig.settings(REWARD), "test")
    publisher = await Publisher(nc).start()
    consuming = Consuming(nc, publisher)
    need = connected(nc)
    await consuming.add("EXPERIENCE", "reward", lambda _: None, 5)
    await heard_out(nc)
    assert need.away() == ""
    await consuming.add("EVENT", "decision_0", lambda _: None, 5)
    await until(lambda: need.away() == "the broker denies it to pull from event.decision_0")
    assert need.gone() == ""
    await consuming.stop()
    await publisher.stop()
    await close(nc)


def test_no_two_subjects_of_the_table_are_the_same_to_whoever_reads_denials() -> None:
    for table in (SAYS, HEARS):
        assert len({subject.lower() for subject in table}) == len(table)
