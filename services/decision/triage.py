"""Triage: is this observation for the rules or for a model, for which one, and with which priority?"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from hearthmind.contracts.observation import Observation
from hearthmind.errors import CannotStart
from hearthmind.flow import tier_of

RULES = "rules"
KEY = "HEARTHMIND_DECISION__TRIAGE"


@dataclass(frozen=True)
class Route:
    """A model, and whose workers hold it."""

    model: str
    pool: str

    @property
    def reads_text(self) -> bool:
        """Whether it wants a prompt, or the observation as it is."""
        return not self.model.startswith(("rules_", "policy_"))


@dataclass(frozen=True)
class Triage:
    """Where each kind goes: to a model, or to the rules (None). The narrowest entry counts: of a game, of a kind, of any."""

    routes: dict[str, Route | None]

    def route(self, observation: Observation) -> Route | None:
        """Which model is to be asked; None for the rules."""
        for key in (f"{observation.game}/{observation.kind}", observation.kind, f"{observation.game}/*", "*"):
            if key in self.routes:
                return self.routes[key]
        return None


def parse(entries: tuple[str, ...], pools: Mapping[str, str]) -> Triage:
    """Reads the triage setting: `kind=model` or `game/kind=model` each, where the model may be `rules`; `*` is any kind."""
    routes: dict[str, Route | None] = {}
    for entry in entries:
        key, _, model = entry.partition("=")
        if not key or not model:
            raise CannotStart(why=f"{KEY} has {entry!r}; write kind=model or game/kind=model, with rules for no model")
        if model != RULES and model not in pools:
            near = difflib.get_close_matches(model, [RULES, *pools], n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise CannotStart(why=f"{KEY} has {entry!r}, but no model {model!r} is declared{hint}")
        routes[key] = None if model == RULES else Route(model, pools[model])
    return Triage(routes)


def tier(observation: Observation) -> str:
    """The tier that the observation's priority belongs to."""
    return tier_of(observation.priority)
