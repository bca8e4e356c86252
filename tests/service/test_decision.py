"""The decision service on a real NATS: whatever fails, each observation gets one legal action."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.aio.msg import Msg

from hearthmind import flow, ids, legal
from hearthmind.bus.wire import decode, encode
from hearthmind.client import Client, Decision, connect
from hearthmind.contracts.action import FALLBACK, MODEL, RULES, ActionChosen
from hearthmind.contracts.inference import Infer
from hearthmind.contracts.memory import Lived, Recall, Recalled
from hearthmind.contracts.observation import Choice, Event, LegalAction, Observation, Whole
from hearthmind.contracts.outcome import CLIENT
from hearthmind.contracts.policy import CheckPolicy, PolicyChecked, PolicyViolated
from hearthmind.testing.observations import BUILD, WAIT, an_observation
from hearthmind.testing.waiting import until
from tests.chaos.proxy import Proxy
from tests.service.rig import GOOD_NPCS, PATIENT_S, Rig, ask_all, end, rig_in


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
        told = await first
        assert (told.source, told.chosen.why) == (FALLBACK, "no engine answered in time")


# ---- an NPC's past, and what only one can have ------------------------------------------------------------------------


async def test_the_past_of_an_npc_is_asked_for_and_stands_in_its_next_prompt(own_rig: Rig) -> None:
    rig = own_rig
    recalls: list[Recall] = []

    async def on_recall(msg: Msg) -> None:
        recalls.append(decode(msg.data, Recall))
        now_s = time.time()
        lived = Lived(decision="d1", kind="trade", action="raid", happened_s=now_s, success=False, opponent="p0007")
        for npc in recalls[-1].npcs:
            said = encode(Recalled(game=recalls[-1].game, npc=npc, lived=(lived,)))
            await rig.nc.publish(ids.recalled_subject(recalls[-1].partition), said)

    await rig.nc.subscribe(ids.recall_subject(), cb=on_recall)
    asked: list[Infer] = []

    async def is_remembered() -> bool:
        await mind.observe(npc="a", kind="trade", legal_actions=(WAIT, BUILD), answer_within_s=0.5)
        (newest,) = await rig.newest("INFERENCE_SOCIAL", ids.request_subject("social", "nano"))
        asked.append(decode(newest, Infer))
        return any("p0007" in turn.text for turn in asked[-1].prompt)

    async with (
        rig.deciding("trade=onnx_nano,*=rules", HEARTHMIND_DECISION__SILENT_S="300"),
        connect(rig.server.url, game="castle") as mind,
    ):
        await until(is_remembered)
    assert [(recall.game, recall.npcs) for recall in recalls] == [("castle", ("a",))]
    assert not any("p0007" in turn.text for turn in asked[0].prompt), "nobody waits for it"


GIVE = LegalAction(
    name="give",
    parameters={"item": Choice(enum=("coal",)), "amount": Whole(minimum=1, maximum=99, default=50)},
    appeal=1,
)


async def test_what_the_policy_forbids_is_kept_for_people_and_freezes_the_npc(rig: Rig) -> None:
    game = rig.new_game()
    asked: dict[str, Any] = {"kind": "combat", "state": {"inventory": {"coal": 10}}, "answer_within_s": PATIENT_S}
    async with connect(rig.server.url, game=game) as mind:
        told = await mind.observe(npc="a", legal_actions=(WAIT, GIVE), **asked)
        assert (told.source, told.action) == (FALLBACK, "wait")
        assert told.chosen.why.startswith("the policy forbids it: gives-what-it-has-not")
        again = await mind.observe(npc="a", legal_actions=(WAIT, BUILD), **asked)
        assert (again.source, again.action, again.chosen.why) == (
            FALLBACK,
            "wait",
            "it is frozen: gives-what-it-has-not",
        )
        assert (await mind.observe(npc="b", legal_actions=(WAIT, BUILD), **asked)).source == MODEL
    subject = ids.violation_subject(game, "a")
    await rig.until_held(1, "EXPERIENCE", subject)
    (kept,) = await rig.newest("EXPERIENCE", subject)
    violated = decode(kept, PolicyViolated)
    assert (violated.decision, violated.action, violated.arguments["amount"]) == (told.id, "give", 50)
    assert violated.observation == told.observation
    await rig.until_held(1, f"KV_{flow.MINDS}", f"$KV.{flow.MINDS}.freeze.{game}.a")


async def test_whether_an_action_would_pass_can_be_asked(rig: Rig) -> None:
    answers: list[PolicyChecked] = []

    async def on_answer(msg: Msg) -> None:
        answers.append(decode(msg.data, PolicyChecked))

    await rig.nc.subscribe(ids.checked_subject("tester"), cb=on_answer)
    seen = an_observation(legal_actions=(WAIT, GIVE), state=msgspec.Raw(b'{"inventory":{"coal":10}}'))
    for amount in (10, 11):
        asks = CheckPolicy(
            asker="tester", observation=seen, action="give", arguments={"item": "coal", "amount": amount}
        )
        await rig.nc.publish(ids.check_subject(), encode(asks))
    await until(lambda: len(answers) == 2)
    assert [(each.passes, each.rule) for each in answers] == [(True, None), (False, "gives-what-it-has-not")]


async def test_one_of_two_has_the_coin(rig: Rig) -> None:
    take = LegalAction(name="take", parameters={"coin": Choice(enum=("gold",))}, appeal=1, contends="coin")
    async with connect(rig.server.url, game=rig.new_game()) as mind:
        asking = (
            mind.observe(npc=npc, kind="loot", legal_actions=(WAIT, take), answer_within_s=PATIENT_S)
            for npc in GOOD_NPCS
        )
        decisions = await asyncio.gather(*asking)
    assert sorted(each.action for each in decisions) == ["take", *["wait"] * (len(GOOD_NPCS) - 1)]
    assert mind.tally.taken == 0
    assert {each.chosen.why for each in decisions if each.action == "wait"} == {"somebody else took it first: gold"}


async def test_a_pool_that_is_silent_is_left_alone_until_it_answers(own_rig: Rig) -> None:
    rig, whys = own_rig, list[str]()

    async def sources(wanted: str) -> bool:
        told = await mind.observe(npc="a", kind="combat", legal_actions=(WAIT, BUILD), answer_within_s=PATIENT_S)
        whys.append(told.chosen.why)
        return told.source == wanted

    async with (
        rig.deciding("*=rules_scripted", HEARTHMIND_DECISION__SILENT_S="0.3"),
        connect(rig.server.url, game="castle") as mind,
    ):
        assert await sources(FALLBACK)
        assert await sources(FALLBACK)
        assert {why.partition(":")[0] for why in whys} == {"the pool is silent"}
        async with rig.inferring():
            await until(lambda: sources(MODEL))
    assert mind.tally.by_source.keys() == {FALLBACK, MODEL}


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


LEASES_ONLY = b"-leases"
"""In the name of the connection that has the leases, and nothing else, to do with the broker."""


@asynccontextmanager
async def behind(rig: Rig) -> AsyncIterator[tuple[Proxy, str]]:
    """A way to the broker that can be told to misbehave, and its address."""
    async with Proxy(rig.server.port).listening() as proxy:
        yield proxy, rig.server.url.replace(f":{rig.server.port}", f":{proxy.port}")


async def test_leases_do_not_wait_behind_what_the_service_hears(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "hearthmind.bus")
    delay_s = 0.6 * flow.LEASE_TTL_S  # so what is said and its answer take longer than a lease lives
    async with rig_in(folder, ack_wait_s=60) as rig, behind(rig) as (proxy, address), rig.deciding(NATS_URL=address):
        await rig.until_owned()
        async with connect(rig.server.url, game="realm") as mind, proxy.delaying(delay_s, but=LEASES_ONLY):
            told = await mind.observe(npc="a", kind="economic", legal_actions=(WAIT, BUILD), answer_within_s=PATIENT_S)
    assert (told.source, told.chosen.attempt) == (RULES, 1)
    assert "is ours" in caplog.text
    assert "no longer ours" not in caplog.text


async def test_who_hears_nothing_any_more_does_not_keep_its_partitions(
    own_rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig = own_rig
    async with behind(rig) as (proxy, address), rig.deciding_elsewhere():
        (healthy,) = await rig.until_owned()
        async with rig.deciding(NATS_URL=address), connect(rig.server.url, game="realm") as mind:
            await rig.until_owned(by=2)
            before = proxy.accepted
            async with proxy.half_open(but=LEASES_ONLY):
                assert await rig.until_owned(by=1) == {healthy}
                asking = (
                    mind.observe(npc=npc, kind="economic", legal_actions=(WAIT, BUILD), answer_within_s=PATIENT_S)
                    for npc in GOOD_NPCS
                )
                told = await asyncio.gather(*asking)
            await rig.until_owned(by=2)
            assert proxy.accepted > before, "it has a new connection"
    assert {each.source for each in told} == {RULES}
    assert caplog.text.count("gives them back") == 1, "it takes none while it hears nothing"


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
