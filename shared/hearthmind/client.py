"""What a game imports: observe, act, report.

    async with connect("nats://game_castle:...@127.0.0.1:4222", game="castle") as mind:
        decision = await mind.observe(npc="guard", kind="patrol", legal_actions=[...], state={...}, snapshot=7)
        ...                                            # the game does decision.action with decision.arguments
        await mind.report(decision, success=True, facts={"seen": 2})

`observe` always returns one legal action in time: the platform's, or, when that stays away, the library's own fallback.
Outcomes wait in a journal until the platform has stored them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from hearthmind import ids
from hearthmind.alarm import Alarm
from hearthmind.bus.connect import Connection, Msg, close
from hearthmind.bus.connect import connect as connect_to_broker
from hearthmind.bus.publish import Publisher
from hearthmind.bus.wire import decode, encode, refuse_non_finite
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.observation import Choice, Event, Heard, LegalAction, Observation, Real, Whole
from hearthmind.contracts.outcome import CLIENT, PLATFORM, Executed, OutcomeObserved
from hearthmind.contracts.wire import Fact, Message
from hearthmind.decision import Decision
from hearthmind.errors import HearthmindError, Malformed, TooLarge, Unavailable
from hearthmind.flow import game_user, tier_of
from hearthmind.journal import Journal
from hearthmind.outbox import Outbox
from hearthmind.persona import NOBODY, Persona
from hearthmind.referee import Execute, PersonaOf, Referee, Tally, Verdict, nobody
from hearthmind.settings import Broker
from hearthmind.telemetry import names, trace

__all__ = ["Choice", "Client", "Decision", "Heard", "LegalAction", "Real", "Whole", "connect"]

log = logging.getLogger("hearthmind.client")

STREAM_MAX = 100_000
"""How many decisions wait for a game that sends and does not listen."""
HEADERS_ROOM_BYTES = 4 * 1024
AWAY_S = 3.0
"""So long a game waits for a broker that is away; then the library's fallback answers at once, until it is back."""
AWAY_PAUSE_S = 0.02
"""Almost at once: a game that asks again and again has to let others work, who connect it anew."""


class ReplacedByNewer(HearthmindError):
    """The observation {decision} of {npc} was replaced by a newer one of its kind before an action came."""


class AskedTwice(HearthmindError):
    """The observation {decision} was sent before and still waits for its action. Make a new one with `observation`."""


class ReportedTwice(HearthmindError):
    """The outcome of decision {decision} was reported before. The first one counts; report each decision once."""


