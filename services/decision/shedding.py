"""Which observations are answered at once, by the rules, while too many others wait for a model.

The law: what is worth least goes first. Each class has a share of the places that it may fill; what is above stays free for those
that are worth more. A player who waits for words comes last, with what is critical.
"""

from __future__ import annotations

from hearthmind.contracts.observation import Event, Observation

ROUTINE, SOCIAL, STRATEGIC, EVENT, CRITICAL = "routine", "social", "strategic", "event", "critical"

SHARES = {ROUTINE: 0.5, SOCIAL: 0.7, STRATEGIC: 0.85, EVENT: 0.95, CRITICAL: 1.0}
"""Of the places for decisions that wait: as long as fewer are taken, one of the class may wait too."""


def class_of(observation: Observation, tier: str = "") -> str:
    """What is shed together: an observation is worth what its tier is, an event is never said again."""
    if tier == CRITICAL or observation.priority <= 2 or observation.texts:
        return CRITICAL
    if isinstance(observation, Event):
        return EVENT
    return tier if tier in SHARES else _BY_PRIORITY[observation.priority]


def sheds(observation: Observation, waiting: int, pending_max: int, tier: str = "") -> str:
    """Why this one is not to wait for a model, while so many do; empty where it may."""
    which = class_of(observation, tier)
    if waiting < SHARES[which] * pending_max:
        return ""
    return (
        f"shed: {waiting} decisions wait for an engine already, too many for one of the class {which}"  # counted by it
    )


_BY_PRIORITY = (CRITICAL,) * 3 + (STRATEGIC,) * 2 + (SOCIAL,) * 2 + (ROUTINE,) * 4
