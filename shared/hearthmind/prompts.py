"""Answers for whoever wants answers rather than decisions: one prompt or a list of them, over the same workers and tiers.

    async with prompts.connect("nats://prompts:…@127.0.0.1:4222", game="realm", pool="nano") as asking:
        answer = await asking.ask("Name a village by the sea.", within_s=20)
        print(answer.text)
        for answer in await asking.ask_all(["Insult a neighbour.", "Praise a friend."], priority=8, varied=True):
            print(answer.text or f"none: {answer.failed}")
        await asking.queue("Write a chronicle.", print, priority=10)

The law: every prompt that was taken gets exactly one `Inferred`, an answer or a reason why there is none, at the latest when its
time is up; a list's answers come in the order of its prompts, and one that fails harms no other. Never more than `at_once` are
under way: who asks for more waits for a turn, and so does who meets a full tier.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TypedDict, Unpack
from urllib.parse import urlsplit

from hearthmind import ids
from hearthmind.bus.clock import BrokerClock, keep_time, learn
from hearthmind.bus.connect import Connection, Msg, close
from hearthmind.bus.connect import connect as connect_to_broker
from hearthmind.bus.publish import DEADLINE, TTL, Publisher, StreamFull
from hearthmind.bus.wire import MESSAGE_BYTES_MAX, decode, encode
from hearthmind.contracts.inference import LATE, REFUSED, USER, Infer, Inferred, Sampling, Turn, Withdraw
from hearthmind.errors import HearthmindError, Malformed, TooLarge, Unavailable
from hearthmind.flow import PROMPTS, tier_of
from hearthmind.settings import Broker

__all__ = ["How", "Inferred", "NoAnswer", "Prompts", "Sampling", "Turn", "connect"]

log = logging.getLogger("hearthmind.prompts")

AT_ONCE = 256
"""More than an engine works on at once, and little enough to leave the tiers to the games."""
WITHIN_S = 30.0
FULL_PAUSE_S = 0.25
GRACE_S = 0.5
"""So much later than the deadline an answer is still taken: it was on its way."""

Prompt = str | Sequence[Turn]
"""Words, or turns; what many prompts have in common stands first."""


class How(TypedDict, total=False):
    """What may be said about a prompt."""

    priority: int
    """From 0, the highest, to 10; 5 where nothing is said."""
    answer_schema: str
    """The JSON schema that the answer has to obey, as text."""
    sampling: Sampling
    adapter: str
    """Its name, or a version of it: `<name>@<version>`."""
    varied: bool
    """Each answer is to be drawn anew; otherwise one that was given within the hour may be given again."""
    within_s: float
    """How long an answer is of use, from when the prompt's turn has come; half a minute where nothing is said."""


class NoAnswer(HearthmindError):
    """There is no answer ({failure}): {failed}."""