class Client:
    """A game's side of the bus."""

    def __init__(
        self, nc: Connection, publisher: Publisher, game: str, journal: Journal, persona_of: PersonaOf = nobody
    ) -> None:
        self.game = game
        self.on_decision: Callable[[Decision], None] | None = None
        """Told of each decision, for views and statistics."""
        self._nc = nc
        self._publisher = publisher
        self._persona_of = persona_of
        self._referee = Referee(self._who)
        self._decided: dict[str, asyncio.Future[Decision]] = {}
        self._asked: dict[str, tuple[float, trace.Span | None]] = {}
        self._stream: asyncio.Queue[Decision] = asyncio.Queue(STREAM_MAX)
        self._outbox = Outbox(nc, publisher, game, journal)
        self._alarm = Alarm(self._on_alarm)
        self._away_s: float | None = None

    @property
    def tally(self) -> Tally:
        """What was asked and executed so far."""
        return self._referee.tally

    @property
    def journal(self) -> Journal:
        """The outcomes that are not known to be stored."""
        return self._outbox.journal

    @property
    def outcomes(self) -> int:
        """How many outcomes were reported."""
        return self._outbox.reported

    @property
    def stored(self) -> int:
        """How many outcomes the platform has confirmed, those of an earlier life included."""
        return self._outbox.stored

    @property
    def resent(self) -> int:
        """How often an outcome was sent again."""
        return self._outbox.resent

    # ---- observe ---------------------------------------------------------------------------------------------------

    async def observe(self, *, npc: str, kind: str, legal_actions: Iterable[LegalAction], **more: Any) -> Decision:
        """Tells what an NPC sees and returns what it does, in time; `more` is what `observation` takes."""
        return await self.ask(self.observation(npc=npc, kind=kind, legal_actions=legal_actions, **more))

    async def event(self, *, npc: str, kind: str, legal_actions: Iterable[LegalAction], **more: Any) -> Decision:
        """The same for something that happened and must not be replaced by anything newer."""
        return await self.ask(self.observation(npc=npc, kind=kind, legal_actions=legal_actions, is_event=True, **more))

    def observation(
        self,
        *,
        npc: str,
        kind: str,
        legal_actions: Iterable[LegalAction],
        state: Mapping[str, Any] | None = None,
        snapshot: int = 0,
        answer_within_s: float = 1.0,
        priority: int = 5,
        game_time: float = 0.0,
        episode: str = "main",
        texts: Iterable[Heard] = (),
        persona: str | None = None,
        scene: str | None = None,
        is_event: bool = False,
    ) -> Observation:
        """Builds an observation and checks it here, where the mistake was made."""
        refuse_non_finite(state or {}, "state")
        kind_of = Event if is_event else Observation
        try:
            return kind_of(
                id=ids.new_decision_id(),
                game=self.game,
                npc=ids.check_id("npc", npc),
                kind=ids.check_id("kind", kind),
                legal_actions=tuple(legal_actions),
                answer_within_ms=round(answer_within_s * 1000),
                snapshot=snapshot,
                game_time=game_time,
                episode=ids.check_id("episode", episode),
                priority=priority,
                state=msgspec.Raw(msgspec.json.encode(state or {})),
                texts=tuple(texts),
                persona=None if persona is None else ids.check_id("persona", persona),
                scene=None if scene is None else ids.check_id("scene", scene),
            )
        except (ValueError, OverflowError, TypeError) as error:
            raise Malformed(message=kind_of.__name__, why=error) from error

    async def ask(self, observation: Observation) -> Decision:
        """Sends an observation and waits for its one action."""
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        await self._ask(observation, future)
        return await future

    async def send(self, observation: Observation) -> str:
        """Sends an observation without waiting; its decision comes out of `decisions`."""
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        future.add_done_callback(self._into_stream)
        await self._ask(observation, future)
        return observation.id

    async def decisions(self) -> AsyncIterator[Decision]:
        """The decisions of what was sent, as they come."""
        while True:
            yield await self._stream.get()

    def _into_stream(self, future: asyncio.Future[Decision]) -> None:
        if future.cancelled() or future.exception():
            return
        try:
            self._stream.put_nowait(future.result())
        except asyncio.QueueFull:
            log.warning("%d decisions wait and nobody takes them: listen to decisions(), or use observe", STREAM_MAX)

    async def _ask(self, observation: Observation, future: asyncio.Future[Decision]) -> None:
        if observation.id in self._decided:
            raise AskedTwice(decision=observation.id)
        if observation.game != self.game:
            why = f"it is of the game {observation.game}, and this connection is {self.game}'s"
            raise Malformed(message=type(observation).__name__, why=why)
        data = encode(observation)
        self._check(data, type(observation))
        now_s = time.monotonic()
        span = self._observe_span(observation)
        self._decided[observation.id] = future
        self._asked[observation.id] = (now_s, span)
        self._carry_out(self._referee.observed(observation, now_s))
        if self._is_away(now_s):
            await asyncio.sleep(AWAY_PAUSE_S)
            self._carry_out(self._referee.refused(observation.id, "the broker is away", time.monotonic()))
            return
        is_event = isinstance(observation, Event)
        subject_of = ids.event_subject if is_event else ids.observation_subject
        subject = subject_of(self.game, observation.npc, observation.kind)
        message_id = ids.message_id(self.game, observation.npc, observation.id)
        try:
            give_up_s = observation.answer_within_ms / 1000
            stored = await self._publisher.send(subject, data, message_id, trace.headers(span), give_up_s)
            stored.add_done_callback(lambda done: self._on_observation_stored(observation.id, done))
        except Unavailable as error:
            self._carry_out(self._referee.refused(observation.id, str(error), time.monotonic()))

    def _is_away(self, now_s: float) -> bool:
        """Whether the broker has been away since somebody asked some time ago: nobody need wait for it then."""
        if self._nc.is_connected:
            self._away_s = None
        elif self._away_s is None:
            self._away_s = now_s
        return self._away_s is not None and now_s - self._away_s >= AWAY_S

    def _on_observation_stored(self, decision: str, stored: asyncio.Future[Any]) -> None:
        error = None if stored.cancelled() else stored.exception()
        if error is not None:
            self._carry_out(self._referee.refused(decision, str(error), time.monotonic()))

    def _observe_span(self, observation: Observation) -> trace.Span | None:
        attributes = {
            names.MESSAGING_SYSTEM: "nats",
            names.MESSAGING_OPERATION_TYPE: "send",
            names.DECISION_ID: observation.id,
            names.GAME: self.game,
            names.NPC: observation.npc,
            names.KIND: observation.kind,
            names.TIER: tier_of(observation.priority),
        }
        return trace.start(names.SPAN_OBSERVE, trace.PRODUCER, None, attributes)

    async def _on_action(self, msg: Msg) -> None:
        try:
            action = decode(msg.data, ActionChosen)
        except HearthmindError as error:
            log.warning("an action is passed over: %s", error)
            return
        self._carry_out(self._referee.chosen(action, time.monotonic()), msg)

    def _carry_out(self, verdicts: list[Verdict], msg: Msg | None = None) -> None:
        for verdict in verdicts:
            future = self._decided.pop(verdict.observation.id)
            asked_s, span = self._asked.pop(verdict.observation.id)
            if isinstance(verdict, Execute):
                chosen = verdict.chosen
                decision = Decision(verdict.observation, chosen, (verdict.now_s - asked_s) * 1000)
                decision.span = _act_span(decision, span, msg)
                result = {names.SOURCE: chosen.source, names.ACTION: chosen.action, names.WHY: chosen.why}
                trace.end(span, attributes=result)
                if not future.done():
                    future.set_result(decision)
                self._tell(decision)
            else:
                trace.end(span, error="replaced by a newer observation")
                if not future.done():
                    error = ReplacedByNewer(decision=verdict.observation.id, npc=verdict.observation.npc)
                    future.set_exception(error)
        self._alarm.set(self._referee.wakes_s)

    def _tell(self, decision: Decision) -> None:
        try:
            if self.on_decision:
                self.on_decision(decision)
        except Exception:
            log.exception("on_decision failed; the decision %s stands", decision.id)

    def _who(self, observation: Observation) -> Persona:
        try:
            return self._persona_of(observation)
        except Exception:
            log.exception("persona_of failed; %s is nobody in the decision %s", observation.npc, observation.id)
            return NOBODY

    def _on_alarm(self) -> None:
        self._carry_out(self._referee.ticked(time.monotonic()))

    # ---- report ----------------------------------------------------------------------------------------------------

    async def report(
        self,
        decision: Decision,
        *,
        success: bool,
        facts: Mapping[str, Fact] | None = None,
        state_after: Mapping[str, Any] | None = None,
        game_time: float | None = None,
        opponent: str | None = None,
        related: Iterable[str] = (),
    ) -> None:
        """Tells what came of a decision. It is written down first and sent until the platform has stored it.

        `opponent` is whom it was done to or with, `related` names earlier decisions that this one answers.
        """
        if decision.is_reported:
            raise ReportedTwice(decision=decision.id)
        facts = dict(facts or {})
        refuse_non_finite(facts, "facts")
        refuse_non_finite(state_after or {}, "state_after")
        chosen, observation = decision.chosen, decision.observation
        by_client = chosen.source == CLIENT
        executed = Executed(
            action=chosen.action,
            arguments=chosen.arguments,
            by=CLIENT if by_client else PLATFORM,
            why=chosen.why if by_client else "",
        )
        outcome = OutcomeObserved(
            decision=decision.id,
            game=self.game,
            npc=decision.npc,
            kind=decision.kind,
            executed=executed,
            success=success,
            facts=facts,
            state_after=msgspec.Raw(msgspec.json.encode(state_after or {})),
            game_time=observation.game_time if game_time is None else game_time,
            episode=observation.episode,
            opponent=opponent,
            related=tuple(related),
            observation=observation if by_client else None,
        )
        data = encode(outcome)
        self._check(data, OutcomeObserved)
        self._outbox.write_down(decision.id, ids.outcome_subject(self.game, decision.npc), data)
        decision.is_reported = True
        await self._outbox.send(decision.id, decision.span)

    async def wait_stored(self, within_s: float) -> bool:
        """Waits until the platform has stored every outcome; False where some are still in the journal."""
        return await self._outbox.wait_empty(within_s)

    def _check(self, data: bytes, kind: type[Message]) -> None:
        """What the broker or the platform would refuse is refused here, with the same words."""
        limit_bytes = self._publisher.payload_max - HEADERS_ROOM_BYTES
        if len(data) > limit_bytes:
            raise TooLarge(message=kind.__name__, size_bytes=len(data), limit_bytes=limit_bytes)
        decode(data, kind)

    # ---- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> Client:
        """Begins to listen."""
        await self._nc.subscribe(ids.action_subject(self.game, "*"), cb=self._on_action, pending_msgs_limit=200_000)
        await self._outbox.start()
        await self._nc.flush()
        return self

    async def stop(self) -> None:
        """Ends; what is not confirmed stays in the journal, and who still waits gets the fallback at its deadline."""
        self._outbox.stop()
        await self._publisher.stop()
        await close(self._nc)
        self.journal.close()


