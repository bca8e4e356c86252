"""The engine `policy_…`: an untrained agent plays random hands of hold'em, alone and over a real bus, and is always legal."""

from __future__ import annotations

import asyncio
import secrets
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import nats
import numpy as np
import pytest
from nats.aio.msg import Msg

from hearthmind import ids
from hearthmind.bus.provision import provision
from hearthmind.bus.publish import DEADLINE, Publisher
from hearthmind.bus.wire import decode, encode
from hearthmind.contracts.inference import Answer, Infer, Inferred
from hearthmind.contracts.observation import Event, LegalAction, Observation, Parameter, Whole
from hearthmind.errors import CannotStart, Refused
from hearthmind.legal import problem
from hearthmind.models import Model, Policy
from hearthmind.testing.observations import an_observation
from hearthmind.testing.servers import nats_server
from hearthmind.testing.serving import serving
from hearthmind.testing.waiting import until
from services.inference_worker import app
from services.inference_worker.engines import CannotServe, Engine
from services.inference_worker.engines.choose import engine_for
from services.inference_worker.engines.policy import PolicyEngine
from tests.engines.behaviour import ask, needs, refused, running
from tests.engines.casino import PLAYERS, Hands, checkpoint, decisions

pytestmark = needs("torch", "numba")

PATIENT_S = 60.0


def model(path: Path, agent: str = "poker") -> Model:
    return Model(name="policy_tiny", pool="tiny", path=str(path), engine=Policy(agent=agent))


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
async def engine(learned: Path) -> AsyncIterator[Engine]:
    async with running(engine_for(model(learned))) as engine:
        yield engine


def asked(observation: Observation, **changes: object) -> Infer:
    return msgspec.structs.replace(ask(""), decision=observation.id, observation=observation, **changes)


async def test_its_answers_are_legal_in_random_hands_and_it_sees_what_our_tables_tell(engine: Engine) -> None:
    from services.selfplay import hands as told
    from services.selfplay.tokens import history_max, tell, tokens_max

    chosen, streets = set(), set()
    for hands in decisions(seed=5, count=400):
        observation = hands.observation()
        row = np.zeros(tokens_max(PLAYERS), np.int16)
        tell(hands.t, history_max(PLAYERS), row)
        assert np.array_equal(told.seen(told.replayed(told.read(observation.state))), row)
        answer = msgspec.json.decode((await engine.answer(asked(observation))).text, type=Answer)
        assert problem(observation, answer.action, answer.arguments) is None
        assert hands.allows(answer)
        chosen.add(answer.action)
        streets.add(int(hands.t.street))
        hands.play(hands.some_move())
    assert chosen == {"fold", "check", "call", "raise"}
    assert streets == {0, 1, 2, 3}


async def test_it_keeps_to_what_the_game_offers(engine: Engine) -> None:
    whole = Hands(1).observation()
    few = msgspec.structs.replace(whole, legal_actions=(LegalAction(name="fold"), LegalAction(name="shout")))
    bounds: dict[str, Parameter] = {"amount": Whole(minimum=777, maximum=777)}
    one = msgspec.structs.replace(whole, legal_actions=(LegalAction(name="raise", parameters=bounds),))
    said = [(await engine.answer(asked(each))).text for each in (few, one)]
    answers = [msgspec.json.decode(each, type=Answer) for each in said]
    assert [(each.action, each.arguments) for each in answers] == [("fold", {}), ("raise", {"amount": 777})]


