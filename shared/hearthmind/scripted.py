"""The scripted mind: deterministic, at once, and in need of nothing but the observation.

The decision service answers trivial observations and every failure with it, the `rules_…` engine is made of it, and the
client library falls back to it when the whole platform is away. What it says is legal by construction.
"""

from __future__ import annotations

from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Choice, LegalAction, Observation, Parameter
from hearthmind.contracts.wire import Fact


def choose(observation: Observation) -> Answer:
    """The legal action that the game itself finds most appealing, with its defaults; the first of equals."""
    best = max(observation.legal_actions, key=_appeal)
    arguments = {name: _default(parameter) for name, parameter in best.parameters.items()}
    return Answer(action=best.name, arguments=arguments)


def _appeal(legal: LegalAction) -> float:
    return legal.appeal


def _default(parameter: Parameter) -> Fact:
    if isinstance(parameter, Choice):
        return parameter.default if parameter.default in parameter.enum else parameter.enum[0]
    if parameter.default is None:
        return parameter.minimum
    return min(max(parameter.default, parameter.minimum), parameter.maximum)
