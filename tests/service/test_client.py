"""The client on a real NATS: one legal action in time, whatever is away; no outcome forgotten; mistakes named at the edge."""

from __future__ import annotations

import asyncio
import math
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from hearthmind import client, ids, legal, outbox
from hearthmind.bus.accounts import authorization, new_passwords
from hearthmind.bus.connect import denials
from hearthmind.bus.provision import provision
from hearthmind.bus.wire import MESSAGE_BYTES_MAX, OBSERVATION_BYTES_MAX, decode, encode
from hearthmind.client import (
    AskedTwice,
    Choice,
    Client,
    Decision,
    LegalAction,
    ReplacedByNewer,
    ReportedTwice,
    Whole,
    connect,
)
from hearthmind.contracts.action import RULES, ActionChosen
from hearthmind.contracts.observation import Observation
from hearthmind.contracts.outcome import CLIENT, PLATFORM, OutcomeObserved, OutcomesStored
from hearthmind.embedded.nats import EmbeddedNats, NatsConfig
from hearthmind.embedded.processes import Supervisor
from hearthmind.errors import BadId, CannotStart, HearthmindError, Malformed, TooLarge, WrongCredentials
from hearthmind.journal import Journal
from hearthmind.persona import Persona
from hearthmind.testing.observations import BUILD, WAIT, an_observation
from hearthmind.testing.servers import nats_server, provisioned
from hearthmind.testing.serving import serving
from hearthmind.testing.waiting import until
from services.decision import app as decision_service

PATIENT_S = 30.0
SOON_S = 0.1


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedNats]:
    """A broker with all streams and nothing behind it; each test is a game."""
    async with nats_server(tmp_path_factory.mktemp("nats")) as server, provisioned(server.url, partitions=2):
        yield server


@pytest.fixture
async def nc(server: EmbeddedNats) -> AsyncIterator[Nats]:
    """Somebody who may say and hear everything."""
    nc = await nats.connect(server.url)
    yield nc
    await nc.close()


@pytest.fixture
def game() -> str:
    return f"game{secrets.token_hex(4)}"


@pytest.fixture
async def mind(server: EmbeddedNats, game: str) -> AsyncIterator[Client]:
    async with connect(server.url, game=game) as mind:
        yield mind


async def listen(nc: Nats, subject: str) -> list[Msg]:
    """What is said on a subject from now on."""
    heard: list[Msg] = []

    async def on_message(message: Msg) -> None:
        heard.append(message)

    await nc.subscribe(subject, cb=on_message)
    for _ in range(2):  # the first flush may overtake the subscription
        await nc.flush()
    return heard


def an_action(observation: Observation, **changes: object) -> ActionChosen:
    fields: dict[str, object] = {
        "decision": observation.id,
        "game": observation.game,
        "npc": observation.npc,
        "kind": observation.kind,
        "snapshot": observation.snapshot,
        "action": "build",
        "arguments": {"what": "farm", "levels": 2},
        "source": RULES,
    }
    return ActionChosen(**{**fields, **changes})  # type: ignore[arg-type]


async def say(nc: Nats, *actions: ActionChosen | bytes, game: str, npc: str = "a") -> None:
    """Speaks to the game as the platform does."""
    for action in actions:
        data = action if isinstance(action, bytes) else encode(action)
        await nc.publish(ids.action_subject(game, npc), data)
    await nc.flush()


def seen_by(mind: Client, npc: str = "a", **more: Any) -> Observation:
    fields = {"kind": "combat", "legal_actions": (WAIT, BUILD), "answer_within_s": PATIENT_S, **more}
    return mind.observation(npc=npc, **fields)


def assert_fallback(told: Decision, why: str) -> None:
    assert told.source == CLIENT
    assert why in told.chosen.why
    assert legal.problem(told.observation, told.action, told.arguments) is None


# ---- always a legal action --------------------------------------------------------------------------------------------


