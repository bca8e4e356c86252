"""A memory in words, for a mind that reads.

    3 days ago: attack (target v00012) with p0007, and it failed: own losses 12; since then a grudge

What others may have named (players, places, facts) is quoted as in every prompt, so that no memory speaks for the house.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hearthmind.contracts.memory import Lived
from hearthmind.contracts.wire import Fact
from hearthmind.prompting.telling import plain

FACTS_TOLD = 4
WORDS_TOLD_CHARS = 120
_MINUTE_S, _HOUR_S, _DAY_S = 60.0, 3600.0, 86400.0


def told(lived: Lived, ago_s: float, feeling: str = "") -> str:
    """One experience in a line, with what has been felt since about who it was with."""
    about = f" ({_listed(lived.arguments)})" if lived.arguments else ""
    others = f" with {plain(lived.opponent)}" if lived.opponent else ""
    since = f"; since then {feeling}" if feeling else ""
    return f"{ago(ago_s)}: {lived.action}{about}{others}, and {_came_of_it(lived)}{since}"


def felt(other: str, feeling: str) -> str:
    """A feeling whose cause is no longer remembered."""
    return f"toward {plain(other)}: {feeling}"


def counted(tallies: Iterable[tuple[str, int, int, int, float | None]]) -> str:
    """What is left of what was long ago: how often each action was done, came off, failed, and its mean reward."""
    parts = []
    for action, count, came_off, failed, reward in tallies:
        known = f", {came_off} came off, {failed} failed" if came_off or failed else ""
        mean = f", mean reward {plain(reward)}" if reward is not None else ""
        parts.append(f"{action} {count} time{'s' * (count != 1)}{known}{mean}")
    return "; ".join(parts)


def ago(seconds: float) -> str:
    """How long ago, in the largest unit that fits."""
    if seconds < _MINUTE_S:
        return "just now"
    for unit_s, name in ((_DAY_S, "day"), (_HOUR_S, "hour"), (_MINUTE_S, "minute")):
        if seconds >= unit_s:
            count = int(seconds // unit_s)
            return f"{count} {name}{'s' * (count > 1)} ago"
    return "just now"


def _came_of_it(lived: Lived) -> str:
    said = {None: "nobody knows yet what came of it", True: "it came off", False: "it failed"}[lived.success]
    reward = f", reward {plain(lived.reward)}" if lived.reward is not None else ""
    facts = f": {_listed(lived.facts, FACTS_TOLD)}" if lived.facts else ""
    words = f"; you said {plain(lived.words[:WORDS_TOLD_CHARS])}" if lived.words else ""
    return f"{said}{reward}{facts}{words}"


def _listed(facts: Mapping[str, Fact], most: int = 8) -> str:
    named = list(facts.items())[:most]
    return ", ".join(f"{name.replace('_', ' ')} {plain(value)}" for name, value in named)