@asynccontextmanager
async def connect(
    url: str,
    *,
    game: str,
    user: str | None = None,
    password: str = "",
    journal: Path | None = None,
    start_within_s: float = 10.0,
    persona_of: PersonaOf = nobody,
) -> AsyncIterator[Client]:
    """Connects a game, with the user and password of the address or of their own.

    With a journal's path, outcomes survive a crash of the game; without, only one of the platform. With `persona_of`, such as
    `hearthmind.personas.personas(folder).of`, NPCs stay who they are also where the library's fallback decides for them.
    """
    parts = urlsplit(url)
    user = user or parts.username or game_user(ids.check_id("game", game))
    broker = Broker(url=url, user=user, password=password or parts.password or "", start_within_s=start_within_s)
    nc = await connect_to_broker(broker, f"game-{game}", on_closed=_on_closed)
    client = await Client(nc, await Publisher(nc).start(), game, Journal(journal), persona_of).start()
    try:
        yield client
    finally:
        await client.stop()


def _act_span(decision: Decision, asked: trace.Span | None, msg: Msg | None) -> trace.Span | None:
    """A moment in the trace: the action reached the game."""
    if asked is None or not trace.is_sampled(asked):
        return None
    parent = trace.parent_of(msg.headers or {}) if msg else None
    attributes = {names.DECISION_ID: decision.id, names.SOURCE: decision.source, names.ACTION: decision.action}
    span = trace.start(names.SPAN_ACT, trace.CONSUMER, parent or asked.get_span_context(), attributes)
    trace.end(span)
    return span


def _on_closed() -> None:
    log.error("the connection to the platform closed for good; every NPC now acts by its fallback")
