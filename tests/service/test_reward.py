"""The reward service as processes, on a real NATS with its users and a real Postgres that keeps what it committed.

Each test is a game of its own. Whatever is killed, repeated, reordered or malformed: each outcome becomes one experience.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import nats
import pytest
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from sqlalchemy import text

from hearthmind import flow, ids
from hearthmind.bus.accounts import PROVISION, authorization, new_passwords
from hearthmind.bus.provision import consumer_config, provision
from hearthmind.bus.publish import Publisher
from hearthmind.bus.wire import MESSAGE_BYTES_MAX, decode, encode
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.memory import Recall, Recalled
from hearthmind.contracts.observation import Heard
from hearthmind.contracts.outcome import CLIENT, Executed, OutcomeObserved, OutcomesStored, ReplyRated
from hearthmind.contracts.policy import PolicyViolated
from hearthmind.contracts.wire import Fact
from hearthmind.embedded.nats import EmbeddedNats, NatsConfig
from hearthmind.embedded.postgres import EmbeddedPostgres, remove
from hearthmind.embedded.processes import Command, Supervisor
from hearthmind.errors import EXIT_CONFIG
from hearthmind.store.documents import bodies_of
from hearthmind.store.engine import Engine, create_engine, transaction
from hearthmind.store.migrate import upgrade
from hearthmind.store.read import DeadLetter, dead_letters_of
from hearthmind.testing.observations import an_observation
from hearthmind.testing.waiting import until

ROOT = Path(__file__).parents[2]
GAMES = (
    *("whole", "parked", "forgotten", "fallback", "bad", "future", "second", "unknown", "taken"),
    *("killed", "twice", "database", "broker", "dropped", "traced", "rated", "recalled"),
)
FACTS: dict[str, Fact] = {"victory": True, "own_losses": 5, "enemy_losses": 10, "resources_gained": 1_000, "rank": 4}
REWARD = 0.5 + 0.2 + 0.01

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Rig:
    """The servers, and somebody who may publish everything."""

    broker: EmbeddedNats
    database: EmbeddedPostgres
    servers: Supervisor
    passwords: dict[str, str]
    folder: Path
    nc: Nats
    publisher: Publisher
    engine: Engine

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "NATS_URL": self.broker.url,
            "DATABASE_URL": self.database.dsn,
            "HEARTHMIND_BROKER__USER": "reward",
            "HEARTHMIND_BROKER__PASSWORD": self.passwords["reward"],
            **more,
        }

    @asynccontextmanager
    async def serving(self, name: str, processes: int = 1, **more: str) -> AsyncIterator[Supervisor]:
        """So many reward services; at the end none of them may have been denied anything."""
        argv = (sys.executable, "-m", "services.reward")
        env = self.environment(**more)
        names = [f"reward{number}" for number in range(processes)]
        folder = self.folder / name
        async with Supervisor([Command(each, argv, env, cwd=ROOT) for each in names], folder) as supervisor:
            yield supervisor
        said = "".join((folder / "logs" / f"{each}.log").read_text() for each in names)
        assert "denied" not in said
        assert "Traceback" not in said, said

    async def kill(self, name: str) -> None:
        pid = self.servers.pid(name)
        assert pid
        os.kill(pid, signal.SIGKILL)
        await self.servers.wait_ready(name, other_than=pid)

    async def count(self, table: str, game: str, where: str = "true") -> int:
        async with transaction(self.engine) as connection:
            sql = text(f"SELECT count(*) FROM {table} WHERE game = :game AND {where}")
            return int(await connection.scalar(sql, {"game": game}) or 0)

    async def experiences(self, game: str) -> tuple[int, int]:
        """How many there are, and of how many decisions; and what the counters of the NPCs say is compared with both."""
        sql = "SELECT count(*), count(DISTINCT decision) FROM experiences WHERE game = :game"
        async with transaction(self.engine) as connection:
            row = (await connection.execute(text(sql), {"game": game})).one()
            return int(row[0]), int(row[1])

    async def counters(self, game: str) -> tuple[int, int]:
        sql = "SELECT coalesce(sum(decisions), 0), coalesce(sum(experiences), 0) FROM npcs WHERE game = :game"
        async with transaction(self.engine) as connection:
            row = (await connection.execute(text(sql), {"game": game})).one()
            return int(row[0]), int(row[1])

    async def letters(self, game: str) -> list[DeadLetter]:
        async with transaction(self.engine) as connection:
            return await dead_letters_of(connection, game=game)

    async def send(self, messages: Iterable[tuple[str, bytes, str]], **headers: str) -> None:
        """Publishes to the streams, by subject, body and message id."""
        await asyncio.gather(*[await self.publisher.send(*message, headers) for message in messages])


@dataclass
class Game:
    """One game's side: what it says, and what it was told."""

    name: str
    nc: Nats
    confirmed: set[str] = field(default_factory=set)
    worth: dict[str, float] = field(default_factory=dict)

    def action(self, decision: str, npc: str = "p1") -> tuple[str, bytes, str]:
        action = ActionChosen(
            decision=decision, game=self.name, npc=npc, kind="combat", snapshot=3, action="raid", source="rules"
        )
        return ids.chosen_subject(self.name, npc), encode(action), ids.message_id(self.name, npc, decision)

    def detail(self, decision: str, npc: str = "p1") -> tuple[str, bytes, str]:
        heard = (Heard(speaker="ann", text=f"hello {npc}\0"),)
        detail = DecisionMade(
            decision=decision,
            game=self.name,
            npc=npc,
            kind="combat",
            attempt=1,
            epoch=1,
            partition=0,
            tier="critical",
            source="rules",
            observation=an_observation(id=decision, game=self.name, npc=npc, texts=heard),
        )
        return ids.decision_subject(self.name, npc), encode(detail), ids.message_id(self.name, npc, decision, "detail")

    def outcome(self, decision: str, npc: str = "p1", **changes: object) -> tuple[str, bytes, str]:
        outcome = OutcomeObserved(
            decision=decision,
            game=self.name,
            npc=npc,
            kind="combat",
            executed=Executed(action="raid"),
            success=True,
            facts=FACTS,
            state_after=msgspec.Raw(b'{"wood": 12}'),
        )
        body = encode(msgspec.structs.replace(outcome, **changes))
        return ids.outcome_subject(self.name, npc), body, ids.message_id(self.name, npc, decision, "outcome")

    def round_trip(self, numbers: Iterable[int]) -> list[tuple[str, bytes, str]]:
        """Actions, details and outcomes of these decisions, of eight NPCs."""
        made = (self.action, self.detail, self.outcome)
        return [make(f"d{number}", f"p{number % 8}") for number in numbers for make in made]


