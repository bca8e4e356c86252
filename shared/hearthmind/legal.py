"""Is this action legal? Asked by the decision service before it publishes and by the client before the game acts."""

from __future__ import annotations

from collections.abc import Mapping

from hearthmind.contracts.observation import Choice, LegalAction, Observation, Parameter, Whole
from hearthmind.contracts.wire import Fact


def problem(observation: Observation, action: str, arguments: Mapping[str, Fact]) -> str | None:
    """Why the action is not legal in answer to this observation, or None where it is."""
    legal = find(observation, action)
    if legal is None:
        return f"{action!r} is not among the legal actions"
    for name, value in arguments.items():
        parameter = legal.parameters.get(name)
        if parameter is None:
            return f"{action} has no parameter {name!r}"
        if wrong := _wrong(parameter, value):
            return f"{action}.{name}: {wrong}"
    missing = [name for name in legal.parameters if name not in arguments]
    return f"{action} needs {', '.join(missing)}" if missing else None


def find(observation: Observation, action: str) -> LegalAction | None:
    """The legal action of that name."""
    return next((legal for legal in observation.legal_actions if legal.name == action), None)


def _wrong(parameter: Parameter, value: Fact) -> str | None:
    if isinstance(parameter, Choice):
        return None if value in parameter.enum else f"{value!r} is not one of {', '.join(parameter.enum)}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{value!r} is not a number"
    if isinstance(parameter, Whole) and not isinstance(value, int):
        return f"{value!r} is not a whole number"
    if parameter.minimum <= value <= parameter.maximum:
        return None
    return f"{value!r} is not between {parameter.minimum} and {parameter.maximum}"
