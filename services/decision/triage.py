"""Triage: is this observation for the rules or for a model, for which one, in which tier, asked by which template, and why?

The rules stand in a file, `infra/triage.yaml` unless a setting names another; the first one that fits counts. The short setting
HEARTHMIND_DECISION__TRIAGE wins over it where it names a model for the kind; tier and template stay as the file says. The whole
file is read before anything starts, and every mistake in it is named with its line.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml

from hearthmind.contracts.observation import Observation
from hearthmind.errors import CannotStart
from hearthmind.flow import tier_of
from hearthmind.typed_yaml import Mistake, Reading
from services.decision.budgets import UNLIMITED, Allowances

RULES = "rules"
KEY = "HEARTHMIND_DECISION__TRIAGE"
ADAPTER = r"^([A-Za-z0-9_-]{1,64}(@[1-9][0-9]{0,8})?)?\Z"
DECLARED = Path(__file__).parents[2] / "infra" / "triage.yaml"
"""The rules that come with this checkout."""
FILE_MAX_BYTES = 1024 * 1024
KNOWN_MAX = 1_024
"""So many kinds of games are looked up once; a game has a few, and one that makes them up without end gets no more."""

Plain = bool | int | float | str
Words = str | tuple[str, ...]  # without bounds: a union of a bounded string and an array is more than msgspec can take
"""One word, or any of these."""


class BadTriage(CannotStart):
    """The triage file {file} has {count}: {mistakes}"""


class Span(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which values of a fact fit."""

    above: float | None = None
    below: float | None = None
    one_of: tuple[Plain, ...] | None = None

    def has(self, fact: object) -> bool:
        """Whether the fact is one of them; what is no number is neither above nor below anything."""
        if self.one_of is not None and fact not in self.one_of:
            return False
        if self.above is None and self.below is None:
            return True
        if isinstance(fact, bool) or not isinstance(fact, int | float):
            return False
        return (self.above is None or fact > self.above) and (self.below is None or fact < self.below)


class When(msgspec.Struct, frozen=True, kw_only=True):
    """Which observations a rule is about: those that fit all of this."""

    game: Words | None = None
    kind: Words | None = None
    priority_min: Annotated[int, msgspec.Meta(ge=0, le=10)] = 0
    priority_max: Annotated[int, msgspec.Meta(ge=0, le=10)] = 10
    actions_min: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    """How many legal actions there are at least."""
    actions_max: Annotated[int, msgspec.Meta(ge=1, le=256)] = 256
    parameters: bool | None = None
    """Whether any of them has parameters."""
    texts: bool | None = None
    """Whether a player said something."""
    scene: bool | None = None
    """Whether it belongs to a scene."""
    facts: Annotated[dict[str, Plain | Span], msgspec.Meta(max_length=16)] = {}
    """Facts of the state by their path, such as `village.threat`: a value, or what it is above, below or one of."""

    def speaks_of(self, game: str, kind: str) -> bool:
        """Whether observations of this kind may be among them."""
        return _is(self.game, game) and _is(self.kind, kind)

    def fits(self, observation: Observation, state: State) -> bool:
        """Whether the observation, of a kind that it speaks of, is one of them."""
        return (
            self.priority_min <= observation.priority <= self.priority_max
            and self.actions_min <= len(observation.legal_actions) <= self.actions_max
            and (self.parameters is None or self.parameters == any(a.parameters for a in observation.legal_actions))
            and (self.texts is None or self.texts == bool(observation.texts))
            and (self.scene is None or self.scene == (observation.scene is not None))
            and all(state.has(path, wanted) for path, wanted in self.facts.items())
        )


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Where observations go, and why."""

    why: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    """The reason in words; it is kept with every decision."""
    when: When = When()
    model: str = RULES
    """A declared model, or `rules` for none."""
    tier: Literal["", "critical", "strategic", "social", "routine"] = ""
    """Where nothing is said, the one that the priority belongs to."""
    template: str = ""
    """Where nothing is said, the one of the kind."""
    adapter: Annotated[str, msgspec.Meta(pattern=ADAPTER)] = ""
    """The adapter that the model answers with, by its name, or a version of it; a persona's own goes before it."""
    reuse: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    """How like an earlier situation this one has to be for what came off there to be done again without asking; 0: always ask."""


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """The file."""

    rules: Annotated[tuple[Rule, ...], msgspec.Meta(max_length=1000)] = ()
    budgets: Allowances = UNLIMITED


