"""What comes into the decision service's machine and what it wants done: plain data, no I/O."""

from __future__ import annotations

import msgspec

from hearthmind.claims import Claim
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.inference import Infer, Withdraw
from hearthmind.contracts.memory import Recall
from hearthmind.contracts.observation import Observation
from hearthmind.contracts.policy import PolicyViolated

Key = tuple[str, str, str]
"""Game, NPC, decision."""


class Seen(msgspec.Struct, frozen=True):
    """An observation or event as it came in; the ticket is whatever the handlers need to settle it."""

    observation: Observation
    attempt: int
    """The how-manieth delivery it is."""
    deadline_s: float
    received_s: float
    bus_ms: float
    ticket: object

    @property
    def key(self) -> Key:
        """Whose decision it is, and which."""
        return (self.observation.game, self.observation.npc, self.observation.id)

    @property
    def stored_s(self) -> float:
        """When the broker had it."""
        return self.deadline_s - self.observation.answer_within_ms / 1000


class Act(msgspec.Struct, frozen=True):
    """Publish this action before the deadline, unless it is outdated by then; then its detail, then acknowledge.

    Where the action was stored before, the detail goes `without_answer`: the one that counts may be another attempt's.
    """

    ticket: object
    action: ActionChosen
    detail: DecisionMade
    deadline_s: float


class Ask(msgspec.Struct, frozen=True):
    """Ask an engine; where the request is refused, tell `refused`."""

    ticket: object
    infer: Infer
    deadline_s: float


class Drop(msgspec.Struct, frozen=True):
    """Acknowledge without an action: nobody waits for one any more."""

    ticket: object
    why: str
    withdraw: tuple[str, Withdraw] | None = None
    """What to tell the pool that was asked, so that it need not answer."""


class Report(msgspec.Struct, frozen=True):
    """Tell the experience stream what a mind wanted and the policy forbade, and other owners that the NPC is frozen."""

    violated: PolicyViolated
    frozen: tuple[str, bytes] | None = None
    """What the bucket MINDS is to be told: key and value."""


class Contend(msgspec.Struct, frozen=True):
    """Ask for these claims, one after the other, until one is had; then tell `claimed` of it, with this number."""

    ticket: object
    key: Key
    number: int
    claims: tuple[Claim, ...]
    after_s: float
    """So long others may go first."""
    attempt: int


class Remember(msgspec.Struct, frozen=True):
    """Ask what these NPCs lived through; nobody waits for it."""

    recall: Recall


Effect = Act | Ask | Drop | Contend | Report | Remember


def without_answer(detail: DecisionMade) -> DecisionMade:
    """The detail of a decision whose action is, or may be, that of another attempt: without what only that one knows."""
    return msgspec.structs.replace(
        detail,
        answer="",
        prompt=(),
        worker="",
        adapter_sha256="",
        tokens_in=0,
        tokens_cached=0,
        tokens_out=0,
        cost_usd=0.0,
    )