class Prompts:
    """One asker's side of the bus."""

    def __init__(
        self, nc: Connection, publisher: Publisher, clock: BrokerClock, game: str, pool: str, model: str, at_once: int
    ) -> None:
        self._nc = nc
        self._publisher = publisher
        self._clock = clock
        self._game = ids.check_id("game", game)
        self._pool = ids.check_id("pool", pool)
        self._model = model
        self._me = f"asker-{secrets.token_hex(8)}"
        self._turns = asyncio.Semaphore(at_once)
        self._waiting: dict[str, asyncio.Future[Inferred]] = {}
        self._queued: set[asyncio.Task[None]] = set()

    # ---- asking ----------------------------------------------------------------------------------------------------

    async def ask(self, prompt: Prompt, **how: Unpack[How]) -> Inferred:
        """The answer to a prompt; raises `NoAnswer` where there is none."""
        answer = await self._in_turn(self._infer(prompt, how), how)
        if answer.failed:
            raise NoAnswer(failure=answer.failure, failed=answer.failed)
        return answer

    async def ask_all(self, prompts: Iterable[Prompt], **how: Unpack[How]) -> list[Inferred]:
        """The answers in the order of the prompts; one that failed says why in `failed` and `failure`."""
        infers = [self._infer(prompt, how) for prompt in prompts]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._in_turn(infer, how)) for infer in infers]
        return [task.result() for task in tasks]

    async def queue(self, prompt: Prompt, on_answer: Callable[[Inferred], object], **how: Unpack[How]) -> None:
        """Returns when the prompt's turn has come; its answer, or why there is none, goes to `on_answer`."""
        infer = self._infer(prompt, how)
        await self._turns.acquire()

        async def wait() -> None:
            try:
                answer = await self._answer(infer, how)
            finally:
                self._turns.release()
            try:
                on_answer(answer)
            except Exception:
                log.exception("on_answer failed; nobody else gets that answer")

        task = asyncio.create_task(wait())
        self._queued.add(task)
        task.add_done_callback(self._queued.discard)

    async def wait_queued(self) -> None:
        """Waits until everything queued has its answer."""
        while self._queued:
            await asyncio.wait(self._queued)

    # ---- one question ----------------------------------------------------------------------------------------------

    def _infer(self, prompt: Prompt, how: How) -> Infer:
        priority = how.get("priority", 5)
        if not 0 <= priority <= 10:
            raise Malformed(message="Infer", why=f"the priority is {priority}; 0 is the highest, 10 the lowest")
        turns = (Turn(USER, prompt),) if isinstance(prompt, str) else tuple(prompt)
        if not turns:
            raise Malformed(message="Infer", why="the prompt is empty")
        return Infer(
            game=self._game,
            npc=PROMPTS,
            decision=ids.new_decision_id(),
            attempt=1,
            partition=0,
            tier=tier_of(priority),
            priority=priority,
            pool=self._pool,
            model=self._model,
            prompt=turns,
            answer_schema=how.get("answer_schema", ""),
            sampling=how.get("sampling", Sampling()),
            adapter=how.get("adapter", ""),
            varied=how.get("varied", False),
            asker=self._me,
        )

    async def _in_turn(self, infer: Infer, how: How) -> Inferred:
        async with self._turns:
            return await self._answer(infer, how)

    async def _answer(self, infer: Infer, how: How) -> Inferred:
        """What came, or why nothing did; whoever is cancelled withdraws the question."""
        answered: asyncio.Future[Inferred] = asyncio.get_running_loop().create_future()
        self._waiting[infer.decision] = answered
        ends_s = time.monotonic() + how.get("within_s", WITHIN_S)
        try:
            await self._send(infer, ends_s)
            async with asyncio.timeout(max(0.0, ends_s - time.monotonic()) + GRACE_S):
                return await answered
        except TimeoutError:
            return _none(infer, LATE, "no answer came in time")
        except HearthmindError as error:
            return _none(infer, REFUSED, str(error))
        except asyncio.CancelledError:
            await self._withdraw(infer)
            raise
        finally:
            del self._waiting[infer.decision]

    async def _send(self, infer: Infer, ends_s: float) -> None:
        """Stores the question; a full tier is tried again while there is time."""
        data = encode(infer)
        if len(data) > MESSAGE_BYTES_MAX:
            raise TooLarge(message="Infer", size_bytes=len(data), limit_bytes=MESSAGE_BYTES_MAX)
        decode(data, Infer)  # what a worker would refuse is refused here
        subject = ids.request_subject(infer.tier, infer.pool)
        message_id = ids.message_id(infer.game, infer.npc, infer.decision, "1")
        while True:
            left_s = ends_s - time.monotonic()
            headers = {DEADLINE: f"{self._clock.broker_s(ends_s):.3f}", TTL: str(max(1, math.ceil(left_s)))}
            try:
                await self._publisher.publish(subject, data, message_id, headers, max(0.0, left_s))
            except StreamFull:
                if left_s <= FULL_PAUSE_S:
                    raise
                await asyncio.sleep(FULL_PAUSE_S)
                continue
            except Unavailable as error:
                log.debug("it may be stored all the same, who waits will see: %s", error)
            return

    async def _withdraw(self, infer: Infer) -> None:
        said = Withdraw(game=infer.game, npc=infer.npc, decision=infer.decision, attempt=infer.attempt)
        await self._nc.publish(ids.withdraw_subject(self._pool), encode(said))

    async def _on_answer(self, msg: Msg) -> None:
        try:
            answer = decode(msg.data, Inferred)
        except HearthmindError as error:
            log.warning("an answer is passed over: %s", error)
            return
        waiting = self._waiting.get(answer.decision)
        if waiting and not waiting.done():  # the first one counts
            waiting.set_result(answer)

    # ---- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> Prompts:
        """Begins to listen."""
        await self._nc.subscribe(ids.answer_subject(self._me), cb=self._on_answer, pending_msgs_limit=200_000)
        await self._nc.flush()
        return self

    async def stop(self) -> None:
        """Ends; what is still queued is withdrawn."""
        for task in self._queued:
            task.cancel()
        if self._queued:
            await asyncio.wait(self._queued)
        await self._publisher.stop()
        await close(self._nc)


@asynccontextmanager
async def connect(
    url: str,
    *,
    game: str,
    pool: str,
    model: str = "",
    user: str | None = None,
    password: str = "",
    at_once: int = AT_ONCE,
    start_within_s: float = 10.0,
) -> AsyncIterator[Prompts]:
    """Connects somebody who asks, with the user and password of the address or of their own.

    The game is whose prompts they are: the response cache never gives an answer to another one's. Without a model's name,
    whichever the pool holds will do.
    """
    parts = urlsplit(url)
    user = user or parts.username or PROMPTS
    broker = Broker(url=url, user=user, password=password or parts.password or "", start_within_s=start_within_s)
    nc = await connect_to_broker(broker, PROMPTS, on_closed=_on_closed)
    clock = BrokerClock()
    own = ("INFERENCE_ROUTINE", ids.check_id("pool", pool))
    try:
        await learn(clock, nc, *own, start_within_s)
        asking = await Prompts(nc, await Publisher(nc).start(), clock, game, pool, model, at_once).start()
    except BaseException:
        await close(nc)
        raise
    keeping = asyncio.create_task(keep_time(clock, nc, *own))
    try:
        yield asking
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
        await asking.stop()


def _none(infer: Infer, failure: str, failed: str) -> Inferred:
    return Inferred(
        game=infer.game, npc=infer.npc, decision=infer.decision, attempt=1, failure=failure, failed=failed[:300]
    )


def _on_closed() -> None:
    log.error("the connection to the platform closed for good; prompts get no answers any more")
