"""The policy in the real decision service: what is forbidden is not done, freezes, is told; a ban holds until it is lifted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from hearthmind import flow
from hearthmind import policy as asking
from hearthmind.bus.registry import Registry
from hearthmind.bus.wire import decode
from hearthmind.client import Client, Decision, Heard, LegalAction, connect
from hearthmind.contracts.policy import PolicyViolated
from hearthmind.minds import Ban, Freeze, key_of
from hearthmind.settings import Broker
from hearthmind.testing.observations import an_observation
from hearthmind.testing.servers import nats_server, provisioned
from hearthmind.testing.serving import process, serving
from hearthmind.testing.waiting import until
from services.decision import app as decision_service
from services.decision.checking import ILLEGAL
from tests.service.odd_worker import MODEL, POOL

ACTIONS = (
    LegalAction(name="dig", appeal=1),
    LegalAction(name="wait"),
    LegalAction(name="talk"),
    LegalAction(name="nuke"),
)
PATIENT_S = 30.0
WANTED = {
    "the-destroyer": '{"action":"nuke","speech":"Boom!","reasoning":"I was told to."}',
    "the-talker": '{"action":"talk","speech":"Mail me at a@b.example or see https://evil.example [[ACTION:nuke]]"}',
}


@dataclass
class Rig:
    """A game, the platform's side of the bus, and what was violated."""

    nc: Nats
    url: str
    game: Client
    settings: dict[str, str]
    """Of the decision service."""
    violations: list[PolicyViolated] = field(default_factory=list)

    async def obeys(self, speaker: str, npc: str) -> Decision:
        """What an NPC does to whom somebody has spoken whose words the model obeys."""
        texts = [Heard(speaker=speaker, text="do it")]
        return await self.game.observe(
            npc=npc, kind="chat", legal_actions=ACTIONS, texts=texts, answer_within_s=PATIENT_S
        )


@asynccontextmanager
async def playing(folder: Path, freeze_s: float) -> AsyncIterator[Rig]:
    policy, wanted = folder / "policy.yaml", folder / "wanted.json"
    policy.write_text(f"freeze_s: {freeze_s}\nrules: {{no-nukes: {{says: Never., actions: [nuke], forbidden: true}}}}")
    wanted.write_bytes(msgspec.json.encode(WANTED))
    both = {"HEARTHMIND_FLOW__PARTITIONS": "2"}
    decision = {"HEARTHMIND_DECISION__TRIAGE": f"*={MODEL}", "HEARTHMIND_DECISION__POLICY": str(policy)}
    worker = {"HEARTHMIND_INFERENCE_WORKER__POOL": POOL, "ODD_ENGINE": "obedient", "ODD_WANTED": str(wanted)}
    async with (
        nats_server(folder / "nats") as server,
        provisioned(server.url, partitions=2, pools=("rules", POOL)) as nc,
        serving(decision_service.serve, folder, NATS_URL=server.url, **both, **decision),
        process("tests.service.odd_worker", folder, NATS_URL=server.url, **both, **worker),
        connect(server.url, game="castle") as game,
    ):
        rig = Rig(nc, server.url, game, {"NATS_URL": server.url, **both, **decision})

        async def on_violation(msg: Msg) -> None:
            rig.violations.append(decode(msg.data, PolicyViolated))

        await nc.subscribe("mind.violation.castle.*", cb=on_violation)
        await nc.flush()
        yield rig


async def test_what_is_forbidden_is_not_done_and_freezes_and_is_told(folder: Path) -> None:
    async with playing(folder, freeze_s=3600) as rig:
        first = await rig.obeys("the-destroyer", "p1")
        assert (first.action, first.speech) == ("wait", "")
        assert "no-nukes" in first.chosen.why
        await until(lambda: bool(rig.violations))
        (violated,) = rig.violations
        assert (violated.decision, violated.rule, violated.action, violated.frozen_s) == (
            first.id,
            "no-nukes",
            "nuke",
            3600,
        )
        assert (violated.speech, violated.reasoning, violated.model) == ("Boom!", "I was told to.", MODEL)
        assert violated.answer == WANTED["the-destroyer"]
        assert violated.observation is not None
        assert violated.observation.texts[0].speaker == "the-destroyer"

        again = await rig.obeys("the-talker", "p1")
        assert again.action == "wait", "it is frozen, whatever its mind would have wanted"
        assert "frozen" in again.chosen.why
        assert (await rig.obeys("the-talker", "p2")).action == "talk", "another one is not"

        minds = Registry(rig.nc, bucket=flow.MINDS)

        async def kept() -> bool:
            await minds.refresh()
            return minds.get(key_of("freeze", "castle", "p1")) is not None

        await until(kept)
        freeze = msgspec.json.decode(minds.get(key_of("freeze", "castle", "p1")) or b"", type=Freeze)
        assert (freeze.rule, freeze.decision) == ("no-nukes", first.id)


async def test_who_takes_over_knows_who_is_frozen(folder: Path) -> None:
    npcs = [f"p{number}" for number in range(8)]
    (other := folder / "other").mkdir()
    async with playing(folder, freeze_s=3600) as rig:
        async with serving(decision_service.serve, other, **rig.settings):

            async def both_own() -> bool:
                owners = Registry(rig.nc, bucket=flow.LEASES)
                await owners.refresh()
                return len(set(owners.under("").values())) == 2

            await until(both_own)
            for npc in npcs:
                assert (await rig.obeys("the-destroyer", npc)).action == "wait"
        for npc in npcs:
            assert "frozen" in (await rig.obeys("the-talker", npc)).chosen.why, npc


async def test_a_freeze_ends(folder: Path) -> None:
    async with playing(folder, freeze_s=0.2) as rig:
        assert (await rig.obeys("the-destroyer", "p1")).action == "wait"

        async def talks() -> bool:
            return (await rig.obeys("the-talker", "p1")).action == "talk"

        await until(talks)


async def test_a_ban_holds_until_it_is_lifted(folder: Path) -> None:
    async with playing(folder, freeze_s=0) as rig:
        operator = await Registry(rig.nc, bucket=flow.MINDS, under="ban.").start()
        assert (await rig.obeys("the-talker", "p1")).action == "talk"
        key = key_of("ban", "castle", "p1")
        await operator.put(key, msgspec.json.encode(Ban(why="enough", by="somebody")))

        async def does(action: str) -> bool:
            return (await rig.obeys("the-talker", "p1")).action == action

        await until(lambda: does("wait"))
        assert "banned: enough" in (await rig.obeys("the-talker", "p1")).chosen.why
        assert (await rig.obeys("the-talker", "p2")).action == "talk"
        await operator.put(key, b"")
        await until(lambda: does("talk"))


async def test_what_is_said_aloud_is_fit_to_be_heard(folder: Path) -> None:
    async with playing(folder, freeze_s=0) as rig:
        assert (await rig.obeys("the-talker", "p1")).speech == "Mail me at or see"
        assert not rig.violations


async def test_the_service_says_whether_an_action_would_pass(folder: Path) -> None:
    async with playing(folder, freeze_s=0) as rig, asking.connect(Broker(url=rig.url)) as asker:
        seen = an_observation(game="castle", legal_actions=ACTIONS)
        nuke, fly, dig = await asyncio.gather(
            *(asker.check(msgspec.structs.replace(seen, id=f"d-{name}"), name) for name in ("nuke", "fly", "dig"))
        )
        assert (nuke.passes, nuke.rule) == (False, "no-nukes")
        assert (fly.passes, fly.rule) == (False, ILLEGAL)
        assert dig.passes
        assert not rig.violations, "nothing comes of asking"
