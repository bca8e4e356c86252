"""From messages to rows: pure. Big texts become documents, and rows hold their keys."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from hearthmind.bus.settle import Attempt
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.observation import Observation
from hearthmind.contracts.outcome import OutcomeObserved, ReplyRated
from hearthmind.contracts.policy import PolicyViolated
from hearthmind.store.cases import features_of
from hearthmind.store.documents import key_of
from hearthmind.store.rows import (
    DecisionRow,
    DocumentRow,
    LinkRow,
    OutcomeRow,
    RatingRow,
    TextRow,
    ViolationRow,
)
from hearthmind.store.storable import storable_json, storable_state, storable_text
from hearthmind.store.violations import row_of
from hearthmind.telemetry import trace
from services.reward.skimming import Skimmed

_encode = msgspec.json.Encoder().encode

ANSWERS, RECALLS = "answers", "recalls"
"""How a decision refers to an earlier one: it strikes back or takes up an offer; or it had it in mind."""


class Arrived(Protocol):
    """A message as the bus delivered it."""

    subject: str
    data: bytes
    headers: dict[str, str]
    stream: str
    sequence: int
    stored_s: float
    attempt: Attempt


@dataclass(slots=True)
class Beside:
    """The rows beside a message's own."""

    game: str
    at_s: float
    texts: list[TextRow] = field(default_factory=list)
    documents: list[DocumentRow] = field(default_factory=list)
    links: list[LinkRow] = field(default_factory=list)

    def document(self, body: str, *, is_shared: bool = False) -> bytes:
        """Keeps a big text, which many may share; returns its key."""
        key = key_of(body, self.at_s, is_shared=is_shared)
        self.documents.append(DocumentRow(self.game, key, body))
        return key

    def refer(self, decision: str, npc: str, earlier: Sequence[str], how: str) -> str:
        """Keeps what a decision refers to; returns it as JSON."""
        if not earlier:
            return "[]"
        referred = [each for each in dict.fromkeys(earlier) if each != decision]
        at = datetime.fromtimestamp(self.at_s, UTC)
        self.links.extend(LinkRow(self.game, each, decision, how, npc, at) for each in referred)
        return as_json(referred) if referred else "[]"


def action_row(action: ActionChosen, arrived: Arrived) -> DecisionRow:
    """The half of a decision that is its action."""
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
        adapter=storable_text(action.adapter),
        template=storable_text(action.template),
        persona=storable_text(action.persona),
        speech=storable_text(action.speech),
        reasoning=storable_text(action.reasoning),
        confidence=action.confidence,
        attempt=action.attempt,
        stages_ms=as_json(action.stages_ms),
    )


def detail_row(detail: DecisionMade, arrived: Arrived, beside: Beside) -> DecisionRow:
    """The half of a decision that it was made from."""
    seen = _seen(detail.observation, beside)
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
        observation=seen.observation,
        state=seen.state,
        legal_actions=seen.legal_actions,
        features=seen.features,
        prompt=_prompt(detail, beside),
        answer=beside.document(storable_text(detail.answer)) if detail.answer else None,
        route=storable_text(detail.route),
        worker=storable_text(detail.worker),
        adapter_sha256=storable_text(detail.adapter_sha256),
        behaviour=as_json(detail.behaviour),
        variant=storable_text(detail.variant),
        experiment=storable_text(detail.experiment),
        related=beside.refer(detail.decision, detail.npc, detail.related, RECALLS),
        tokens_in=detail.tokens_in,
        tokens_cached=detail.tokens_cached,
        tokens_out=detail.tokens_out,
        cost_usd=detail.cost_usd,
    )


