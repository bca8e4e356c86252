"""Triage: is this observation for the rules or for a model, and with which priority?"""

from __future__ import annotations

from dataclasses import dataclass

from hearthmind.contracts.observation import Observation
from hearthmind.errors import CannotStart
from hearthmind.flow import tier_of

ROUTES = ("rules", "model")


@dataclass(frozen=True)
class Triage:
    """Where each kind goes, and whom a model's decisions ask."""

    routes: dict[str, str]
    otherwise: str
    pool: str
    model: str

    def wants_model(self, observation: Observation) -> bool:
        """Whether an engine is to be asked."""
        return self.routes.get(observation.kind, self.otherwise) == "model"


def parse(entries: tuple[str, ...], pool: str, model: str) -> Triage:
    """Reads the triage setting, `kind=route` each."""
    routes: dict[str, str] = {}
    for entry in entries:
        kind, _, route = entry.partition("=")
        if route not in ROUTES or not kind:
            raise CannotStart(why=f"HEARTHMIND_DECISION__TRIAGE has {entry!r}; write kind=rules or kind=model")
        routes[kind] = route
    otherwise = routes.pop("*", "rules")
    return Triage(routes, otherwise, pool, model)


def tier(observation: Observation) -> str:
    """The tier that the observation's priority belongs to."""
    return tier_of(observation.priority)
