"""The file of the policy: what may stand in it, and every mistake in it by its line."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import yaml

from hearthmind.contracts.wire import Id, Line
from hearthmind.errors import BadId, CannotStart
from hearthmind.typed_yaml import Mistake, Reading
from services.decision.demands import (
    Caps,
    Demand,
    Forbidden,
    Hoard,
    Loop,
    Rate,
    Repeats,
    Share,
    Streak,
    Treaty,
    Values,
    Within,
    Words,
)
from services.decision.utterance import SPEECH, Speech

DECLARED = Path(__file__).parents[2] / "infra" / "policy.yaml"
"""The policy that comes with this checkout."""
FILE_MAX_BYTES = 1024 * 1024
RULES_MAX = 1_000
IDLE = ("wait", "idle", "hold", "rest", "stay", "pass", "nothing")


class BadPolicy(CannotStart):
    """The policy's file has {count}: {mistakes}"""


class Rule(NamedTuple):
    """One rule: of what it speaks, and what it demands."""

    says: str
    games: tuple[str, ...]
    kinds: tuple[str, ...]
    actions: tuple[str, ...]
    demand: Demand

    def covers(self, game: str, kind: str, action: str) -> bool:
        """Whether it speaks of this."""
        of = ((game, self.games), (kind, self.kinds), (action, self.actions))
        return all(any(fnmatchcase(word, pattern) for pattern in patterns) for word, patterns in of)


class PolicyFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says."""

    rules: dict[str, Rule]
    freeze_s: float = 5.0
    idle: tuple[str, ...] = IDLE
    speech: Speech = SPEECH


class _Top(msgspec.Struct, frozen=True, kw_only=True):
    freeze_s: Annotated[float, msgspec.Meta(ge=0, le=3_600)] = 5.0
    idle: Words = IDLE
    speech: Speech = SPEECH


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as it stands in the file, under its name."""

    says: Line
    games: Words = ("*",)
    kinds: Words = ("*",)
    actions: Words = ("*",)
    forbidden: bool = False
    values: dict[Id, Words] | None = None
    caps: dict[Id, float] | None = None
    within: dict[Id, Share] | None = None
    hoard: Hoard | None = None
    treaty: Treaty | None = None
    rate: Rate | None = None
    repeats: Repeats | None = None
    streak: Streak | None = None
    loop: Loop | None = None


SORTS = tuple(field.name for field in msgspec.structs.fields(_Entry))[4:]
"""What a rule can demand."""


def read_file(file: Path | str = DECLARED) -> PolicyFile:
    """The policy of a file, by default that of this checkout; raises `BadPolicy` with every mistake in it."""
    path = Path(file)
    try:
        text = path.read_bytes()[: FILE_MAX_BYTES + 1].decode()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStart(why=f"the policy's file {path} can't be read: {error}") from None
    if len(text) > FILE_MAX_BYTES:
        raise CannotStart(why=f"the policy's file {path} is over {FILE_MAX_BYTES} bytes")
    policy, mistakes = parse_policy(text)
    if mistakes:
        lines = "".join(f"\n  {path}:{mistake.line}: {mistake.what}" for mistake in mistakes)
        raise BadPolicy(count="a mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes", mistakes=lines)
    return policy


def parse_policy(text: str) -> tuple[PolicyFile, list[Mistake]]:
    """The policy of a text, and what is wrong with it."""
    reading = Reading(text)
    if not isinstance(reading.root, yaml.MappingNode):
        if reading.root is not None:
            reading.wrong(reading.root, "the file has to be keys with their values; `rules` is the one that matters")
        return PolicyFile(rules={}), sorted(reading.mistakes)
    rest = [pair for pair in reading.root.value if getattr(pair[0], "value", "") != "rules"]
    top = reading.struct(yaml.MappingNode("", rest, reading.root.start_mark), _Top, "the file") or _Top()
    rules: dict[str, Rule] = {}
    for name, key, node in reading.entries(reading.root, "the file"):
        for rule, at, entry in reading.entries(node, "rules") if name == "rules" else ():
            if (found := _rule(reading, rule, at, entry)) is not None:
                rules[rule] = found
        if len(rules) > RULES_MAX:
            reading.wrong(key, f"there are more than {RULES_MAX} rules")
    return PolicyFile(rules=rules, freeze_s=top.freeze_s, idle=top.idle, speech=top.speech), sorted(reading.mistakes)


def _rule(reading: Reading, name: str, at: yaml.Node, node: yaml.Node) -> Rule | None:
    try:
        msgspec.convert(name, Id)
    except msgspec.ValidationError:
        reading.wrong(at, str(BadId(value=name, kind="rule's name")))
        return None
    entry = reading.struct(node, _Entry, name)
    if entry is None:
        return None
    demands = [demand for sort in SORTS if (demand := _demand(sort, getattr(entry, sort))) is not None]
    if len(demands) != 1:
        said = "demands nothing" if not demands else "demands several things"
        reading.wrong(at, f"{name} {said}: write one of {', '.join(SORTS)} in each rule")
        return None
    return Rule(entry.says, entry.games, entry.kinds, entry.actions, demands[0])


def _demand(sort: str, said: object) -> Demand | None:
    if sort == "forbidden":
        return Forbidden() if said else None
    if isinstance(said, dict):
        if sort == "values":
            return Values(of=said)
        return Caps(of=said) if sort == "caps" else Within(of=said)
    return said if isinstance(said, Demand) else None
