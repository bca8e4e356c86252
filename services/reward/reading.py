"""Reads messages: from bytes as the bus delivered them to rows, or the reason why not. Pure."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeVar

import msgspec

from hearthmind import ids
from hearthmind.bus.settle import Attempt, before_handling
from hearthmind.bus.wire import decode_any
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.observation import Event, LegalAction, Observation
from hearthmind.contracts.outcome import OutcomeObserved
from hearthmind.contracts.wire import Unknown
from hearthmind.errors import Refused
from hearthmind.store.rows import DecisionRow, Key, OutcomeRow, TextRow
from hearthmind.store.storable import storable_json, storable_text
from hearthmind.telemetry import trace

log = logging.getLogger("hearthmind.reward")

ACTION, DETAIL, OUTCOME = "action", "detail", "outcome"


class Misplaced(Refused):
    """The subject {subject} is not that of what the message says ({expected}). A game speaks for itself alone."""


class Arrived(Protocol):
    """A message as the bus delivered it."""

    subject: str
    data: bytes
    headers: dict[str, str]
    stream: str
    sequence: int
    stored_s: float
    attempt: Attempt


A = TypeVar("A", bound=Arrived)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that can be stored: its id and its rows."""

    arrived: Arrived
    part: str
    message_id: str
    row: DecisionRow | OutcomeRow
    texts: tuple[TextRow, ...] = ()

    @property
    def key(self) -> Key:
        """Its game and decision."""
        return self.row.game, self.row.decision


def read(arrived: Arrived) -> Incoming | Unknown:
    """Reads one message, of a kind from the future perhaps; raises where it can't be stored."""
    expected = OutcomeObserved.__name__ if arrived.subject.split(".")[2:3] == [OUTCOME] else ""
    message = decode_any(arrived.data, ActionChosen, DecisionMade, OutcomeObserved, expected=expected)
    row: DecisionRow | OutcomeRow
    seen: Observation | None = None
    if isinstance(message, ActionChosen):
        part, subject, row = ACTION, ids.chosen_subject, _action_row(message, arrived)
    elif isinstance(message, DecisionMade):
        part, subject, row = DETAIL, ids.decision_subject, _detail_row(message, arrived)
        seen = message.observation
    elif isinstance(message, OutcomeObserved):
        part, subject, row = OUTCOME, ids.outcome_subject, _outcome_row(message, arrived)
        seen = message.observation
    else:
        assert isinstance(message, Unknown)
        return message
    if arrived.subject != (expected := subject(row.game, row.npc)):
        raise Misplaced(subject=arrived.subject, expected=expected)
    message_id = ids.message_id(row.game, row.npc, row.decision, part)
    return Incoming(arrived, part, message_id, row, _text_rows(row, seen) if seen else ())


def readable_of(deliveries: Iterable[A]) -> tuple[list[Incoming], list[tuple[A, BaseException | None]]]:
    """Those that can be stored, and those that are settled already."""
    readable: list[Incoming] = []
    settled: list[tuple[A, BaseException | None]] = []
    for delivery in deliveries:
        error = before_handling(delivery.attempt)
        incoming = None
        if error is None:
            try:
                incoming = read(delivery)
            except Exception as raised:
                error = raised
        if isinstance(incoming, Incoming):
            readable.append(incoming)
        else:
            settled.append((delivery, error))
            if incoming:
                log.info("%s: passed over, since nobody here knows a %.64r", delivery.subject, incoming.said)
    return readable, settled


def _action_row(action: ActionChosen, arrived: Arrived) -> DecisionRow:
    return DecisionRow(
        game=action.game,
        decision=action.decision,
        npc=action.npc,
        kind=action.kind,
        episode=action.episode,
        trace_id=_trace_id(arrived),
        decided_at=_time_of(arrived),
        snapshot=action.snapshot,
        action=action.action,
        arguments=as_json(action.arguments),
        source=storable_text(action.source),
        why=storable_text(action.why),
        model=storable_text(action.model),
        speech=storable_text(action.speech),
        reasoning=storable_text(action.reasoning),
        confidence=action.confidence,
        attempt=action.attempt,
        stages_ms=as_json(action.stages_ms),
    )


def _detail_row(detail: DecisionMade, arrived: Arrived) -> DecisionRow:
    return DecisionRow(
        game=detail.game,
        decision=detail.decision,
        npc=detail.npc,
        kind=detail.kind,
        episode=detail.episode,
        trace_id=_trace_id(arrived),
        tier=storable_text(detail.tier),
        partition=detail.partition,
        epoch=detail.epoch,
        observation=_observation_json(detail.observation),
        answer=storable_text(detail.answer),
        worker=storable_text(detail.worker),
        tokens_in=detail.tokens_in,
        tokens_out=detail.tokens_out,
    )


def _outcome_row(outcome: OutcomeObserved, arrived: Arrived) -> OutcomeRow:
    return OutcomeRow(
        game=outcome.game,
        happened_at=_time_of(arrived),
        decision=outcome.decision,
        npc=outcome.npc,
        kind=outcome.kind,
        episode=outcome.episode,
        action=outcome.executed.action,
        arguments=as_json(outcome.executed.arguments),
        executed_by=storable_text(outcome.executed.by),
        why=storable_text(outcome.executed.why),
        success=outcome.success,
        facts=as_json(outcome.facts),
        state_after=storable_json(outcome.state_after),
        game_time=outcome.game_time,
        observation=_observation_json(outcome.observation) if outcome.observation else None,
        digest=hashlib.blake2b(arrived.data, digest_size=16).digest(),
        sequence=arrived.sequence,
        trace_id=_trace_id(arrived),
    )


class _Seen(msgspec.Struct):
    """Of an observation what is kept: without the players' words, which have a table of their own."""

    type: str
    snapshot: int
    game_time: float
    priority: int
    answer_within_ms: int
    state: msgspec.Raw
    legal_actions: tuple[LegalAction, ...]


def _observation_json(seen: Observation) -> str:
    kind = "event" if isinstance(seen, Event) else "observation"
    kept = (seen.snapshot, seen.game_time, seen.priority, seen.answer_within_ms, seen.state, seen.legal_actions)
    return as_json(_Seen(kind, *kept))


def _text_rows(row: DecisionRow | OutcomeRow, seen: Observation) -> tuple[TextRow, ...]:
    return tuple(
        TextRow(row.game, row.decision, number, row.npc, storable_text(heard.speaker), storable_text(heard.text))
        for number, heard in enumerate(seen.texts)
    )


def as_json(value: object) -> str:
    """The value as JSON that Postgres can store."""
    return storable_json(msgspec.json.encode(value))


def _time_of(arrived: Arrived) -> datetime:
    return datetime.fromtimestamp(arrived.stored_s, UTC)


def _trace_id(arrived: Arrived) -> str | None:
    """The trace that it belongs to, where anything is kept of it."""
    parent = trace.parent_of(arrived.headers)
    return trace.trace_id(parent) if parent and parent.trace_flags.sampled else None


def headers_json(headers: Mapping[str, str]) -> str:
    """A message's headers as JSON; what is not a character in them is replaced."""
    return as_json({key: value.encode(errors="replace").decode() for key, value in headers.items()})
