"""The act of answering at once: until all that is offered was tried. Pure."""

from __future__ import annotations

from hearthmind.contracts.outcome import CLIENT, PLATFORM
from services.command.conformance.acts import Act
from services.command.conformance.rules import Asked

NOTHING_NEW_MAX = 5
"""After so many observations in a row that offer nothing untried, everything was tried."""
TRIES_MAX = 300
TRYING_SHARE = 0.4
"""Of the time, at most, for trying actions; the rest is for the other acts."""

AS_CHOSEN_MIN = 4
AS_CHOSEN_SHARE = 0.9
"""The game's own action may be the platform's by chance, and not nearly always."""


class Trying:
    """What was answered at once, in this act and beside all others, and what became of it."""

    def __init__(self, act: Act) -> None:
        self.executed = self.ignored = self.as_chosen = 0
        self._act = act
        self._decisions: set[str] = set()
        self._nothing_new = 0

    def looked(self, is_new: bool) -> None:
        """An observation came; whether it offers what was never tried."""
        self._nothing_new = 0 if is_new else self._nothing_new + 1
        if self._act.state == "waiting":
            self._act.state = "running"

    def answered(self, asked: Asked) -> None:
        """A decision is answered at once."""
        self._decisions.add(asked.observation.id)

    def reported(self, asked: Asked) -> None:
        """The outcome of a decision came."""
        if asked.observation.id not in self._decisions or asked.excused:
            return
        if asked.executed_by == PLATFORM:
            self.executed += 1
        elif asked.executed_by == CLIENT and asked.is_prompt:
            self.ignored += 1
            self.as_chosen += asked.does_as_chosen

    @property
    def mislabels(self) -> bool:
        """Whether the game says that its own actions were executed and means the platform's: they are the same too often."""
        return self.as_chosen >= AS_CHOSEN_MIN and self.as_chosen > AS_CHOSEN_SHARE * self.ignored

    def whose(self, asked: Asked) -> str:
        """Whose action was executed, whatever the outcome calls it."""
        means_ours = asked.executed_by == CLIENT and asked.does_as_chosen and self.mislabels
        return PLATFORM if means_ours else asked.executed_by

    def is_enough(self, left: float) -> bool:
        """Whether another act may begin, with this share of the time left."""
        return left <= 1 - TRYING_SHARE or self._nothing_new >= NOTHING_NEW_MAX or len(self._decisions) >= TRIES_MAX
