"""A decision as a game sees it."""

from __future__ import annotations

from dataclasses import dataclass, field

from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.observation import Observation
from hearthmind.contracts.wire import Fact
from hearthmind.flow import tier_of
from hearthmind.telemetry import trace


@dataclass(eq=False, slots=True)
class Decision:
    """What an NPC does: execute the action, then report what came of it."""

    observation: Observation
    chosen: ActionChosen
    latency_ms: float
    is_reported: bool = False
    span: trace.Span | None = field(default=None, repr=False)

    @property
    def id(self) -> str:
        """The id that the observation, the action and the outcome share."""
        return self.chosen.decision

    @property
    def npc(self) -> str:
        """Whose decision it is."""
        return self.chosen.npc

    @property
    def kind(self) -> str:
        """What sort of decision it is."""
        return self.chosen.kind

    @property
    def action(self) -> str:
        """The name of one of the legal actions."""
        return self.chosen.action

    @property
    def arguments(self) -> dict[str, Fact]:
        """Its parameters, within the bounds that the game gave."""
        return self.chosen.arguments

    @property
    def speech(self) -> str:
        """What the NPC says."""
        return self.chosen.speech

    @property
    def source(self) -> str:
        """Who decided: rules, model or fallback on the platform, or client, the library's own fallback."""
        return self.chosen.source

    @property
    def tier(self) -> str:
        """The tier that its priority belongs to."""
        return tier_of(self.observation.priority)
