"""The policy: rules in a file that every action has to pass, whoever chose it. Deterministic, and it has the last word.

    policy = read_policy(file)                                   # raises BadPolicy with every mistake and its line
    histories = Histories(policy.remembers)
    narrowed = policy.permitted(observation, history, now_s)     # before the mind is asked: only what may pass
    violation = policy.check(observation, answer, history, now_s)
    answer = policy.harmless(observation, history, now_s)        # where there was one, or the NPC is frozen
    history.did(observation, answer, now_s)                      # what was published in the end

The law: what `harmless` returns is legal, and passes wherever anything legal does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from hearthmind import scripted
from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Choice, LegalAction, Observation
from services.decision.demands import Asked
from services.decision.facts import Facts
from services.decision.history import NO_DEED, Histories, History, deed_of
from services.decision.policy_file import DECLARED, BadPolicy, PolicyFile, Rule, parse_policy, read_file
from services.decision.utterance import Speech

__all__ = ["DECLARED", "BadPolicy", "Histories", "History", "Policy", "Violation", "parse_policy", "read_policy"]

KNOWN_MAX = 4_096
"""So many pairs of kind and action are looked up once; a game has some dozens."""
WAYS_MAX = 32
"""Of the choices of a parameter so many are tried for one that passes."""
TRIES_MAX = 512
"""Ways in all: nothing forbids that many but a policy that forbids everything."""


class Bound(NamedTuple):
    """A rule as it stands for one game."""

    name: str
    rule: Rule
    covers: Callable[[str, str], bool]
    """Whether it speaks of a kind and action."""


class Known(NamedTuple):
    """The rules that speak of a kind and action, in the order of the file."""

    rules: tuple[Bound, ...]
    whatever: tuple[Bound, ...]
    """Those of them that hold whatever the arguments are."""
    names: frozenset[str]


class Violation(msgspec.Struct, frozen=True):
    """Which rule an answer breaks, and how."""

    rule: str
    why: str
    is_mild: bool = False
    """Whether it is about how often something is done, and not about what."""


class Policy:
    """The rules, ready to be asked."""

    def __init__(self, file: PolicyFile) -> None:
        self.file = file
        self.freeze_s = file.freeze_s
        self.speech: Speech = file.speech
        self.remembers = max([1, *(rule.demand.remembers for rule in file.rules.values())])
        self._known: dict[tuple[str, str, str], Known] = {}
        self._idle: dict[str, int | None] = {}

    # ---- one answer ------------------------------------------------------------------------------------------------

    def check(self, observation: Observation, answer: Answer, history: History, now_s: float) -> Violation | None:
        """The first rule that the answer breaks, in the order of the file; None where it passes."""
        rules = self._known_of(observation.game, observation.kind, answer.action).rules
        return self._broken(rules, observation, answer, history, now_s, Facts(observation.state)) if rules else None

    def _broken(
        self,
        rules: tuple[Bound, ...],
        observation: Observation,
        answer: Answer,
        history: History,
        now_s: float,
        facts: Facts,
    ) -> Violation | None:
        is_idle, deed = self._is_idle(answer.action), NO_DEED
        for name, rule, covers in rules:
            if is_mild := rule.demand.is_mild:
                if is_idle:
                    continue  # an NPC may do nothing as often as it likes
                deed = deed_of(observation, answer, now_s) if deed is NO_DEED else deed
            if why := rule.demand.broken(Asked(answer, deed, history, facts, covers)):
                return Violation(name, f"{rule.says} ({why})", is_mild)
        return None

    # ---- what may be done ------------------------------------------------------------------------------------------

    def permitted(self, observation: Observation, history: History, now_s: float) -> Observation:
        """The observation without the legal actions that no argument can make pass; as it is where none would be left."""
        kept = []
        facts = Facts(observation.state)
        for legal in observation.legal_actions:
            rules = self._known_of(observation.game, observation.kind, legal.name).whatever
            if not rules or not self._broken(rules, observation, Answer(action=legal.name), history, now_s, facts):
                kept.append(legal)
        if not kept or len(kept) == len(observation.legal_actions):
            return observation
        return msgspec.structs.replace(observation, legal_actions=tuple(kept))

    def harmless(self, observation: Observation, history: History, now_s: float) -> Answer:
        """What an NPC does that is frozen or whose answer did not pass: it idles, or else the scripted choice that passes.

        Where nothing legal passes, it is what only breaks a rule about how often, or else what the game itself would choose.
        """
        facts, mild = Facts(observation.state), None
        by_harm = sorted(observation.legal_actions, key=self._harm)
        for answer in islice((way for legal in by_harm for way in _ways(observation, legal)), TRIES_MAX):
            rules = self._known_of(observation.game, observation.kind, answer.action).rules
            broken = self._broken(rules, observation, answer, history, now_s, facts) if rules else None
            if broken is None:
                return answer
            if broken.is_mild and mild is None:
                mild = answer
        return mild or scripted.choose(observation)

    # ---- which rules -----------------------------------------------------------------------------------------------

    def _known_of(self, game: str, kind: str, action: str) -> Known:
        key = (game, kind, action)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            rules = tuple(
                Bound(name, rule, partial(self._covers, name, game))
                for name, rule in self.file.rules.items()
                if rule.covers(game, kind, action)
            )
            whatever = tuple(bound for bound in rules if not bound.rule.demand.minds_arguments)
            known = self._known[key] = Known(rules, whatever, frozenset(bound.name for bound in rules))
        return known

    def _covers(self, rule: str, game: str, kind: str, action: str) -> bool:
        return rule in self._known_of(game, kind, action).names

    def _is_idle(self, action: str) -> bool:
        return self._idle_place(action) is not None

    def _harm(self, legal: LegalAction) -> tuple[int, float]:
        """Idle actions first, in the order of the file, then what the game finds most appealing."""
        place = self._idle_place(legal.name)
        return (len(self.file.idle) if place is None else place, -legal.appeal)

    def _idle_place(self, action: str) -> int | None:
        if action not in self._idle:
            if len(self._idle) >= KNOWN_MAX:
                self._idle.clear()
            places = (place for place, pattern in enumerate(self.file.idle) if fnmatchcase(action, pattern))
            self._idle[action] = next(places, None)
        return self._idle[action]


def read_policy(file: Path | str = DECLARED) -> Policy:
    """The policy of a file, by default that of this checkout; raises `BadPolicy` with every mistake in it."""
    return Policy(read_file(file))


def _ways(observation: Observation, legal: LegalAction) -> Iterator[Answer]:
    """How an action can be done: as the game proposes, with the least of everything, and with each other choice."""
    usual = scripted.choose(msgspec.structs.replace(observation, legal_actions=(legal,)))
    yield usual
    least = {
        name: usual.arguments[name] if isinstance(parameter, Choice) else parameter.minimum
        for name, parameter in legal.parameters.items()
    }
    if least != usual.arguments:
        yield Answer(action=legal.name, arguments=least)
    for name, parameter in legal.parameters.items():
        if isinstance(parameter, Choice):
            for other in parameter.enum[:WAYS_MAX]:
                yield Answer(action=legal.name, arguments={**least, name: other})
