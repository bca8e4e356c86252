"""Ids, and the subjects built from them. An id that becomes part of a subject is checked at the edge and never escaped."""

from __future__ import annotations

import re
import secrets
import time
from typing import NewType

from hearthmind.errors import BadId

GameId = NewType("GameId", str)
NpcId = NewType("NpcId", str)
DecisionId = NewType("DecisionId", str)

_SHAPE = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_ALPHABET = "0123456789abcdefghijkmnpqrstuvwxyz"


def check_id(kind: str, value: str) -> str:
    """Returns the value where it may become part of a subject, and raises `BadId` where not."""
    if not _SHAPE.fullmatch(value):
        raise BadId(kind=kind, value=value)
    return value


def new_decision_id() -> DecisionId:
    """A new id that sorts by time: a decision and the observation that it answers share it."""
    return DecisionId(f"{_base(int(time.time() * 1000), 9)}{_base(secrets.randbits(50), 10)}")


def _base(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def message_id(game: str, npc: str, decision: str, part: str = "") -> str:
    """What JetStream de-duplicates by; ids are compared per stream, so the game must be part of it."""
    return f"{game}/{npc}/{decision}/{part}" if part else f"{game}/{npc}/{decision}"


def observation_subject(game: str, npc: str, kind: str) -> str:
    """Where a game says what an NPC sees."""
    return f"game.{game}.observation.{npc}.{kind}"


def event_subject(game: str, npc: str, kind: str) -> str:
    """Where a game says what happened to an NPC."""
    return f"game.{game}.event.{npc}.{kind}"


def outcome_subject(game: str, npc: str) -> str:
    """Where a game says what came of an action."""
    return f"game.{game}.outcome.{npc}"


def stored_subject(game: str) -> str:
    """Where a game learns which of its outcomes are in Postgres."""
    return f"game.{game}.stored"


def chosen_subject(game: str, npc: str) -> str:
    """Where services publish an action; the ACTION stream keeps the first one of a decision."""
    return f"mind.action.{game}.{npc}"


def action_subject(game: str, npc: str) -> str:
    """Where a game hears the one action of a decision, republished by the ACTION stream."""
    return f"game.{game}.action.{npc}"


def decision_subject(game: str, npc: str) -> str:
    """Where the detail of a decision goes."""
    return f"mind.decision.{game}.{npc}"


def rating_subject(game: str, npc: str) -> str:
    """Where a game says what a player thought of an NPC's words or deeds."""
    return f"game.{game}.rating.{npc}"


def violation_subject(game: str, npc: str) -> str:
    """Where a decision service says what the policy forbade."""
    return f"mind.violation.{game}.{npc}"


def recall_subject() -> str:
    """Where an owner asks what NPCs lived through."""
    return "mind.recall"


def recalled_subject(partition: int) -> str:
    """Where the owner of a partition hears it."""
    return f"mind.recalled.{partition}"


def check_subject() -> str:
    """Where anybody of the platform asks whether an action would pass the policy."""
    return "policy.check"


def checked_subject(asker: str) -> str:
    """Where the one who asked hears it."""
    return f"policy.checked.{asker}"


def request_subject(tier: str, pool: str) -> str:
    """Where an inference request of a tier waits for a worker of a pool."""
    return f"inference.request.{tier}.{pool}"


def reply_subject(partition: int) -> str:
    """Where the owner of a partition hears inference replies."""
    return f"inference.reply.{partition}"


def answer_subject(asker: str) -> str:
    """Where somebody who asked for an answer, and not for a decision, hears it."""
    return f"inference.answer.{asker}"


def withdraw_subject(pool: str) -> str:
    """Where the workers of a pool hear what nobody waits for any more."""
    return f"inference.withdraw.{pool}"


def adapter_subject(tier: str, pool: str, version: str) -> str:
    """Where the workers of a pool and tier that hold this version of an adapter are handed requests for it."""
    return f"inference.adapter.{tier}.{pool}.{version}"


def dead_subject(stream: str) -> str:
    """Where messages of a stream go that could not be processed."""
    return f"dead.{stream}"