NO_RULES = Declared()


@dataclass(frozen=True, slots=True)
class Route:
    """A model and whose workers hold it, or the rules; how urgent it is, what it is asked by, and why."""

    model: str
    """Empty for the rules."""
    pool: str
    tier: str
    template: str
    """Empty: the one of the kind."""
    reason: str
    adapter: str = ""
    """The adapter that it answers with, by its name, or a version of it; empty for the model as it is."""
    reuse: float = 0.0
    """How like a situation has to be in which the same came off before; 0: the model is always asked."""

    @property
    def reads_text(self) -> bool:
        """Whether it wants a prompt, or the observation as it is."""
        return bool(self.model) and not self.model.startswith(("rules_", "policy_"))


class State:
    """The state of an observation, read when the first rule asks for a fact of it."""

    def __init__(self, observation: Observation) -> None:
        self._observation = observation

    def has(self, path: str, wanted: Plain | Span) -> bool:
        """Whether the fact at the end of the path is as wanted; one that is not there never is."""
        value = self._facts
        for name in path.split("."):
            if not isinstance(value, dict) or name not in value:
                return False
            value = value[name]
        if isinstance(wanted, Span):
            return wanted.has(value)
        return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)

    @functools.cached_property
    def _facts(self) -> Any:
        try:
            return msgspec.json.decode(self._observation.state)
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            return None