GOOD = {"small_blind": 50, "big_blind": 100, "stacks": [1000, 1000, 1000], "hole": ["Ah", "Kd"]}
BAD: dict[str, tuple[dict[str, object], str]] = {
    "no hand": ({"stacks": "many"}, "Expected `array`"),
    "other blinds": ({"small_blind": 200}, "its small blind is larger"),
    "no such card": ({"hole": ["Ah", "1x"]}, "'1x' is no card"),
    "a card twice": ({"hole": ["Ah", "Ah"]}, "a card is there twice"),
    "another street": ({"board": ["2c", "3c", "4c"]}, "the board has 3 cards where its actions lead to 0"),
    "a raise too small": (
        {"actions": [{"action": "raise", "amount": 101}]},
        "action 1, raise 101, is against the rules",
    ),
    "a check of a bet": ({"actions": [{"action": "check"}]}, "action 1, check, is against the rules"),
    "over": ({"actions": [{"action": "fold"}] * 2}, "it was over after 2 actions"),
    "long over": ({"actions": [{"action": "fold"}] * 3}, "it was over before action 3"),
    "another table": ({"stacks": [1000, 1000]}, "it learned at tables of 3, and 2 were dealt in"),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_hand_fails_alone_and_says_why(engine: Engine, name: str) -> None:
    changed, why = BAD[name]
    state = msgspec.Raw(msgspec.json.encode({**GOOD, **changed}))
    offered = Hands(1).observation().legal_actions
    with pytest.raises(CannotServe, match=why):
        await engine.answer(asked(an_observation(state=state, legal_actions=offered)))
    assert not engine.ailment


async def test_it_answers_no_prompt_and_nothing_that_a_player_of_poker_does(engine: Engine) -> None:
    with pytest.raises(CannotServe, match="only a prompt"):
        await engine.answer(ask())
    with pytest.raises(CannotServe, match="it offers build, wait"):
        await engine.answer(asked(an_observation(state=Hands(1).observation().state)))
    text = LegalAction(name="raise")
    with pytest.raises(CannotServe, match="no number called amount"):
        await engine.answer(asked(msgspec.structs.replace(Hands(1).observation(), legal_actions=(text,))))


@pytest.fixture
def torn(learned: Path, folder: Path) -> Path:
    """A checkpoint of which only the beginning is there."""
    part = folder / "torn.safetensors"
    part.write_bytes(learned.read_bytes()[:1000])
    return part


async def test_what_can_t_play_is_refused_at_the_start(
    learned: Path, torn: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "there is no such file" in await refused(engine_for(model(folder / "gone")), CannotStart)
    assert "not a checkpoint of ours" in await refused(engine_for(model(torn)), CannotStart)
    unknown = await refused(engine_for(model(learned, "chess")), CannotStart)
    assert "No agent is called 'chess'; installed are poker." in unknown
    monkeypatch.delitem(sys.modules, "services.selfplay.agent", raising=False)
    monkeypatch.delitem(sys.modules, "services.selfplay.players", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "needs the library torch; `./just models`" in await refused(engine_for(model(learned)), CannotStart)


async def test_a_hand_is_played_over_the_bus(learned: Path, folder: Path) -> None:
    (folder / "models.yaml").write_text(
        f"models:\n  policy_tiny:\n    path: {learned}\n    pool: poker\n    engine: {{agent: poker}}\n"
    )
    async with nats_server(folder / "nats") as server:
        nc = await nats.connect(server.url)
        await provision(nc, partitions=1, pools=("poker",))
        publisher = await Publisher(nc).start()
        replies: dict[str, Inferred] = {}

        async def on_reply(message: Msg) -> None:
            reply = decode(message.data, Inferred)
            replies[reply.decision] = reply

        await nc.subscribe("inference.reply.*", cb=on_reply)
        settings = {
            "NATS_URL": server.url,
            "HEARTHMIND_MODELS__PATH": str(folder / "models.yaml"),
            "HEARTHMIND_INFERENCE_WORKER__MODEL": "policy_tiny",
            "HEARTHMIND_INFERENCE_WORKER__POOL": "poker",
        }
        async with serving(app.serve, folder, **settings):
            for hands in decisions(seed=9, count=12):
                observation = hands.observation()
                infer = asked(observation, tier="critical", pool="poker", model="policy_tiny", game="casino")
                headers = {DEADLINE: f"{time.time() + PATIENT_S:.3f}"}
                subject = ids.request_subject("critical", "poker")
                await publisher.publish(subject, encode(infer), secrets.token_hex(8), headers)
                await until(lambda wanted=observation.id: wanted in replies)  # type: ignore[misc]
                reply = replies[observation.id]
                assert (reply.failed, reply.model) == ("", "policy_tiny")
                answer = msgspec.json.decode(reply.text, type=Answer)
                assert problem(observation, answer.action, answer.arguments) is None
                hands.play(answer)
        await publisher.stop()
        await nc.close()


async def test_many_at_once_are_each_answered(engine: Engine) -> None:
    each = [Hands(seed).observation() for seed in range(40)]
    said = await asyncio.gather(*(engine.answer(asked(observation)) for observation in each))
    answers = [msgspec.json.decode(generated.text, type=Answer) for generated in said]
    wrong = [problem(seen, answer.action, answer.arguments) for seen, answer in zip(each, answers, strict=True)]
    assert wrong == [None] * len(each)


class Fragile:
    """An agent that breaks at one observation, and says what it was asked at a time."""

    def __init__(self, bad: str) -> None:
        self.bad = bad
        self.asked: list[int] = []
        self.go_on = threading.Event()

    def answer(self, observation: Observation | Event) -> Answer:
        raise AssertionError(observation)  # it is asked for many

    def answer_many(self, observations: Sequence[Observation | Event]) -> list[Answer | Refused]:
        self.asked.append(len(observations))
        self.go_on.wait()
        if any(observation.id == self.bad for observation in observations):
            raise ZeroDivisionError
        return [Answer(action=observation.id) for observation in observations]


async def test_what_waits_together_is_asked_at_once_and_a_broken_one_breaks_no_other(learned: Path) -> None:
    each = [msgspec.structs.replace(Hands(1).observation(), id=f"d{number}") for number in range(6)]
    engine, agent = PolicyEngine(model(learned), Policy(agent="poker")), Fragile("d3")
    async with running(engine):
        engine._agent = agent
        first = asyncio.create_task(engine.answer(asked(each[0])))
        await until(lambda: bool(agent.asked))
        rest = [asyncio.create_task(engine.answer(asked(observation))) for observation in each[1:]]
        await asyncio.sleep(0)
        agent.go_on.set()
        said = await asyncio.gather(first, *rest, return_exceptions=True)
    assert agent.asked[:2] == [1, 5]
    good = [msgspec.json.decode(one.text, type=Answer).action for one in said if not isinstance(one, BaseException)]
    assert good == ["d0", "d1", "d2", "d4", "d5"]
    assert isinstance(said[3], ZeroDivisionError)
