"""A provider that hangs, fails or answers rubbish, seen from the game: it notices nothing but the source of its actions."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from hearthmind import legal
from hearthmind.bus.wire import decode
from hearthmind.client import Client, Decision, LegalAction, connect
from hearthmind.contracts.action import FALLBACK, MODEL
from hearthmind.contracts.inference import ENGINE, Inferred
from hearthmind.testing.servers import nats_server, provisioned
from hearthmind.testing.serving import serving
from hearthmind.testing.waiting import until
from services.decision import app as decision_service
from services.inference_worker import app as inference_worker
from tests.engines.wayward import Wayward, wayward

ACTIONS = (LegalAction(name="wait", appeal=0.9), LegalAction(name="raid"))
GOOD = '{"action":"raid"}'
PATIENT_S = 20.0
FAILURES_MAX, REST_S = 3, 1.0
MODELS = """
models:
  litellm_far:
    pool: far
    engine:
      providers: [{{model: tiny, url: "{url}"}}]
      timeout_s: 2
      tries: 1
      failures_max: {failures_max}
      rest_s: {rest_s}
"""
MISBEHAVIOUR: dict[str, tuple[str, str, str]] = {
    "hangs": ("hangs", GOOD, "The provider failed: it did not answer within 2 s"),
    "500": ("500", GOOD, "The provider failed: status 500"),
    "closes the connection": ("closes", GOOD, "The provider failed: Client"),
    "half of the protocol's JSON": ("half", GOOD, "The provider failed: DecodeError"),
    "half a JSON": ("well", '{"action":"ra', "its answer is no JSON object"),
    "an illegal move": ("well", '{"action":"surrender"}', "its answer is not allowed"),
}
"""How the server behaves, what it says, and why there was no answer."""


@dataclass
class Rig:
    """A platform whose only model is another's."""

    server: Wayward
    game: Client
    replies: list[Inferred] = field(default_factory=list)
    hour: int = 0

    async def decided(self) -> Decision:
        """What a character does; each time something that was never asked before."""
        self.hour += 1
        decision = await self.game.observe(
            npc="a",
            kind="combat",
            state={"hour": self.hour},
            legal_actions=ACTIONS,
            answer_within_s=PATIENT_S,
        )
        assert legal.problem(decision.observation, decision.action, decision.arguments) is None
        assert decision.source in (MODEL, FALLBACK), decision.chosen.why
        return decision

    async def rests(self) -> bool:
        """Whether a decision falls back without asking the provider."""
        before, decision = len(self.server.asked), await self.decided()
        return "s of rest" in decision.chosen.why and len(self.server.asked) == before

    def gaps_s(self, first: int) -> list[float]:
        """The times between one question to the provider and the next, from that one on."""
        return [later - sooner for sooner, later in itertools.pairwise(self.server.asked_s[first:])]

    async def recovers(self) -> Decision:
        """Asks until the model answers again."""
        found: list[Decision] = []

        async def by_model() -> bool:
            found.append(await self.decided())
            return found[-1].source == MODEL

        await until(by_model)
        return found[-1]


@pytest.fixture
async def rig(folder: Path) -> AsyncIterator[Rig]:
    async with (
        wayward(GOOD) as server,
        nats_server(folder / "nats") as broker,
        provisioned(broker.url, partitions=1, pools=("far",)) as nc,
    ):
        (folder / "models.yaml").write_text(MODELS.format(url=server.url, failures_max=FAILURES_MAX, rest_s=REST_S))
        settings = {
            "NATS_URL": broker.url,
            "HEARTHMIND_MODELS__PATH": str(folder / "models.yaml"),
            "HEARTHMIND_DECISION__SILENT_S": "300",  # the breaker of the worker is looked at, not that of the decision service
            "HEARTHMIND_INFERENCE_WORKER__MODEL": "litellm_far",
            "HEARTHMIND_DECISION__TRIAGE": "*=litellm_far",
            "HEARTHMIND_FLOW__PARTITIONS": "1",
        }
        async with (
            serving(inference_worker.serve, folder, **settings),
            serving(decision_service.serve, folder, **settings),
            connect(broker.url, game="realm") as game,
        ):
            rig = Rig(server, game)

            async def on_reply(msg: Msg) -> None:
                rig.replies.append(decode(msg.data, Inferred))

            await nc.subscribe("inference.reply.*", cb=on_reply)
            await nc.flush()
            yield rig


@pytest.mark.parametrize("how", MISBEHAVIOUR)
async def test_the_game_notices_nothing_but_the_source_of_its_actions(rig: Rig, how: str) -> None:
    behaviour, says, why = MISBEHAVIOUR[how]
    assert (await rig.decided()).source == MODEL
    rig.server.behaviours, rig.server.says = [behaviour], says

    failed = [await rig.decided() for _ in range(FAILURES_MAX)]
    assert [(each.source, each.action) for each in failed] == [(FALLBACK, "wait")] * FAILURES_MAX
    assert all(why in each.chosen.why for each in failed), [each.chosen.why for each in failed]
    assert len(rig.server.asked) == 1 + FAILURES_MAX

    await until(rig.rests)  # the breaker is open
    rig.server.behaviours, rig.server.says = ["well"], GOOD
    again = await rig.recovers()
    assert (again.action, again.chosen.model) == ("raid", "litellm_far")
    assert all(gap >= REST_S for gap in rig.gaps_s(FAILURES_MAX)), "more than a single request tried whether it is well"
    assert (await rig.decided()).source == MODEL

    said = [reply for reply in rig.replies if reply.failed]
    assert {reply.failure for reply in said} == {ENGINE}
    assert [why in reply.failed for reply in said[:FAILURES_MAX]] == [True] * FAILURES_MAX


async def test_a_provider_that_is_still_ill_when_it_is_probed_rests_again(rig: Rig) -> None:
    rig.server.behaviours = ["500"]

    async def probed_twice() -> bool:
        assert (await rig.decided()).source == FALLBACK
        return len(rig.server.asked) == FAILURES_MAX + 2

    await until(probed_twice)
    assert all(gap >= REST_S for gap in rig.gaps_s(FAILURES_MAX - 1))


async def test_a_provider_that_is_busy_is_left_alone_for_as_long_as_it_says(rig: Rig) -> None:
    rig.server.behaviours, rig.server.rest_s = ["busy"], "4"
    busy = await rig.decided()
    assert busy.source == FALLBACK
    assert "s of rest" in busy.chosen.why
    await until(rig.rests)
    rig.server.behaviours = ["well"]
    assert (await rig.recovers()).action == "raid"
    assert all(gap >= 4 for gap in rig.gaps_s(0))