async def test_with_nothing_behind_the_bus_it_falls_back_in_time_and_says_why(mind: Client) -> None:
    asking = (
        mind.observe(npc=f"n{number}", kind="combat", legal_actions=(WAIT, BUILD), answer_within_s=SOON_S)
        for number in range(100)
    )
    async with asyncio.timeout(20):
        for told in await asyncio.gather(*asking):
            assert_fallback(told, "the platform did not answer in time")
    assert (mind.tally.observations, mind.tally.by_source) == (100, {CLIENT: 100})


async def test_without_any_stream_it_falls_back_as_well(broker: EmbeddedNats) -> None:
    async with connect(broker.url, game="nowhere") as mind, asyncio.timeout(20):
        told = await mind.observe(npc="a", kind="combat", legal_actions=(WAIT,), answer_within_s=SOON_S)
        assert_fallback(told, "")


async def test_who_still_waits_when_the_game_leaves_is_answered(server: EmbeddedNats, game: str) -> None:
    async with connect(server.url, game=game) as mind:
        asked = asyncio.create_task(mind.ask(seen_by(mind, answer_within_s=0.5)))
        await until(lambda: mind.tally.observations == 1)
    async with asyncio.timeout(20):
        assert_fallback(await asked, "did not answer in time")


async def test_it_goes_on_by_itself_after_the_broker_was_killed(folder: Path) -> None:
    server = EmbeddedNats(folder / "nats", NatsConfig(sync_interval="1m"))

    async def make_streams() -> None:
        async with provisioned(server.url, partitions=2):
            pass

    command = replace(server.command(), after_start=make_streams)
    environment = {"NATS_URL": server.url, "HEARTHMIND_FLOW__PARTITIONS": "2"}
    sources: list[str] = []
    async with (
        Supervisor([command], folder / "supervisor") as supervisor,
        serving(decision_service.serve, folder, **environment),
        connect(server.url, game="realm") as mind,
    ):
        playing = asyncio.create_task(play(mind, sources))
        await until(lambda: RULES in sources)
        pid = supervisor.pid("nats")
        assert pid
        os.kill(pid, signal.SIGKILL)
        await until(lambda: sources[-1] == CLIENT)
        await supervisor.wait_ready("nats", other_than=pid)
        await until(lambda: sources[-1] == RULES, within_s=40)
        playing.cancel()
        with suppress(asyncio.CancelledError):
            await playing
        assert mind.tally.illegal == mind.tally.doubled == 0
        reported = [entry.id for entry in mind.journal.pending()]
        assert mind.outcomes == len(reported)
        nc = await nats.connect(server.url)
        await confirm(nc, "realm", *reported)
        assert await mind.wait_stored(PATIENT_S)
        await nc.close()


async def test_without_a_broker_nobody_waits_after_a_while(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "AWAY_S", 0.0)
    server = EmbeddedNats(folder / "nats", NatsConfig())
    async with (
        Supervisor([server.command()], folder / "supervisor") as supervisor,
        connect(server.url, game="realm") as mind,
    ):
        await supervisor.stop()
        await until(lambda: not mind._nc.is_connected)
        async with asyncio.timeout(PATIENT_S / 2):
            assert_fallback(await mind.ask(seen_by(mind)), "the broker is away")


async def play(mind: Client, sources: list[str]) -> None:
    while True:
        told = await mind.observe(npc="a", kind="economic", legal_actions=(WAIT, BUILD), answer_within_s=0.5)
        assert legal.problem(told.observation, told.action, told.arguments) is None
        sources.append(told.source)
        await mind.report(told, success=True)


# ---- the last referee -------------------------------------------------------------------------------------------------


async def test_the_platform_s_action_is_what_the_game_gets(mind: Client, nc: Nats, game: str) -> None:
    observed = await listen(nc, f"game.{game}.observation.*.*")
    seen = seen_by(mind, state={"wood": 12}, snapshot=7)
    asked = asyncio.create_task(mind.ask(seen))
    await until(lambda: len(observed) == 1)
    assert decode(observed[0].data, Observation) == seen
    await say(nc, an_action(seen, speech="Timber!"), game=game)
    told = await asked
    assert (told.id, told.source, told.action, told.speech) == (seen.id, RULES, "build", "Timber!")
    assert told.arguments == {"what": "farm", "levels": 2}


