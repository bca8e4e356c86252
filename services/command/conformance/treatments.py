"""What each act says in answer to one observation, and when. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from hearthmind import scripted
from hearthmind.acting import action_of
from hearthmind.bus.wire import encode
from hearthmind.contracts.action import RULES
from hearthmind.contracts.inference import Answer
from hearthmind.contracts.outcome import Executed
from services.command.conformance.acts import AGAIN, AT_ONCE, AWAY, FUTURE, LAST_MOMENT, LATE, SILENT
from services.command.conformance.effects import Say
from services.command.conformance.ledger import Ledger
from services.command.conformance.rules import Asked, same
from services.command.conformance.tries import tries

GRACE_S = 2.0
"""So long after its deadline a decision may be reported before the act goes on without it."""
EARLY_BY_S = 0.25
"""Just before the deadline is so long before it, or a quarter of the time where that is less."""
LATE_BY_S = 0.25
"""A game looks at its clock now and then; what comes so long after the deadline is late for every one."""
AIMED_WITHIN_MIN_S = 0.2
"""A shorter deadline can't be aimed at: the way there and back is as long."""

WORDS_OF_THE_FUTURE = {
    "source": "oracle",
    "mood": {"calm": 0.5, "words": ["so", "be", "it"]},
    "since": 7,
    "shadow": None,
}


def unfit(act: str, asked: Asked, left_s: float) -> str:
    """Why the act can do nothing with this observation; empty where it can."""
    within_ms = asked.observation.answer_within_ms
    if act in {LAST_MOMENT, SILENT, LATE} and asked.within_s + GRACE_S > left_s:
        return f"answer_within_ms is {within_ms}, and less was left of the time"
    if act == LAST_MOMENT and asked.within_s < AIMED_WITHIN_MIN_S:
        return f"answer_within_ms is {within_ms}: too short to aim at its end"
    if act == LATE and _another(asked) is None:
        return "there is one legal action only, so that a late one looks like the game's own"
    return ""


def at_once(asked: Asked, ledger: Ledger) -> list[Say]:
    """What was tried least."""
    return [_chosen(asked, ledger, _choose(asked, ledger, reported=False))]


def _reported_at_once(asked: Asked, ledger: Ledger) -> list[Say]:
    return [_chosen(asked, ledger, _choose(asked, ledger))]


def _last_moment(asked: Asked, ledger: Ledger) -> list[Say]:
    at_s = asked.deadline_s - min(asked.within_s / 4, EARLY_BY_S)
    return [_chosen(asked, ledger, _choose(asked, ledger), at_s=at_s)]


def _silent(_asked: Asked, _ledger: Ledger) -> list[Say]:
    return []


def _late(asked: Asked, _ledger: Ledger) -> list[Say]:
    late = _another(asked)
    assert late, "it was unfit"
    asked.never["late-executed"] = late
    return [Say(asked, _written(asked, late), "late", asked.deadline_s + LATE_BY_S)]


def _again(asked: Asked, ledger: Ledger) -> list[Say]:
    """First an action of what is over, then the one that counts, the same again, and another one."""
    said: list[Say] = []
    over = ledger.last_ended.get(asked.observation.npc)
    outdated = _another(over) if over else None
    if over and outdated:
        over.never["outdated-executed"] = outdated
        said.append(Say(over, _written(over, outdated), "outdated"))
    chosen = _choose(asked, ledger, other_than=outdated)
    if outdated and outdated != chosen:
        asked.never["outdated-executed"] = outdated
    said.append(_chosen(asked, ledger, chosen))
    said.append(Say(asked, _written(asked, chosen), "again"))
    if second := _another(asked, outdated):
        asked.never["second-executed"] = second
        said.append(Say(asked, _written(asked, second), "second"))
    return said


def _future(asked: Asked, ledger: Ledger) -> list[Say]:
    said = _chosen(asked, ledger, _choose(asked, ledger))
    data = json.dumps({**json.loads(said.data), **WORDS_OF_THE_FUTURE}).encode()
    return [Say(asked, data, counts=True)]


def rescue(asked: Asked, ledger: Ledger) -> Say:
    """Sets an NPC going again that stands still."""
    asked.excused = True
    said = _chosen(asked, ledger, _choose(asked, ledger))
    return Say(asked, said.data, "rescue")


PRESENT: Mapping[str, Callable[[Asked, Ledger], list[Say]]] = {
    AT_ONCE: at_once,
    LAST_MOMENT: _last_moment,
    SILENT: _silent,
    LATE: _late,
    AGAIN: _again,
    FUTURE: _future,
    AWAY: _reported_at_once,
}


def _choose(asked: Asked, ledger: Ledger, *, other_than: Answer | None = None, reported: bool = True) -> Answer:
    """An action; where an act depends on its outcome, one whose outcomes have come before."""
    coverage = ledger.coverage
    chosen = coverage.choose(asked.observation, other_than=(other_than,) if other_than else (), reported=reported)
    chosen = chosen or coverage.choose(asked.observation)
    assert chosen, "an observation has at least one legal action"
    return chosen


def _another(asked: Asked, other_than: Answer | None = None) -> Answer | None:
    """A legal action that can be told apart from what was chosen, from what was done, and from the likely fallback."""
    known: list[Answer | Executed] = [scripted.choose(asked.observation)]
    known += [each for each in (asked.chosen, other_than) if each]
    known += [asked.outcome.executed] if asked.outcome else []
    offered = [answer for legal in asked.observation.legal_actions for _, answer in tries(legal)]
    return next((answer for answer in reversed(offered) if not any(_is(answer, each) for each in known)), None)


def _is(answer: Answer, other: Answer | Executed) -> bool:
    return same(answer, Executed(action=other.action, arguments=other.arguments))


def _chosen(asked: Asked, ledger: Ledger, chosen: Answer, at_s: float = 0.0) -> Say:
    asked.chosen = chosen
    ledger.answered[asked.observation.kind, chosen.action] += 1
    return Say(asked, _written(asked, chosen), at_s=at_s, counts=True)


def _written(asked: Asked, answer: Answer) -> bytes:
    return encode(action_of(asked.observation, answer, RULES))