@pytest.fixture(scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    folder = tmp_path_factory.mktemp("reward")
    passwords = new_passwords(GAMES)
    config = NatsConfig(sync_interval="1m", authorization=authorization(GAMES, passwords))
    broker, database = EmbeddedNats(folder / "nats", config), EmbeddedPostgres(folder / "postgres")
    servers = Supervisor([broker.command(), database.command()], folder / "servers", ready_within_s=60)
    async with AsyncExitStack() as stack:
        stack.callback(remove, folder / "postgres")
        await stack.enter_async_context(servers)
        upgrade(database.dsn)
        nc = await nats.connect(broker.url, user=PROVISION, password=passwords[PROVISION], max_reconnect_attempts=-1)
        stack.push_async_callback(nc.close)
        await provision(nc, partitions=1)
        publisher = await Publisher(nc).start()
        stack.push_async_callback(publisher.stop)
        engine = create_engine(database.dsn)
        stack.push_async_callback(engine.dispose)
        yield Rig(broker, database, servers, passwords, folder, nc, publisher, engine)


@pytest.fixture
async def game(rig: Rig, request: pytest.FixtureRequest) -> AsyncIterator[Game]:
    """The game that the test names by a marker's argument; it hears its confirmations as itself."""
    name = str(request.param)
    user = flow.game_user(name)
    nc = await nats.connect(
        rig.broker.url,
        user=user,
        password=rig.passwords[user],
        inbox_prefix=flow.inbox_prefix(user),
        max_reconnect_attempts=-1,
    )
    made = Game(name, nc)

    async def on_stored(msg: Msg) -> None:
        stored = msgspec.json.decode(msg.data, type=OutcomesStored)
        made.confirmed.update(stored.decisions)
        made.worth |= stored.rewards

    await nc.subscribe(ids.stored_subject(name), cb=on_stored)
    await nc.flush()
    yield made
    await nc.close()


def of(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("game", [name], indirect=True)


async def until_stored(rig: Rig, game: Game, number: int) -> None:
    """Every outcome is an experience once, was confirmed, and was counted."""

    async def stored() -> bool:
        return await rig.experiences(game.name) == (number, number) and len(game.confirmed) == number

    try:
        await until(stored)
    except TimeoutError:
        pytest.fail(f"{await rig.experiences(game.name)} of {number}, {len(game.confirmed)} confirmed")
    assert await rig.counters(game.name) == (number, number)
    assert await rig.count("outcomes", game.name) == number
    assert await rig.letters(game.name) == []


# ---- what it is for ---------------------------------------------------------------------------------------------------


@of("whole")
async def test_each_outcome_becomes_one_rewarded_experience(rig: Rig, game: Game) -> None:
    async with rig.serving("whole"):
        await rig.send(game.round_trip(range(50)))
        await until_stored(rig, game, 50)
        await until(lambda: has(rig, "decisions", game, "tier IS NOT NULL", 50))
    async with transaction(rig.engine) as connection:
        sql = "SELECT * FROM experiences WHERE game = 'whole' AND decision = 'd9'"
        experience = (await connection.execute(text(sql))).one()
        said = await bodies_of(connection, game.name, [experience.state_after, experience.state])
        npc = (await connection.execute(text("SELECT * FROM npcs WHERE game = 'whole' AND npc = 'p1'"))).one()
        heard = list(
            await connection.scalars(text("SELECT DISTINCT text FROM texts WHERE game = 'whole' AND npc = 'p1'"))
        )
    assert (experience.npc, experience.kind, experience.action, experience.source) == ("p1", "combat", "raid", "rules")
    assert experience.reward == pytest.approx(REWARD)
    assert experience.reward_parts == {"victory": 0.5, "losses": 0.2, "resources": 0.01}
    assert said[experience.state_after] == '{"wood": 12}'
    assert '"wood"' in said[experience.state]
    assert (npc.decisions, npc.experiences, npc.rank) == (7, 7, 4)
    assert npc.reward_sum == pytest.approx(7 * REWARD)
    assert heard == ["hello p1\ufffd"]


async def has(rig: Rig, table: str, game: Game, where: str, number: int) -> bool:
    return await rig.count(table, game.name, where) == number


@of("parked")
async def test_an_outcome_may_come_before_its_action(rig: Rig, game: Game) -> None:
    numbers = [f"d{number}" for number in range(20)]
    async with rig.serving("parked"):
        await rig.send([game.outcome(decision) for decision in numbers])
        await until(lambda: has(rig, "outcomes", game, "settled_at IS NULL", 20))
        await rig.send([game.detail(decision) for decision in numbers])
        await until(lambda: has(rig, "decisions", game, "tier = 'critical'", 20))
        assert await rig.experiences(game.name) == (0, 0)
        await rig.send([game.action(decision) for decision in numbers])
        await until_stored(rig, game, 20)
        await until(lambda: len(game.worth) == 20)


@of("forgotten")
async def test_what_an_outcome_was_worth_is_said_although_nobody_knows_its_decision(rig: Rig, game: Game) -> None:
    async with rig.serving("forgotten", HEARTHMIND_REWARD__PARK_MAX_S="0.5", HEARTHMIND_REWARD__SWEEP_EVERY_S="0.1"):
        await rig.send([game.outcome("d1")])
        await until(lambda: bool(game.worth))
    assert game.confirmed == {"d1"}
    assert game.worth == {"d1": pytest.approx(REWARD)}
    assert await rig.experiences(game.name) == (1, 1)


@of("fallback")
async def test_what_the_client_executed_itself_is_an_experience_too(rig: Rig, game: Game) -> None:
    seen = an_observation(id="d1", game=game.name, npc="p1", texts=(Heard(speaker="ann", text="hello"),))
    executed = Executed(action="wait", by=CLIENT, why="nothing came in time")
    async with rig.serving("fallback"):
        await rig.send([game.outcome("d1", executed=executed, observation=seen)])
        await until(lambda: has(rig, "experiences", game, "source = 'client' AND action = 'wait'", 1))
    assert await rig.counters(game.name) == (0, 1)
    assert await rig.count("outcomes JOIN documents USING (game)", game.name, "key = state AND body LIKE '%wood%'") == 1
    assert await rig.count("texts", game.name) == 1


@of("rated")
async def test_ratings_violations_and_links_are_kept(rig: Rig, game: Game) -> None:
    def rating(score: float, number: int) -> tuple[str, bytes, str]:
        rated = ReplyRated(decision="d1", game=game.name, npc="p1", rater="ann", score=score)
        return ids.rating_subject(game.name, "p1"), encode(rated), f"{game.name}/rating/{number}"

    forbidden = PolicyViolated(
        decision="d1", game=game.name, npc="p1", kind="combat", rule="harm", why="too much", action="raid"
    )
    violation = (ids.violation_subject(game.name, "p1"), encode(forbidden), f"{game.name}/violation")
    async with rig.serving("rated"):
        await rig.send([game.action("d1"), game.detail("d1"), violation])
        for number, score in enumerate((1.0, -0.5)):
            await rig.send([rating(score, number)])
        await rig.send([game.outcome("d1", related=("d0",), opponent="eve")])
        await until(lambda: has(rig, "experiences", game, "opponent = 'eve' AND answers = '[\"d0\"]'", 1))
        await until(lambda: has(rig, "ratings", game, "score = -0.5", 1))
        await until(lambda: has(rig, "violations", game, "rule = 'harm'", 1))
        await until(lambda: has(rig, "links", game, "earlier = 'd0' AND decision = 'd1' AND how = 'answers'", 1))
    assert await rig.letters(game.name) == []


@of("recalled")
async def test_an_owner_is_told_what_its_npcs_lived_through(rig: Rig, game: Game) -> None:
    heard = await rig.nc.subscribe(ids.recalled_subject(5))
    async with rig.serving("recalled", processes=2):
        await rig.send(game.round_trip([1]))
        await until_stored(rig, game, 1)
        await rig.nc.publish(ids.recall_subject(), encode(Recall(game=game.name, npcs=("p1", "p2"), partition=5)))
        told = [decode((await heard.next_msg(timeout=30)).data, Recalled) for _ in range(2)]
        await rig.nc.flush()
    assert {each.npc: len(each.lived) for each in told} == {"p1": 1, "p2": 0}
    assert heard.pending_msgs == 0, "one of the processes answers"
    await heard.unsubscribe()


# ---- bad input --------------------------------------------------------------------------------------------------------

GOOD = OutcomeObserved(
    decision="x", game="bad", npc="p1", kind="combat", executed=Executed(action="raid"), success=True, facts={"a": 1}
)

BAD = {
    b"": "can't be read",
    b"\0\xff\xfe": "can't be read",
    encode(GOOD)[:-1]: "can't be read",
    encode(GOOD) + b" " * MESSAGE_BYTES_MAX: "over the limit",
    encode(GOOD).replace(b'"decision":"x"', b'"decision":"a.b"'): "can't be read",
    encode(GOOD).replace(b'"npc":"p1"', b'"npc":"p2"'): "A game speaks for itself alone",
    encode(GOOD).replace(b'"game":"bad"', b'"game":"whole"'): "A game speaks for itself alone",
    encode(GOOD).replace(b'{"a":1}', b'{"a":NaN}'): "can't be read",
    encode(GOOD).replace(b'{"a":1}', b'{"a":1e999}'): "out of range",
    encode(GOOD).replace(b'"state_after":{}', b'"state_after":{"a":1e200000}'): "Postgres can't store it",
    encode(GOOD).replace(b'"state_after":{}', b'"state_after":{"a":"\xff"}'): "not UTF-8",
}


@of("bad")
async def test_bad_input_becomes_dead_letters_with_reasons_and_disturbs_nothing(rig: Rig, game: Game) -> None:
    subject = ids.outcome_subject(game.name, "p1")
    good = game.round_trip(range(300))
    bad = [(subject, body, f"bad/{number}") for number, body in enumerate(BAD)]
    mixed = [
        message for number, message in enumerate(good) for message in (message, *bad[number // 50 : number // 50 + 1])
    ]
    async with rig.serving("bad"):
        await rig.send({message[2]: message for message in mixed}.values())
        await until(lambda: has(rig, "dead_letters", game, "true", len(BAD)))
        await until(lambda: has(rig, "experiences", game, "true", 300))
    assert await rig.experiences(game.name) == (300, 300)
    assert await rig.counters(game.name) == (300, 300)
    assert len(game.confirmed) == 300
    letters = {letter.body: letter for letter in await rig.letters(game.name)}
    assert set(letters) == set(BAD)
    for body, reason in BAD.items():
        assert reason in letters[body].reason
        assert letters[body].subject == subject
        assert letters[body].delivered == 1


@of("future")
async def test_what_comes_from_the_future_is_passed_over_or_waits(rig: Rig, game: Game) -> None:
    unknown, waits = b'{"type":"omen_seen","v":1,"score":3}', game.outcome("d0")[1].replace(b'"v":1', b'"v":9')
    subject = ids.outcome_subject(game.name, "p1")
    async with rig.serving("future"):
        await rig.send([(subject, unknown, "future/1"), (subject, waits, "future/2"), *game.round_trip([1])])
        await until_stored(rig, game, 1)
        await until(lambda: only_pending(rig, 1))
    assert await rig.letters(game.name) == []
    await rig.nc.jetstream().purge_stream("EXPERIENCE")


async def only_pending(rig: Rig, number: int) -> bool:
    info = await rig.nc.jetstream().consumer_info("EXPERIENCE", "reward")
    return (info.num_pending, info.num_ack_pending) == (0, number)


@of("second")
async def test_a_second_outcome_is_refused_and_the_same_one_confirmed_again(rig: Rig, game: Game) -> None:
    subject, body, message_id = game.outcome("d1")
    other = game.outcome("d1", success=False)[1]
    async with rig.serving("second"):
        await rig.send(game.round_trip([1]))
        await until(lambda: has(rig, "experiences", game, "success", 1))
        game.confirmed.clear()
        await rig.send([(subject, body, f"{message_id}/again"), (subject, other, f"{message_id}/other")])
        await until(lambda: has(rig, "dead_letters", game, "reason LIKE '%has an outcome already%'", 1))
        await until(lambda: confirmed(game, 1))
    assert await rig.experiences(game.name) == (1, 1)
    assert [letter.body for letter in await rig.letters(game.name)] == [other]


async def confirmed(game: Game, number: int) -> bool:
    return len(game.confirmed) == number


@of("unknown")
async def test_an_outcome_of_a_lost_decision_is_an_experience_all_the_same(rig: Rig, game: Game) -> None:
    quick = {"HEARTHMIND_REWARD__PARK_MAX_S": "0.2", "HEARTHMIND_REWARD__SWEEP_EVERY_S": "0.1"}
    async with rig.serving("unknown", processes=2, **quick):
        await rig.send([game.outcome("d1")])
        await until(lambda: has(rig, "experiences", game, "source = 'unknown' AND success", 1))
        await until(lambda: confirmed(game, 1))
    assert await rig.experiences(game.name) == (1, 1)
    assert await rig.count("training_metrics", game.name, "unknown = 1") == 1
    assert await rig.letters(game.name) == []


@of("taken")
async def test_a_decision_id_belongs_to_one_npc_of_a_game(rig: Rig, game: Game) -> None:
    async with rig.serving("taken"):
        await rig.send([game.action("d1"), game.detail("d1"), game.outcome("d1")])
        await until(lambda: has(rig, "experiences", game, "true", 1))
        await rig.send([game.action("d1", npc="p2")])
        await until(lambda: has(rig, "dead_letters", game, "reason LIKE '%belongs to another NPC%'", 1))
    assert await rig.counters(game.name) == (1, 1)


# ---- faults -----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def _quick_redelivery(rig: Rig) -> AsyncIterator[None]:
    """What a killed process held comes again after a second instead of half a minute."""
    consumer = next(each for each in flow.CONSUMERS if each.stream == "EXPERIENCE")
    js = rig.nc.jetstream()
    await js.add_consumer("EXPERIENCE", consumer_config(replace(consumer, ack_wait_s=1)))
    yield
    await js.add_consumer("EXPERIENCE", consumer_config(consumer))


@of("killed")
@pytest.mark.usefixtures("_quick_redelivery")
async def test_a_killed_process_loses_and_doubles_nothing(rig: Rig, game: Game) -> None:
    async with rig.serving("killed", HEARTHMIND_REWARD__BATCH_MAX="100") as services:
        for start in range(0, 2000, 400):
            before = (await rig.experiences(game.name))[0]
            await rig.send(game.round_trip(range(start, start + 400)))
            await until(lambda before=before: more_than(rig, game, before))  # type: ignore[misc]
            pid = services.pid("reward0")
            assert pid
            os.kill(pid, signal.SIGKILL)
            await services.wait_ready("reward0", other_than=pid)
        await until_stored(rig, game, 2000)


async def more_than(rig: Rig, game: Game, number: int) -> bool:
    return (await rig.experiences(game.name))[0] > number


@of("twice")
async def test_two_processes_share_the_work(rig: Rig, game: Game) -> None:
    async with rig.serving("twice", processes=2, HEARTHMIND_REWARD__BATCH_MAX="50"):
        await rig.send(game.round_trip(range(1500)))
        await until_stored(rig, game, 1500)


@of("database")
async def test_postgres_may_go_away_in_the_middle_of_a_batch(rig: Rig, game: Game) -> None:
    before = await deliveries(rig)
    async with rig.serving("database", HEARTHMIND_REWARD__BATCH_MAX="100"):
        for start in range(0, 1200, 400):
            await rig.send(game.round_trip(range(start, start + 400)))
            await until(lambda: more_than(rig, game, 0))
            await rig.engine.dispose()
            await rig.kill("postgres")
        await until_stored(rig, game, 1200)
        await until(lambda: only_pending(rig, 0))
    assert await deliveries(rig) - before == 3 * 1200, "each was held and not sent back, however often it was tried"


async def deliveries(rig: Rig) -> int:
    info = await rig.nc.jetstream().consumer_info("EXPERIENCE", "reward")
    assert info.delivered
    return int(info.delivered.consumer_seq)


@of("broker")
async def test_the_broker_may_go_away(rig: Rig, game: Game) -> None:
    async with rig.serving("broker", HEARTHMIND_REWARD__BATCH_MAX="100"):
        for start in range(0, 900, 300):
            await rig.send(game.round_trip(range(start, start + 300)))
            await rig.kill("nats")
        await until(lambda: has(rig, "experiences", game, "true", 900))
    assert await rig.experiences(game.name) == (900, 900)
    assert await rig.counters(game.name) == (900, 900)


@of("dropped")
async def test_without_the_inbox_outcomes_are_doubled(rig: Rig, game: Game) -> None:
    """The tests above would see it: what a journal sends again becomes a second experience."""
    subject, body, message_id = game.outcome("d1")
    async with transaction(rig.engine) as connection:
        await connection.execute(
            text(
                "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS"
                " 'BEGIN DELETE FROM inbox; RETURN NULL; END'"
            )
        )
        await connection.execute(
            text("CREATE TRIGGER forget AFTER INSERT ON inbox FOR EACH STATEMENT EXECUTE FUNCTION forget()")
        )
    try:
        async with rig.serving("dropped"):
            await rig.send([game.action("d1"), game.detail("d1"), (subject, body, message_id)])
            await until(lambda: has(rig, "experiences", game, "true", 1))
            await rig.send([(subject, body, f"{message_id}/again")])
            await until(lambda: has(rig, "experiences", game, "true", 2))
    finally:
        async with transaction(rig.engine) as connection:
            await connection.execute(text("DROP FUNCTION forget CASCADE"))
    assert await rig.experiences(game.name) == (2, 1)


# ---- around it --------------------------------------------------------------------------------------------------------


@of("traced")
async def test_a_sampled_trace_goes_on(rig: Rig, game: Game) -> None:
    folder = rig.folder / "spans"
    async with rig.serving("traced", HEARTHMIND_TELEMETRY__FOLDER=str(folder)):
        for decision, parent in (("d1", SAMPLED), ("d2", SAMPLED[:-1] + "0")):
            said = [game.action(decision), game.detail(decision), game.outcome(decision)]
            await rig.send(said, traceparent=parent)
        await until_stored(rig, game, 2)
    assert await rig.count("experiences", game.name, f"trace_id = '{SAMPLED[3:35]}'") == 1
    spans = "".join(path.read_text() for path in folder.iterdir())
    assert len(re.findall(SAMPLED[3:35], spans)) >= 1
    assert '"d1"' in spans
    assert '"d2"' not in spans


async def test_wrong_credentials_end_the_start(rig: Rig) -> None:
    env = {**os.environ, **rig.environment(HEARTHMIND_BROKER__PASSWORD="wrong")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.reward"), cwd=ROOT, env=env, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == EXIT_CONFIG
    assert b"refused the credentials of 'reward'" in said
