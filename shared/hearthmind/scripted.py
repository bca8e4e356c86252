"""The scripted mind: deterministic, at once, and in need of nothing but the observation.

The decision service answers trivial observations and every failure with it, the `rules_…` engine is made of it, and the
client library falls back to it when the whole platform is away. What it says is legal by construction. Where it is known who
the NPC is, its genes move what it likes; neutral genes, and actions that lean on none, change nothing.
"""

from __future__ import annotations

from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Choice, LegalAction, Observation, Parameter
from hearthmind.contracts.wire import Fact
from hearthmind.persona import GENES, NEUTRAL, Behaviour

SWAY = 0.5
"""A gene at its end and an action that leans on it fully count half of what the game thinks of the best action."""


def choose(observation: Observation, behaviour: Behaviour = NEUTRAL) -> Answer:
    """The legal action that the game itself finds most appealing and the genes like, with its defaults; the first of equals."""
    best = max(observation.legal_actions, key=_appeal) if behaviour is NEUTRAL else _liked(observation, behaviour)
    arguments = {name: _default(parameter) for name, parameter in best.parameters.items()}
    return Answer(action=best.name, arguments=arguments)


def liking(legal: LegalAction, behaviour: Behaviour) -> float:
    """How an action's leans meet the genes: 0 where they say nothing, from about -1 (against all it is) to 1."""
    return sum((lean * (2 * getattr(behaviour, gene) - 1) for gene, lean in legal.leans.items() if gene in GENES), 0.0)


def _liked(observation: Observation, behaviour: Behaviour) -> LegalAction:
    unit = max(abs(legal.appeal) for legal in observation.legal_actions) or 1.0  # games count in any unit
    return max(observation.legal_actions, key=lambda legal: legal.appeal + SWAY * unit * liking(legal, behaviour))


def _appeal(legal: LegalAction) -> float:
    return legal.appeal


def _default(parameter: Parameter) -> Fact:
    if isinstance(parameter, Choice):
        return parameter.default if parameter.default in parameter.enum else parameter.enum[0]
    if parameter.default is None:
        return parameter.minimum
    return min(max(parameter.default, parameter.minimum), parameter.maximum)