async def test_what_can_t_be_read_and_what_answers_another_one_changes_nothing(
    mind: Client, nc: Nats, game: str
) -> None:
    seen = seen_by(mind)
    asked = asyncio.create_task(mind.ask(seen))
    await until(lambda: mind.tally.observations == 1)
    other = an_action(an_observation(game=game, npc="a"))
    future = encode(an_action(seen)).replace(b'"v":1', b'"v":9')
    await say(nc, b"", b"\xff", b"{}", encode(an_observation()), future, other, other, game=game)
    await say(nc, an_action(seen), game=game)
    told = await asked
    assert (told.id, told.source) == (seen.id, RULES)
    assert (mind.tally.actions, mind.tally.doubled, mind.tally.late, mind.tally.illegal) == (1, 0, 0, 0)


async def test_a_second_action_and_a_late_one_are_counted_and_not_done(mind: Client, nc: Nats, game: str) -> None:
    decisions: list[Decision] = []
    mind.on_decision = decisions.append
    seen = seen_by(mind)
    asked = asyncio.create_task(mind.ask(seen))
    await until(lambda: mind.tally.observations == 1)
    await say(nc, an_action(seen), an_action(seen, action="wait", arguments={}), game=game)
    assert (await asked).action == "build"
    await until(lambda: mind.tally.doubled == 1)
    late = seen_by(mind, answer_within_s=SOON_S)
    assert_fallback(await mind.ask(late), "in time")
    await say(nc, an_action(late), game=game)
    await until(lambda: mind.tally.late == 1)
    assert [each.id for each in decisions] == [seen.id, late.id]


ILLEGAL: dict[str, tuple[dict[str, object], str]] = {
    "no such action": ({"action": "burn", "arguments": {}}, "'burn' is not among the legal actions"),
    "out of bounds": ({"arguments": {"what": "farm", "levels": 4}}, "4 is not between 1 and 3"),
    "no such parameter": ({"arguments": {"what": "farm", "levels": 1, "x": 1}}, "no parameter 'x'"),
    "an older snapshot": ({"snapshot": 3}, "it answers snapshot 3, not 7"),
}


@pytest.mark.parametrize("name", ILLEGAL)
async def test_an_illegal_action_is_never_done(mind: Client, nc: Nats, game: str, name: str) -> None:
    changes, why = ILLEGAL[name]
    seen = seen_by(mind, snapshot=7)
    asked = asyncio.create_task(mind.ask(seen))
    await until(lambda: mind.tally.observations == 1)
    await say(nc, an_action(seen, **changes), game=game)
    assert_fallback(await asked, why)
    assert mind.tally.illegal == 1


async def test_a_newer_observation_replaces_an_older_one_of_its_kind(mind: Client, nc: Nats, game: str) -> None:
    old, new = seen_by(mind, snapshot=1), seen_by(mind, snapshot=2)
    first = asyncio.create_task(mind.ask(old))
    await until(lambda: mind.tally.observations == 1)
    second = asyncio.create_task(mind.ask(new))
    with pytest.raises(ReplacedByNewer, match=f"{old.id} of a was replaced"):
        await first
    await say(nc, an_action(old), an_action(new), game=game)
    assert (await second).id == new.id
    assert (mind.tally.observations, mind.tally.actions, mind.tally.replaced) == (2, 1, 1)


