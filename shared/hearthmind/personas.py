"""Personas from YAML files, a file each, and which NPC is who.

    # personas/wolf.yaml: the file's name is the persona's
    called: Vrana of the Long Ride
    traits: [proud, quick to anger]
    voice: Short sentences. Never asks twice.
    goals: [be feared by every neighbour]
    knowledge: [the steppefolk ride faster than anybody]
    adapter: vrana@3
    behaviour: {aggression: 0.9, patience: 0.2}
    npcs: [realm/p0001, realm/p*5]

An observation may say who its NPC is (`Observation.persona`); otherwise the narrowest pattern of `npcs` does, and an NPC that
none fits is nobody. A mistake in a file is named with its line, all of them at once, and nothing starts. An observation that
names a persona which isn't there is answered as nobody's, and `on_unknown` is told.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import msgspec

from hearthmind.contracts.observation import Observation
from hearthmind.contracts.wire import Id
from hearthmind.errors import CannotStart, Refused
from hearthmind.persona import NEUTRAL, NOBODY, Behaviour, Persona, Several
from hearthmind.typed_yaml import Mistake, Reading, near

FILE_MAX_BYTES = 64 * 1024
PERSONAS_MAX = 10_000
FOUND_MAX = 100_000
"""Of so many NPCs it is remembered who they are; beyond, the patterns are asked again."""

Pattern = Annotated[str, msgspec.Meta(pattern="^[^/]{1,64}/[^/]{1,64}$")]


class BadPersonas(CannotStart):
    """The personas have {count}: {mistakes}"""


class UnknownPersona(Refused):
    """{npc} of the game {game} is to be {persona!r}, but no such persona is there{near}. It is nobody until there is one: add
    {persona}.yaml to the folder of personas (HEARTHMIND_DECISION__PERSONAS), or let the game name another."""


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A persona as it stands in its file."""

    called: Annotated[str, msgspec.Meta(max_length=64)] = ""
    traits: Several = ()
    voice: Annotated[str, msgspec.Meta(max_length=600)] = ""
    goals: Several = ()
    knowledge: Several = ()
    adapter: Annotated[str, msgspec.Meta(max_length=129, pattern=r"^([A-Za-z0-9_-]+(@[A-Za-z0-9_.-]+)?)?\Z")] = ""
    behaviour: Behaviour = NEUTRAL
    npcs: Annotated[tuple[Pattern, ...], msgspec.Meta(max_length=256)] = ()


def _pass_over(_: UnknownPersona) -> None:
    pass


class Personas:
    """Everybody there is, and who of the NPCs is who. Pure, and a look-up in a dictionary for an NPC seen before."""

    def __init__(
        self, personas: Iterable[Persona] = (), on_unknown: Callable[[UnknownPersona], None] = _pass_over
    ) -> None:
        self.by_name: Mapping[str, Persona] = MappingProxyType({persona.name: persona for persona in personas})
        self.strangers = 0
        """How many observations named a persona that isn't there."""
        self._on_unknown = on_unknown
        patterns = [(pattern, persona) for persona in self.by_name.values() for pattern in persona.npcs]
        patterns.sort(key=lambda entry: (_width(entry[0]), entry[0], entry[1].name))
        self._patterns = [(re.compile(fnmatch.translate(pattern)), persona) for pattern, persona in patterns]
        self._found: dict[tuple[str, str], Persona] = {}

    def of(self, observation: Observation) -> Persona:
        """Who the NPC is; nobody where nothing is said, or where somebody is named who isn't there."""
        if observation.persona is None:
            return self._by_pattern(observation.game, observation.npc)
        persona = self.by_name.get(observation.persona)
        if persona is None:
            self.strangers += 1
            self._on_unknown(self.unknown(observation.game, observation.npc, observation.persona))
            return NOBODY
        return persona

    def named(self, name: str) -> Persona:
        """The persona of that name; raises `UnknownPersona` where there is none."""
        if name not in self.by_name:
            raise self.unknown("-", "the NPC", name)
        return self.by_name[name]

    def unknown(self, game: str, npc: str, name: str) -> UnknownPersona:
        """What to say where somebody is named who isn't there."""
        return UnknownPersona(game=game, npc=npc, persona=name, near=near(name, self.by_name))

    def _by_pattern(self, game: str, npc: str) -> Persona:
        found = self._found.get((game, npc))
        if found is None:
            called = f"{game}/{npc}"
            found = next((persona for pattern, persona in self._patterns if pattern.match(called)), NOBODY)
            if len(self._found) >= FOUND_MAX:
                self._found.clear()
            self._found[game, npc] = found
        return found


def _width(pattern: str) -> tuple[bool, int]:
    """How much a pattern lets in: none with a wildcard is as narrow as one without, and the longer is the narrower."""
    return any(mark in pattern for mark in "*?["), -sum(mark not in "*?" for mark in pattern)


def personas(folder: Path | None, on_unknown: Callable[[UnknownPersona], None] = _pass_over) -> Personas:
    """The personas of a folder's `*.yaml`; raises `BadPersonas` with every mistake. Without a folder there is nobody."""
    if folder is None:
        return Personas((), on_unknown)
    if not folder.is_dir():
        raise CannotStart(why=f"the folder of personas {folder} is not there; HEARTHMIND_DECISION__PERSONAS names it")
    files = sorted(folder.glob("*.yaml"))
    if len(files) > PERSONAS_MAX:
        raise CannotStart(why=f"{folder} holds {len(files)} personas, and {PERSONAS_MAX} are the most")
    found: list[Persona] = []
    wrong: list[str] = []
    for file in files:
        persona, mistakes = read_persona(file)
        wrong += [f"\n  {file}:{mistake.line}: {mistake.what}" for mistake in mistakes]
        found += [persona] if persona else []
    if wrong:
        raise BadPersonas(count="a mistake" if len(wrong) == 1 else f"{len(wrong)} mistakes", mistakes="".join(wrong))
    return Personas(found, on_unknown)


def read_persona(file: Path) -> tuple[Persona | None, list[Mistake]]:
    """The persona of a file, and what is wrong with it."""
    try:
        data = file.read_bytes()
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        return None, [Mistake(1, f"it can't be read: {error}")]
    if len(data) > FILE_MAX_BYTES:
        return None, [Mistake(1, f"it is over {FILE_MAX_BYTES} bytes")]
    try:
        msgspec.convert(file.stem, Id)
    except msgspec.ValidationError:
        return None, [Mistake(1, f"{file.stem!r} can't be a persona's name: letters, digits, `_` and `-`, at most 64")]
    return parse_persona(file.stem, text, hashlib.sha256(data).hexdigest())


def parse_persona(name: str, text: str, sha256: str = "") -> tuple[Persona | None, list[Mistake]]:
    """The persona that a text describes, and what is wrong with it."""
    reading = Reading(text)
    if reading.root is None:
        return (None, reading.mistakes) if reading.mistakes else (Persona(name=name, sha256=sha256), [])
    entry = reading.struct(reading.root, _Entry, name)
    if entry is None:
        return None, sorted(reading.mistakes)
    return Persona(name=name, sha256=sha256, **msgspec.structs.asdict(entry)), []