def outcome_row(outcome: OutcomeObserved, arrived: Arrived, beside: Beside) -> OutcomeRow:
    """What came of it."""
    seen = _seen(outcome.observation, beside) if outcome.observation else _UNSEEN
    return OutcomeRow(
        game=outcome.game,
        decision=outcome.decision,
        happened_at=_time_of(arrived),
        npc=outcome.npc,
        kind=outcome.kind,
        episode=outcome.episode,
        action=outcome.executed.action,
        arguments=as_json(outcome.executed.arguments),
        executed_by=storable_text(outcome.executed.by),
        why=storable_text(outcome.executed.why),
        success=outcome.success,
        facts=as_json(outcome.facts),
        state_after=beside.document(storable_state(outcome.state_after)),
        game_time=outcome.game_time,
        opponent=storable_text(outcome.opponent) if outcome.opponent is not None else None,
        answers=beside.refer(outcome.decision, outcome.npc, outcome.related, ANSWERS),
        observation=seen.observation,
        state=seen.state,
        legal_actions=seen.legal_actions,
        features=seen.features,
        digest=hashlib.blake2b(arrived.data, digest_size=16).digest(),
        sequence=arrived.sequence,
        trace_id=_trace_id(arrived),
    )


def rating_row(rating: ReplyRated, arrived: Arrived) -> RatingRow:
    """What a player thought of it."""
    return RatingRow(
        game=rating.game,
        decision=rating.decision,
        about=rating.about,
        rater=storable_text(rating.rater),
        npc=rating.npc,
        score=rating.score,
        rated_at=_time_of(arrived),
    )


def violation_row(violation: PolicyViolated, arrived: Arrived) -> ViolationRow:
    """What was forbidden, with the state that led to it and without the players' words."""
    return row_of(violation, _time_of(arrived))


def text_rows(decision: str, npc: str, seen: Observation, beside: Beside) -> None:
    """Keeps what players said, in a table of their own."""
    beside.texts.extend(
        TextRow(beside.game, decision, number, npc, storable_text(heard.speaker), storable_text(heard.text))
        for number, heard in enumerate(seen.texts)
    )


class _Header(msgspec.Struct, omit_defaults=True):
    """Of an observation what is neither big nor anybody's words."""

    type: str
    snapshot: int
    game_time: float
    priority: int
    answer_within_ms: int
    persona: str | None = None
    scene: str | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    """The columns of an observation."""

    observation: str | None = None
    state: bytes | None = None
    legal_actions: bytes | None = None
    features: str | None = None


_UNSEEN = _Seen()


def _seen(seen: Observation, beside: Beside) -> _Seen:
    kind = str(seen.__struct_config__.tag)
    said = (seen.snapshot, seen.game_time, seen.priority, seen.answer_within_ms, seen.persona, seen.scene)
    header = _Header(kind, *said)
    return _Seen(
        as_json(header),
        beside.document(storable_state(seen.state)),
        beside.document(seen.legal_json if isinstance(seen, Skimmed) else as_json(seen.legal_actions), is_shared=True),
        features_of(seen.state),
    )


def _prompt(detail: DecisionMade, beside: Beside) -> str:
    """Each turn is a document of its own: what many prompts begin with is kept once."""
    last = len(detail.prompt) - 1
    turns = [
        (turn.role, beside.document(storable_text(turn.text), is_shared=number < last).hex())
        for number, turn in enumerate(detail.prompt)
    ]
    return as_json(turns) if turns else "[]"


def as_json(value: object) -> str:
    """The value as JSON that Postgres can store."""
    return storable_json(_encode(value))


def headers_json(headers: Mapping[str, str]) -> str:
    """A message's headers as JSON; what is not a character in them is replaced."""
    return as_json({key: value.encode(errors="replace").decode() for key, value in headers.items()})


def _time_of(arrived: Arrived) -> datetime:
    return datetime.fromtimestamp(arrived.stored_s, UTC)


def _trace_id(arrived: Arrived) -> str | None:
    """The trace that it belongs to, where anything is kept of it."""
    parent = trace.parent_of(arrived.headers)
    return trace.trace_id(parent) if parent and parent.trace_flags.sampled else None