@dataclass(frozen=True)
class Triage:
    """Where each observation goes."""

    chosen: Mapping[str, str]
    """By the short setting: models, with their adapters, by `game/kind`, `kind`, `game/*` and `*`; the narrowest counts."""
    rules: tuple[Rule, ...]
    pools: Mapping[str, str]
    """The pool of each declared model."""
    budgets: Allowances = UNLIMITED
    _known: dict[tuple[str, str], tuple[tuple[Rule, ...], str]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Of a game's kind the rules that speak of it, and the key of the short setting that does."""

    def route(self, observation: Observation) -> Route:
        """Where this one goes."""
        state = State(observation)
        rules, key = self._known_of(observation.game, observation.kind)
        rule = next((rule for rule in rules if rule.when.fits(observation, state)), _NO_RULE)
        model, adapter, why = rule.model, rule.adapter, rule.why
        if key:
            why = f"{KEY} says {key}={self.chosen[key]}"
            model, _, adapter = self.chosen[key].partition(":")
        tier = rule.tier or tier_of(observation.priority)
        if model == RULES:
            return Route("", "", tier, rule.template, why)
        return Route(model, self.pools[model], tier, rule.template, why, adapter, rule.reuse)

    def _known_of(self, game: str, kind: str) -> tuple[tuple[Rule, ...], str]:
        known = self._known.get((game, kind))
        if known is None:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            keys = (f"{game}/{kind}", kind, f"{game}/*", "*")
            known = self._known[game, kind] = (
                tuple(rule for rule in self.rules if rule.when.speaks_of(game, kind)),
                next((key for key in keys if key in self.chosen), ""),
            )
        return known

    @property
    def models(self) -> frozenset[str]:
        """All that may be asked."""
        chosen = {named.partition(":")[0] for named in self.chosen.values()}
        if "*" in self.chosen:  # no rule's model is ever asked
            return frozenset(chosen) - {RULES}
        return frozenset({*chosen, *(rule.model for rule in self.rules)}) - {RULES}


_NO_RULE = Rule(why="no rule fits")


def parse(entries: tuple[str, ...], pools: Mapping[str, str], declared: Declared = NO_RULES) -> Triage:
    """Reads the short setting: `kind=model` or `game/kind=model` each, where the model may be `rules`; `*` is any kind.

    `model:adapter` names an adapter: the version in force by its name alone, or one version, `model:adapter@2`.
    """
    chosen: dict[str, str] = {}
    for entry in entries:
        key, _, named = entry.partition("=")
        model, _, adapter = named.partition(":")
        if not key or not model:
            raise CannotStart(why=f"{KEY} has {entry!r}; write kind=model or game/kind=model, with rules for no model")
        if unknown := _unknown(model, pools):
            raise CannotStart(why=f"{KEY} has {entry!r}, but {unknown}")
        if not re.match(ADAPTER, adapter) or (adapter and model == RULES):
            raise CannotStart(why=f"{KEY} has {entry!r}; write kind=model:adapter or kind=model:adapter@version")
        chosen[key] = named
    return Triage(chosen, declared.rules, pools, declared.budgets)


def triage_of(
    file: str, entries: tuple[str, ...], pools: Mapping[str, str], templates: Collection[str] | None = None
) -> Triage:
    """The triage as the settings have it; an empty name is the file of this checkout."""
    path = Path(file) if file else DECLARED
    try:
        with path.open(encoding="utf-8") as stream:
            text = stream.read(FILE_MAX_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStart(why=f"{KEY}_RULES: the triage file {path} can't be read: {error}") from None
    if len(text) > FILE_MAX_BYTES:
        raise CannotStart(why=f"{KEY}_RULES: the triage file {path} has more than {FILE_MAX_BYTES:,} characters")
    declared, mistakes = read(text, pools if file else None, templates)
    if declared is None:
        count = f"{len(mistakes)} mistake{'s' * (len(mistakes) > 1)}"
        raise BadTriage(file=path, count=count, mistakes="; ".join(f"line {m.line}: {m.what}" for m in mistakes))
    if not file:  # ours knows models that one's own list of models may do without
        there = tuple(rule for rule in declared.rules if rule.model == RULES or rule.model in pools)
        declared = msgspec.structs.replace(declared, rules=there)
    return parse(entries, pools, declared)


def read(
    text: str, pools: Mapping[str, str] | None, templates: Collection[str] | None = None
) -> tuple[Declared | None, list[Mistake]]:
    """What the file says, and what is wrong with it; without pools any model will do."""
    reading = Reading(text)
    if reading.root is None:
        return (None, reading.mistakes) if reading.mistakes else (NO_RULES, [])
    declared = reading.struct(reading.root, Declared, "the file")
    for at, node in enumerate(_rules_in(reading.root)):
        for name, _, value in reading.entries(node, f"rules[{at}]") if isinstance(node, yaml.MappingNode) else ():
            said = value.value if isinstance(value, yaml.ScalarNode) else ""
            if name == "model" and said and pools is not None and (unknown := _unknown(said, pools)):
                reading.wrong(value, f"rules[{at}].model: {unknown}")
            if name == "template" and said and templates is not None and said not in templates:
                there = ", ".join(sorted(templates))
                reading.wrong(value, f"rules[{at}].template: there is no template {said!r}; there are {there}")
    if declared is not None:
        for at, rule in enumerate(declared.rules[:-1]):
            if rule.when == When():
                reading.wrong(
                    _rules_in(reading.root)[at + 1], f"rules[{at + 1}] never counts: rules[{at}] fits everything"
                )
                break
    mistakes = sorted(set(reading.mistakes))
    return (None if mistakes else declared), mistakes


def _rules_in(root: yaml.Node) -> list[yaml.Node]:
    if not isinstance(root, yaml.MappingNode):
        return []
    found = [value for key, value in root.value if isinstance(key, yaml.ScalarNode) and key.value == "rules"]
    return list(found[0].value) if found and isinstance(found[0], yaml.SequenceNode) else []


def _unknown(model: str, pools: Mapping[str, str]) -> str:
    """What to say of a model that is not declared; empty where it is."""
    if model == RULES or model in pools:
        return ""
    near = difflib.get_close_matches(model, [RULES, *pools], n=1)
    return f"no model {model!r} is declared" + (f"; did you mean {near[0]}?" if near else "")


def _is(wanted: Words | None, word: str) -> bool:
    return wanted is None or (word == wanted if isinstance(wanted, str) else word in wanted)
