"""Recorded play of people as JSON lines, and the messages that it would have been: pure.

The law: a line becomes the same experience as if it had come over the bus, read by the same reader; the same line is the
same decision, however often it is imported.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec

from hearthmind import ids
from hearthmind.bus.settle import Attempt
from hearthmind.bus.wire import encode
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.inference import USER, Turn
from hearthmind.contracts.observation import LegalAction, Observation
from hearthmind.contracts.outcome import Executed, OutcomeObserved
from hearthmind.contracts.wire import Fact, Id, Word
from hearthmind.errors import Refused
from services.reward.reading import Incoming, read
from services.reward.registry import Registry
from services.reward.rewards import Facts, Reward, clipped, number

HUMAN = "human"
"""The source of what people did."""
TIER = "routine"
ONCE = Attempt(1, 1)
LINE_BYTES_MAX = 512 * 1024


class BadDemonstration(Refused):
    """line {number}: {why}"""


class Demonstration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of the file: what somebody saw, what they did or said, and what came of it."""

    context: msgspec.Raw
    """What was seen: an object, or words."""
    reply: str = ""
    """What was said."""
    action: Id | None = None
    """What was done; `reply` where something was only said."""
    arguments: dict[Id, Fact] = {}
    reward: Annotated[float, msgspec.Meta(ge=-1, le=1)] | None = None
    """What it was worth, where the recording says so; otherwise the game's reward function of this kind does."""
    success: bool | None = None
    """Whether it came off; where only a reward is recorded, one above 0 did."""
    facts: Annotated[dict[Id, Fact], msgspec.Meta(max_length=250)] = {}
    """What came of it."""
    player_id: Word | None = None
    """Who it was: personal data, kept among the facts."""
    npc: Id = "player"
    """As whom."""
    kind: Id = "demonstration"
    opponent: Word | None = None
    episode: Id = "demonstrations"
    game_time: float = 0.0
    id: Id | None = None
    """Its own name, where the same line may come twice and mean two things."""

    def __post_init__(self) -> None:
        if not bytes(self.context).startswith((b"{", b'"')):
            raise ValueError("its `context` is neither an object nor words")
        if not self.reply and self.action is None:
            raise ValueError("it has neither `reply` nor `action`")
        if self.reward is None and self.success is None:
            raise ValueError("it has neither `reward` nor `success`")


@dataclass(slots=True)
class Came:
    """A message as if the bus had delivered it."""

    subject: str
    data: bytes
    sequence: int
    stored_s: float
    headers: dict[str, str] = field(default_factory=dict)
    stream: str = "import"
    attempt: Attempt = ONCE


class Recorded(Registry):
    """Rewards as they were recorded, or as the registry has them."""

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self._registry = registry

    def reward(self, game: str, kind: str, action: str, facts: Facts) -> Reward:
        """What an outcome was worth."""
        recorded = number(facts, "reward")
        if recorded is None:
            return self._registry.reward(game, kind, action, facts)
        return Reward(clipped(recorded), {"recorded": recorded})


def incoming_of(line: bytes, number_: int, game: str, at_s: float) -> list[Incoming]:
    """The action, its detail and its outcome; raises `BadDemonstration`."""
    if len(line) > LINE_BYTES_MAX:
        raise BadDemonstration(number=number_, why=f"it is over {LINE_BYTES_MAX} bytes")
    try:
        shown = msgspec.json.decode(line, type=Demonstration)
        messages = [Came(subject, data, number_, at_s) for subject, data in _messages(shown, line, game)]
        read_ = [read(message) for message in messages]
    except (msgspec.MsgspecError, UnicodeError, Refused, ValueError) as error:
        raise BadDemonstration(number=number_, why=str(error)) from error
    return [each for each in read_ if isinstance(each, Incoming)]


def decision_of(incoming: list[Incoming]) -> str:
    """The decision that a line is."""
    return incoming[0].row.decision


def _messages(shown: Demonstration, line: bytes, game: str) -> list[tuple[str, bytes]]:
    decision = shown.id or f"demo-{hashlib.blake2b(line.strip(), digest_size=16).hexdigest()}"
    action = shown.action or "reply"
    common: dict[str, Any] = {"game": game, "npc": shown.npc, "kind": shown.kind, "episode": shown.episode}
    seen = Observation(
        id=decision,
        legal_actions=(LegalAction(name=action),),
        answer_within_ms=1,
        snapshot=0,
        game_time=shown.game_time,
        state=_state(shown.context),
        **common,
    )
    chosen = ActionChosen(
        decision=decision,
        snapshot=0,
        action=action,
        arguments=shown.arguments,
        speech=shown.reply,
        source=HUMAN,
        **common,
    )
    made = DecisionMade(
        decision=decision,
        attempt=1,
        epoch=0,
        partition=0,
        tier=TIER,
        source=HUMAN,
        observation=seen,
        prompt=(Turn(USER, _words(shown.context)),),
        answer=shown.reply or _as_json({"action": action, "arguments": shown.arguments}),
        **common,
    )
    outcome = OutcomeObserved(
        decision=decision,
        executed=Executed(action=action, arguments=shown.arguments, by=HUMAN),
        success=(shown.reward or 0) > 0 if shown.success is None else shown.success,
        facts={**shown.facts, **_recorded(shown)},
        game_time=shown.game_time,
        opponent=shown.opponent,
        **common,
    )
    return [
        (ids.chosen_subject(game, shown.npc), encode(chosen)),
        (ids.decision_subject(game, shown.npc), encode(made)),
        (ids.outcome_subject(game, shown.npc), encode(outcome)),
    ]


def _recorded(shown: Demonstration) -> dict[str, Fact]:
    said = {"player_id": shown.player_id, "reward": shown.reward}
    return {name: value for name, value in said.items() if value is not None}


def _state(context: msgspec.Raw) -> msgspec.Raw:
    return context if bytes(context).startswith(b"{") else msgspec.Raw(b'{"context":%b}' % bytes(context))


def _words(context: msgspec.Raw) -> str:
    said = bytes(context)
    return msgspec.json.decode(said, type=str) if said.startswith(b'"') else said.decode()


def _as_json(value: object) -> str:
    return msgspec.json.encode(value).decode()