async def test_what_was_sent_comes_out_of_the_stream_of_decisions(mind: Client, nc: Nats, game: str) -> None:
    seen = {each.id: each for each in (seen_by(mind, npc=npc) for npc in "abc")}
    for each in seen.values():
        assert await mind.send(each) == each.id
    old = seen_by(mind, npc="d")
    await mind.send(old)
    new = seen_by(mind, npc="d")
    await mind.send(new)
    for each in (*seen.values(), old, new):
        await say(nc, an_action(each), game=game, npc=each.npc)
    decisions = mind.decisions()
    async with asyncio.timeout(20):
        told = [await anext(decisions) for _ in range(4)]
    assert [each.id for each in told] == [*seen, new.id]
    assert {each.source for each in told} == {RULES}


async def test_a_view_that_fails_costs_nobody_its_action(mind: Client, caplog: pytest.LogCaptureFixture) -> None:
    def fail(told: Decision) -> None:
        raise ZeroDivisionError(told.id)

    mind.on_decision = fail
    asking = (mind.ask(seen_by(mind, npc=npc, answer_within_s=SOON_S)) for npc in "abc")
    async with asyncio.timeout(20):
        assert len(await asyncio.gather(*asking)) == 3
    assert caplog.text.count("on_decision failed") == 3


async def test_personas_that_fail_cost_nobody_its_action(
    server: EmbeddedNats, game: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(observation: Observation) -> Persona:
        raise RuntimeError("the personas are on strike")

    async with connect(server.url, game=game, persona_of=fail) as mind, asyncio.timeout(20):
        told = await mind.ask(seen_by(mind, answer_within_s=SOON_S))
    assert_fallback(told, "in time")
    assert told.chosen.persona == ""
    assert "persona_of failed" in caplog.text


# ---- mistakes at the edge ---------------------------------------------------------------------------------------------

Ask = Callable[[Client], Any]


def observe(**changes: Any) -> Ask:
    fields: dict[str, Any] = {"npc": "a", "kind": "combat", "legal_actions": (WAIT,), **changes}
    return lambda mind: mind.observe(**fields)


MISTAKES: dict[str, tuple[Ask, type[HearthmindError], str]] = {
    "an NPC with a dot": (observe(npc="a.b"), BadId, "'a.b' is not a valid npc: use 1 to 64 letters"),
    "an NPC for all": (observe(npc="*"), BadId, "'\\*' is not a valid npc"),
    "no NPC": (observe(npc=""), BadId, "'' is not a valid npc"),
    "an NPC in other letters": (observe(npc="ü"), BadId, "'ü' is not a valid npc"),
    "an NPC with a line end": (observe(npc="a\n"), BadId, "is not a valid npc"),
    "a kind with a blank": (observe(kind="to arms"), BadId, "'to arms' is not a valid kind"),
    "an episode too long": (observe(episode="e" * 65), BadId, "is not a valid episode"),
    "no legal actions": (observe(legal_actions=()), Malformed, "length >= 1 .*legal_actions"),
    "two of a name": (observe(legal_actions=(WAIT, WAIT)), Malformed, "two legal actions have the same name"),
    "an action that is no id": (observe(legal_actions=(LegalAction(name="to arms"),)), Malformed, "regex"),
    "a choice of nothing": (
        observe(legal_actions=(LegalAction(name="a", parameters={"x": Choice(enum=())}),)),
        Malformed,
        "length >= 1 .*enum",
    ),
    "a bound too large to be read everywhere": (
        observe(legal_actions=(LegalAction(name="a", parameters={"x": Whole(minimum=0, maximum=2**60)}),)),
        Malformed,
        "maximum",
    ),
    "no time": (observe(answer_within_s=0), Malformed, ">= 1 .*answer_within_ms"),
    "all the time": (observe(answer_within_s=math.inf), Malformed, "infinity"),
    "a time that is none": (observe(answer_within_s=math.nan), Malformed, "NaN"),
    "NaN in the state": (observe(state={"army": [{"hp": math.nan}]}), Malformed, r"\$\.army\[0\]\.hp is nan"),
    "infinity in the state": (
        observe(state={"gold": -math.inf}),
        Malformed,
        r"\$\.gold is -inf: numbers must be finite",
    ),
    "NaN as the game's time": (observe(game_time=math.nan), Malformed, "game_time"),
    "NaN as an appeal": (observe(legal_actions=(LegalAction(name="a", appeal=math.nan),)), Malformed, "appeal"),
    "a state that is no JSON": (observe(state={"world": object()}), Malformed, "object"),
    "half a character": (observe(state={"name": "\ud800"}), Malformed, "surrogates"),
    "a priority that does not exist": (observe(priority=11), Malformed, "priority"),
    "a snapshot before the first": (observe(snapshot=-1), Malformed, "snapshot"),
    "too much state": (
        observe(state={"map": "x" * OBSERVATION_BYTES_MAX}),
        TooLarge,
        "The Observation of .* bytes is over the limit of 131072. Send less state",
    ),
    "more than the broker takes": (observe(state={"map": "x" * 2_000_000}), TooLarge, "over the limit of"),
    "another game's": (lambda mind: mind.ask(an_observation(game="chess")), Malformed, "it is of the game chess"),
    "an id that is none": (lambda mind: mind.ask(an_observation(game=mind.game, id="a b")), Malformed, r"\$\.id"),
}


@pytest.mark.parametrize("name", MISTAKES)
async def test_a_mistake_is_named_where_it_was_made_and_nothing_is_sent(
    mind: Client, nc: Nats, game: str, name: str
) -> None:
    ask, error, words = MISTAKES[name]
    said = await listen(nc, f"game.{game}.>")
    with pytest.raises(error, match=words):
        await ask(mind)
    good = seen_by(mind, answer_within_s=SOON_S)
    await mind.ask(good)
    await until(lambda: bool(said))
    assert [decode(message.data, Observation).id for message in said] == [good.id]
    assert mind.tally.observations == 1


async def test_a_game_that_is_no_id_does_not_connect(server: EmbeddedNats) -> None:
    with pytest.raises(BadId, match=r"'my\.game' is not a valid game"):
        async with connect(server.url, game="my.game"):
            pytest.fail("it connected")


async def test_an_observation_is_asked_once_at_a_time(mind: Client, nc: Nats, game: str) -> None:
    seen = seen_by(mind)
    asked = asyncio.create_task(mind.ask(seen))
    await until(lambda: mind.tally.observations == 1)
    with pytest.raises(AskedTwice, match=seen.id):
        await mind.ask(seen)
    await say(nc, an_action(seen), game=game)
    assert (await asked).source == RULES


async def test_what_the_broker_has_no_room_for_is_refused_at_the_edge(folder: Path) -> None:
    config = NatsConfig(sync_interval="1m", payload_max_bytes=32 * 1024)
    async with nats_server(folder, config) as server, connect(server.url, game="realm") as mind:
        with pytest.raises(TooLarge, match="over the limit of 28672"):
            await mind.observe(npc="a", kind="combat", legal_actions=(WAIT,), state={"map": "x" * 40_000})
        told = await mind.observe(npc="a", kind="combat", legal_actions=(WAIT,), answer_within_s=SOON_S)
        with pytest.raises(TooLarge, match="The OutcomeObserved of"):
            await mind.report(told, success=True, state_after={"map": "x" * 40_000})
        assert not told.is_reported
        assert mind._nc.is_connected


BAD_REPORTS: dict[str, tuple[dict[str, Any], type[HearthmindError], str]] = {
    "NaN": ({"facts": {"loss": math.nan}}, Malformed, r"\$\.loss is nan"),
    "infinity after": ({"state_after": {"army": [math.inf]}}, Malformed, r"\$\.army\[0\] is inf"),
    "a fact without a value": ({"facts": {"loss": None}}, Malformed, "got `null`"),
    "a fact that is no id": ({"facts": {"own losses": 3}}, Malformed, "regex"),
    "too much": ({"state_after": {"map": "x" * MESSAGE_BYTES_MAX}}, TooLarge, "The OutcomeObserved of"),
    "no time": ({"game_time": math.nan}, Malformed, "game_time"),
}


@pytest.mark.parametrize("name", BAD_REPORTS)
async def test_a_bad_report_is_named_and_can_be_made_better(mind: Client, nc: Nats, game: str, name: str) -> None:
    fields, error, words = BAD_REPORTS[name]
    said = await listen(nc, f"game.{game}.outcome.*")
    told = await mind.ask(seen_by(mind, answer_within_s=SOON_S))
    with pytest.raises(error, match=words):
        await mind.report(told, success=True, **fields)
    assert len(mind.journal) == mind.outcomes == 0
    await mind.report(told, success=False, facts={"loss": 3})
    await until(lambda: bool(said))
    (outcome,) = (decode(message.data, OutcomeObserved) for message in said)
    assert (outcome.decision, outcome.success, outcome.facts) == (told.id, False, {"loss": 3})


async def test_each_decision_is_reported_once(mind: Client) -> None:
    told = await mind.ask(seen_by(mind, answer_within_s=SOON_S))
    await mind.report(told, success=True)
    with pytest.raises(ReportedTwice, match=f"{told.id} was reported before"):
        await mind.report(told, success=False)
    assert mind.outcomes == 1


# ---- outcomes ---------------------------------------------------------------------------------------------------------


async def confirm(nc: Nats, game: str, *decisions: str) -> None:
    """Says that these outcomes are stored, as the reward service does."""
    await nc.publish(ids.stored_subject(game), encode(OutcomesStored(game=game, decisions=decisions)))
    await nc.flush()


async def test_an_outcome_says_whose_action_it_was_and_what_was_seen(mind: Client, nc: Nats, game: str) -> None:
    said = await listen(nc, f"game.{game}.outcome.*")
    ours = await mind.ask(seen_by(mind, answer_within_s=SOON_S, state={"map": "x" * 120_000}))
    seen = seen_by(mind, game_time=3.5)
    asked = asyncio.create_task(mind.ask(seen))
    await until(lambda: mind.tally.observations == 2)
    await say(nc, an_action(seen), game=game)
    theirs = await asked
    for told in (ours, theirs):
        await mind.report(told, success=True, facts={"wood": 3, "won": True}, state_after={"map": "y" * 100_000})
    await until(lambda: len(said) == 2)
    by_client, by_platform = (decode(message.data, OutcomeObserved) for message in said)
    assert (by_client.executed.by, by_client.executed.why) == (CLIENT, ours.chosen.why)
    assert by_client.observation == ours.observation
    assert (by_platform.executed.by, by_platform.observation, by_platform.game_time) == (PLATFORM, None, 3.5)
    assert (by_platform.executed.action, by_platform.executed.arguments) == (theirs.action, theirs.arguments)
    assert by_platform.facts == {"wood": 3, "won": True}
    assert msgspec.json.decode(by_platform.state_after) == {"map": "y" * 100_000}


GAME_THAT_IS_KILLED = """
import asyncio, pathlib, sys
from hearthmind.client import LegalAction, connect

async def main(url, game, journal):
    async with connect(url, game=game, journal=pathlib.Path(journal)) as mind:
        for npc in "abc":
            told = await mind.observe(npc=npc, kind="k", legal_actions=[LegalAction(name="w")], answer_within_s=0.05)
            await mind.report(told, success=True, facts={"npc": npc})
            print(told.id, flush=True)
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_outcomes_survive_a_kill_of_the_game_and_are_sent_until_they_are_stored(
    server: EmbeddedNats, nc: Nats, game: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "RESEND_AFTER_S", 0.5)
    path = folder / "journals" / "game.jsonl"
    said = await listen(nc, f"game.{game}.outcome.*")
    argv = (sys.executable, "-c", GAME_THAT_IS_KILLED, server.url, game, str(path))
    killed = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    assert killed.stdout
    reported = [(await killed.stdout.readline()).decode().strip() for _ in range(3)]
    killed.kill()
    await killed.wait()

    async with connect(server.url, game=game, journal=path) as mind:
        assert [entry.id for entry in mind.journal.pending()] == reported
        before = len(said)
        await until(lambda: sent_of(said, before, game) == dict.fromkeys(reported, 2))
        await confirm(nc, game, *reported[:2], "somebody-else")
        await until(lambda: len(mind.journal) == 1)
        assert not await mind.wait_stored(SOON_S)
        at_least = len(said) + 2
        await until(lambda: len(said) >= at_least)
        assert {decode(message.data, OutcomeObserved).decision for message in said[at_least - 1 :]} == {reported[2]}
        await confirm(nc, game, reported[2])
        assert await mind.wait_stored(PATIENT_S)
        assert mind.stored == 3
    assert len({(message.headers or {})["Nats-Msg-Id"] for message in said}) == len(said)
    assert not path.exists()


def sent_of(said: list[Msg], since: int, game: str) -> dict[str, int]:
    """How often each outcome was sent, up to twice."""
    counts: dict[str, int] = {}
    for message in said[since:]:
        outcome = decode(message.data, OutcomeObserved)
        counts[outcome.decision] = min(2, counts.get(outcome.decision, 0) + 1)
    return counts


async def test_what_is_stored_is_forgotten_and_not_sent_again(
    server: EmbeddedNats, nc: Nats, game: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "RESEND_AFTER_S", 0.3)
    path = folder / "game.jsonl"
    said = await listen(nc, f"game.{game}.outcome.*")
    async with connect(server.url, game=game, journal=path) as mind:
        first, second = [await mind.ask(seen_by(mind, npc=npc, answer_within_s=SOON_S)) for npc in "ab"]
        await mind.report(first, success=True)
        await confirm(nc, game, first.id, first.id)
        await nc.publish(ids.stored_subject(game), b"\xff")
        assert await mind.wait_stored(PATIENT_S)
        await mind.report(second, success=True)
        await until(lambda: mind.resent >= 2)
    assert [decode(message.data, OutcomeObserved).decision for message in said].count(first.id) == 1
    assert [entry.id for entry in Journal(path).pending()] == [second.id]


# ---- connecting -------------------------------------------------------------------------------------------------------


async def test_a_game_plays_with_its_own_rights_and_not_with_a_wrong_password(folder: Path) -> None:
    passwords = new_passwords(("realm",))
    config = NatsConfig(sync_interval="1m", authorization=authorization(("realm",), passwords))
    before = denials.total()
    async with nats_server(folder / "nats", config) as server:
        admin = await nats.connect(server.url, user="provision", password=passwords["provision"])
        await provision(admin, partitions=2)
        environment = {
            "NATS_URL": server.url,
            "HEARTHMIND_FLOW__PARTITIONS": "2",
            "HEARTHMIND_BROKER__USER": "decision",
            "HEARTHMIND_BROKER__PASSWORD": passwords["decision"],
        }
        async with serving(decision_service.serve, folder, **environment):
            async with connect(server.url, game="realm", password=passwords["game_realm"]) as mind:
                told = await mind.ask(seen_by(mind, kind="economic"))
                assert told.source == RULES
                await mind.report(told, success=True)
                await confirm(admin, "realm", told.id)
                assert await mind.wait_stored(PATIENT_S)
            with pytest.raises(WrongCredentials, match="'game_realm'") as raised:
                async with connect(server.url, game="realm", password="hush"):
                    pytest.fail("it connected")
            assert "hush" not in str(raised.value)
        await admin.close()
    assert denials.total() == before


async def test_a_broker_that_is_not_there_is_named(folder: Path) -> None:
    server = EmbeddedNats(folder)
    with pytest.raises(CannotStart, match=rf"127\.0\.0\.1:{server.port} did not answer within 0.1 s"):
        async with connect(server.url, game="realm", start_within_s=0.1):
            pytest.fail("it connected")
