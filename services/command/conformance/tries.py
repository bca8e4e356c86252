"""Which actions are tried: each that an observation offers, with its parameters at their extremes. Pure.

A legal action is a promise, so anything within its bounds may be chosen.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from itertools import islice

from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Choice, LegalAction, Observation, Parameter
from hearthmind.contracts.wire import Fact

TRIES_PER_ACTION_MAX = 64
ACTIONS_MAX = 2_000
"""Of a kind and an action so many are told apart; a world with more of them is covered in part."""

LOWEST, HIGHEST = "lowest", "highest"


def tries(legal: LegalAction) -> Iterator[tuple[str, Answer]]:
    """An action with everything at its lowest, at its highest, and with each other choice, by a name each."""
    lowest = {name: _end(parameter, LOWEST) for name, parameter in legal.parameters.items()}
    yield LOWEST, Answer(action=legal.name, arguments=lowest)
    highest = {name: _end(parameter, HIGHEST) for name, parameter in legal.parameters.items()}
    if highest != lowest:
        yield HIGHEST, Answer(action=legal.name, arguments=highest)
    for name, parameter in legal.parameters.items():
        if isinstance(parameter, Choice):
            for word in parameter.enum[1:-1]:
                yield f"{name}={word}", Answer(action=legal.name, arguments={**lowest, name: word})


def _end(parameter: Parameter, end: str) -> Fact:
    if isinstance(parameter, Choice):
        return parameter.enum[0 if end == LOWEST else -1]
    return parameter.minimum if end == LOWEST else parameter.maximum


@dataclass(slots=True)
class Coverage:
    """How often each try was taken, by kind and action; 0 where it was offered only."""

    taken: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    reported: set[tuple[str, str]] = field(default_factory=set)
    """The kinds and actions whose outcomes have come."""

    def look(self, observation: Observation) -> bool:
        """Learns what is offered; whether any of it was never tried."""
        return any(not taken for taken, _, _ in self._offered(observation))

    def choose(
        self, observation: Observation, *, other_than: Container[Answer] = (), reported: bool = False
    ) -> Answer | None:
        """What was taken least of what is offered, where wanted of what was reported before; None: there is no other."""
        offered = [each for each in self._offered(observation) if each[2] not in other_than]
        if reported:
            known = [each for each in offered if (observation.kind, each[2].action) in self.reported]
            offered = known or offered
        if not offered:
            return None
        taken, label, answer = min(offered, key=_taken)
        place = self.taken.get((observation.kind, answer.action), {})
        if label in place:
            place[label] = taken + 1
        return answer

    def _offered(self, observation: Observation) -> Iterator[tuple[int, str, Answer]]:
        for legal in observation.legal_actions:
            key = (observation.kind, legal.name)
            if key not in self.taken and len(self.taken) < ACTIONS_MAX:
                self.taken[key] = {}
            place = self.taken.get(key, {})
            for label, answer in islice(tries(legal), TRIES_PER_ACTION_MAX):
                if len(place) < TRIES_PER_ACTION_MAX:
                    place.setdefault(label, 0)
                yield place.get(label, 1), label, answer


def _taken(offered: tuple[int, str, Answer]) -> int:
    return offered[0]
