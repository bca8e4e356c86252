"""Decodes messages no further than rows need: most legal actions were seen before, word for word, and are not read again.

The law: what is skimmed gives the rows that the whole message would. Where anything is in doubt there is no message, and
whoever wants the reason reads it whole.
"""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import msgspec

from hearthmind.bus.wire import MESSAGE_BYTES_MAX, READABLE_VERSIONS
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.observation import LegalActions, Observation, check_names
from hearthmind.contracts.outcome import OutcomeObserved, ReplyRated
from hearthmind.contracts.policy import PolicyViolated
from hearthmind.contracts.wire import Message
from hearthmind.store.storable import storable_json

KNOWN_MAX, KNOWN_BYTES_MAX = 512, 8 * 1024
"""How many legal actions are known by heart, and how long they may be: 8 MiB at most."""

_legal_actions = msgspec.json.Decoder(LegalActions)


@lru_cache(maxsize=KNOWN_MAX)
def _known(raw: bytes) -> str:
    legal_actions = _legal_actions.decode(raw)
    check_names(legal_actions)
    return storable_json(msgspec.json.encode(legal_actions))


class Skimmed(Observation, frozen=True, kw_only=True, tag="observation"):
    """An observation whose legal actions are the JSON that is stored."""

    legal_actions: msgspec.Raw  # type: ignore[assignment]

    def __post_init__(self) -> None:
        raw = bytes(self.legal_actions)
        said = _known(raw) if len(raw) <= KNOWN_BYTES_MAX else _known.__wrapped__(raw)
        msgspec.structs.force_setattr(self, "legal_actions", said)

    @property
    def legal_json(self) -> str:
        """The legal actions."""
        return cast("str", self.legal_actions)


class _Event(Skimmed, frozen=True, kw_only=True, tag="event"):
    pass


class _Decision(DecisionMade, frozen=True, kw_only=True, tag="decision_made"):
    observation: Skimmed | _Event


class _Outcome(OutcomeObserved, frozen=True, kw_only=True, tag="outcome_observed"):
    observation: Skimmed | _Event | None = None


_decoder = msgspec.json.Decoder(ActionChosen | _Decision | _Outcome | ReplyRated | PolicyViolated)


def skim(data: bytes) -> Message | None:
    """The message, or None where it has to be read whole."""
    if len(data) > MESSAGE_BYTES_MAX:
        return None
    try:
        message = _decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    return message if message.v in READABLE_VERSIONS else None
