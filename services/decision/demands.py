"""What a rule of the policy can demand of an answer; each demand is a pure check.

`broken` says how an answer breaks it, or nothing. A demand that is mild is about how often something is done, and not about what:
it never holds for an NPC that idles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, NamedTuple

import msgspec

from hearthmind.contracts.inference import Answer
from hearthmind.contracts.wire import Word
from services.decision.facts import Facts
from services.decision.history import Deed, History

Times = Annotated[int, msgspec.Meta(ge=1, le=64)]
"""So many deeds of each NPC are remembered at most."""
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Path = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\s.]+(\.[^\s.]+)*$")]
Words = Annotated[tuple[Word, ...], msgspec.Meta(min_length=1, max_length=256)]


class Asked(NamedTuple):
    """What a demand is held against."""

    answer: Answer
    deed: Deed
    """What the answer would be, once it is done."""
    history: History
    facts: Facts
    covers: Callable[[str, str], bool]
    """Whether the rule speaks of this kind and action."""


class Demand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sort of demand."""

    is_mild: ClassVar[bool] = False
    minds_arguments: ClassVar[bool] = True
    """Whether other arguments might pass."""

    @property
    def remembers(self) -> int:
        """How many deeds of an NPC have to be known for it."""
        return 0

    def broken(self, asked: Asked) -> str:  # noqa: ARG002
        """How the answer breaks it; empty where it does not. One that demands nothing is never broken."""
        return ""


class Forbidden(Demand, frozen=True):
    """Nobody does it."""

    minds_arguments: ClassVar[bool] = False

    def broken(self, asked: Asked) -> str:
        """Always."""
        return f"{asked.answer.action} is forbidden"


class Values(Demand, frozen=True):
    """No argument has such a value; `*` in it is anything."""

    of: Mapping[str, Words]

    def broken(self, asked: Asked) -> str:
        """The first argument that has one."""
        for argument, patterns in self.of.items():
            said = str(asked.answer.arguments.get(argument, "")).casefold()
            if said and any(fnmatchcase(said, pattern.casefold()) for pattern in patterns):
                return f"{argument} is {said}"
        return ""


class Caps(Demand, frozen=True):
    """No argument is above this."""

    of: Mapping[str, float]

    def broken(self, asked: Asked) -> str:
        """The first argument that is."""
        for argument, most in self.of.items():
            said = asked.answer.arguments.get(argument)
            if isinstance(said, int | float) and said > most:
                return f"{argument} is {said:g} and may be {most:g}"
        return ""


class Share(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of how much an argument may be which share."""

    of: Path
    """Where the state says how much there is; `{item}` in it is what the answer says for that argument."""
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0


class Within(Demand, frozen=True):
    """No argument is more than a share of what the NPC has: so nothing is spent twice, or made of nothing."""

    of: Mapping[str, Share]

    def broken(self, asked: Asked) -> str:
        """The first argument that is; what the state does not say is not known to be too little."""
        for argument, share in self.of.items():
            said = asked.answer.arguments.get(argument)
            if isinstance(said, int | float):
                has = asked.facts.number(share.of, asked.answer.arguments)
                if has is not None and said > has * share.share:
                    return f"{argument} is {said:g}, and {share.of} has {has:g}"
        return ""


class Hoard(Demand, frozen=True):
    """Nobody takes more who has that much."""

    fact: Path
    above: float

    def broken(self, asked: Asked) -> str:
        """Where the state says that it has."""
        has = asked.facts.number(self.fact, asked.answer.arguments)
        return f"{self.fact} is {has:g} already" if has is not None and has > self.above else ""


class Treaty(Demand, frozen=True):
    """Nothing of the sort is done to those with whom there is a treaty."""

    targets: Words
    """The arguments that say to whom it is done."""
    partners: Annotated[tuple[Path, ...], msgspec.Meta(min_length=1, max_length=16)]
    """Where the state says with whom there is one."""

    def broken(self, asked: Asked) -> str:
        """The first of them that it is done to."""
        done_to = [said for name in self.targets if (said := asked.answer.arguments.get(name)) is not None]
        for path in self.partners if done_to else ():
            if bound := asked.facts.names(path, asked.answer.arguments) & {str(said) for said in done_to}:
                return f"there is a treaty with {min(bound)}"
        return ""


class Rate(Demand, frozen=True):
    """It is done no more often than this within that time; all actions of the rule count together."""

    is_mild: ClassVar[bool] = True
    minds_arguments: ClassVar[bool] = False
    most: Times
    within_s: Seconds

    @property
    def remembers(self) -> int:
        """As many as may be done."""
        return self.most

    def broken(self, asked: Asked) -> str:
        """Where as many were done already."""
        since_s = asked.deed.at_s - self.within_s
        done = sum(deed.at_s > since_s and asked.covers(deed.kind, deed.action) for deed in asked.history.deeds)
        return f"it was done {done} times within {self.within_s:g} s" if done >= self.most else ""


class Repeats(Demand, frozen=True):
    """The same with the same arguments is done no more often than this within that time."""

    is_mild: ClassVar[bool] = True
    most: Times
    within_s: Seconds

    @property
    def remembers(self) -> int:
        """As many as may be done."""
        return self.most

    def broken(self, asked: Asked) -> str:
        """Where as many were done already."""
        now, since_s = asked.deed, asked.deed.at_s - self.within_s
        done = sum(
            deed.at_s > since_s and (deed.action, deed.arguments) == (now.action, now.arguments)
            for deed in asked.history.deeds
        )
        return f"just that was done {done} times within {self.within_s:g} s" if done >= self.most else ""


class Streak(Demand, frozen=True):
    """The same action is done no more often than this without another one in between."""

    is_mild: ClassVar[bool] = True
    minds_arguments: ClassVar[bool] = False
    most: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]

    @property
    def remembers(self) -> int:
        """The last one; how many they were is counted."""
        return 1

    def broken(self, asked: Asked) -> str:
        """Where it was done that often."""
        history = asked.history
        is_more = bool(history.deeds) and history.deeds[-1].action == asked.deed.action
        return f"it was done {history.in_a_row} times in a row" if is_more and history.in_a_row >= self.most else ""


class Loop(Demand, frozen=True):
    """No chain of two or more deeds is gone through this often while the world is as it was each time."""

    is_mild: ClassVar[bool] = True
    actions_max: Annotated[int, msgspec.Meta(ge=2, le=8)]
    times: Annotated[int, msgspec.Meta(ge=2, le=8)]
    any_state: bool = False
    """Whether the world may have changed: for games whose state has a clock in it."""

    @property
    def remembers(self) -> int:
        """The longest chain as often."""
        return self.actions_max * self.times

    def broken(self, asked: Asked) -> str:
        """Where the answer would end such a chain."""
        deeds, now = asked.history.deeds, asked.deed
        lately = min(self.actions_max - 1, len(deeds))
        another = next((back for back in range(1, lately + 1) if not self._alike(deeds[-back], now)), self.actions_max)
        for length in range(another + 1, self.actions_max + 1):  # a shorter chain would be of one deed only
            if len(deeds) < length * self.times - 1 or not self._alike(deeds[-length], now):
                continue  # what nearly always is the case
            chain = [*list(deeds)[1 - length * self.times :], now]
            if all(map(self._alike, chain[length:], chain)):
                return f"the same {length} deeds {self.times} times over"
        return ""

    def _alike(self, one: Deed, other: Deed) -> bool:
        is_same = one.action == other.action and one.arguments == other.arguments
        return is_same and (self.any_state or one.state == other.state)
