"""Templates: a file for each kind of decision that has words of its own, and `generic` for all others.

A game's own stand in a folder: `<kind>.jinja` for any game, `<game>/<kind>.jinja` for one. They go before the house's. Each file
begins with its version, and has two blocks, `system` and `user`, named by who says what is in them. What many prompts share
stands in `system`: what the task is, and in which form it is answered; then comes the character, then what changes. What a model
has to know of a game's world stands in `<game>/world.md` and is told before all that, in the same words to everybody.

The law: a template that can't be used is refused at the start, with its line; and whatever it prints of a game's or of players'
words, they stand there as data.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hearthmind.errors import CannotStart
from hearthmind.prompting import telling

KEY = "HEARTHMIND_DECISION__TEMPLATES"
GENERIC = "generic"
HOUSE = Path(__file__).parent / "templates"
ROLES = ("system", "user")
FACTS = (
    *("game", "npc", "kind", "scene", "state", "actions", "texts"),
    *("persona", "recalled", "notes", "speaks", "plans", "limits"),
)
"""What a template knows."""
FILES_MAX = 1_000
FILE_MAX_BYTES = 64 * 1024
WORLD = "world.md"
WORLD_CHARS_MAX = 16_000
"""Half of what a turn may have, so that the question itself always has room."""
FAILURES = (TemplateError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""How a template fails that was read: it asks for a fact that is not there, or does with one what can't be done."""
_VERSION = re.compile(r"\{#-? version (\d{1,6}):")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


class BadTemplate(CannotStart):
    """The template {file} is not usable: {mistakes}. docs/how-to/write-a-template.md says how one is written."""


@dataclass(frozen=True)
class Words:
    """A template that can be used."""

    name: str
    """`strategic`, or `castle/patrol` where it is one game's."""
    version: int
    sha256: str
    is_own: bool
    """Whether it comes from a folder of one's own."""
    template: Template
    world: str = ""
    """What is told first, whatever is asked."""

    @property
    def ref(self) -> str:
        """`strategic@2`; where no release of the house keeps it as it is, with its hash: `castle/patrol@1+3f2a9c41`."""
        return f"{self.name}@{self.version}" + (f"+{self.sha256[:8]}" if self.is_own else "")

    def said(self, facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Each block's role and text."""
        context = self.template.new_context(dict(facts))
        world = self.world
        for role in ROLES:
            yield role, world + "".join(self.template.blocks[role](context)).strip()
            world = ""

    def told_first(self, world: str, game: str) -> Words:
        """The same in a game that has a world to tell of: another text, and so another hash."""
        sha256 = hashlib.sha256(f"{world}{self.sha256}".encode()).hexdigest()
        name = f"{game}/{self.name.rpartition('/')[2]}"
        return replace(self, name=name, sha256=sha256, is_own=True, world=f"{world}\n\n")


@dataclass(frozen=True)
class Templates:
    """All that there are, by name."""

    words: Mapping[str, Words]

    @property
    def names(self) -> frozenset[str]:
        """What can be named as a rule's template, also without the game in front."""
        return frozenset({*self.words, *(name.rpartition("/")[2] for name in self.words)})

    def find(self, game: str, kind: str, name: str = "") -> Words:
        """By what a decision of this kind is asked, or by the named one: the game's own first, `generic` for all others."""
        for wanted in (name, kind, GENERIC):
            for known in (f"{game}/{wanted}", wanted):
                if wanted and (words := self.words.get(known)):
                    return words
        raise LookupError(GENERIC)


@functools.cache
def house() -> Templates:
    """Those that come with the library."""
    return Templates({path.stem: _read(path, path.stem, is_own=False) for path in sorted(HOUSE.glob("*.jinja"))})


def templates_in(folder: str, proven_by: Callable[[Words], None]) -> Templates:
    """The house's and those of a folder of one's own, each tried; an empty name is no folder."""
    if not folder:
        return house()
    top = Path(folder)
    if not top.is_dir():
        raise CannotStart(why=f"{KEY}: {folder} is no folder; make it, or leave the setting out")
    files = sorted([*top.glob("*.jinja"), *top.glob("*/*.jinja")])
    if len(files) > FILES_MAX:
        raise CannotStart(why=f"{KEY}: {folder} has {len(files)} templates, at most {FILES_MAX} are read")
    own = {}
    for path in files:
        parts = path.relative_to(top).with_suffix("").parts
        if wrong := [part for part in parts if not _NAME.match(part)]:
            raise BadTemplate(file=path, mistakes=f"{wrong[0]!r} is no kind or game: use letters, digits, `_` and `-`")
        own["/".join(parts)] = words = _read(path, "/".join(parts), is_own=True)
        try:
            proven_by(words)
        except FAILURES as error:
            raise BadTemplate(file=path, mistakes=_place(words, error)) from None
    templates = Templates({**house().words, **own})
    for path in sorted(top.glob(f"*/{WORLD}")):
        templates = _in_world(templates, path.parent.name, _world(path))
    return templates


def _in_world(templates: Templates, game: str, world: str) -> Templates:
    """Whatever this game may be asked by begins with its world."""
    kinds = {name.removeprefix(f"{game}/") for name in templates.words}
    theirs = [templates.find(game, kind).told_first(world, game) for kind in sorted(kinds) if "/" not in kind]
    return Templates({**templates.words, **{words.name: words for words in theirs}})


def _world(path: Path) -> str:
    """What a game tells of itself."""
    world = _text(path).strip()
    if not world or len(world) > WORLD_CHARS_MAX:
        mistakes = f"it has {len(world):,} characters; tell of the world in 1 to {WORLD_CHARS_MAX:,}, or take it away"
        raise BadTemplate(file=path, mistakes=mistakes)
    return world


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(FILE_MAX_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise BadTemplate(file=path, mistakes=f"it can't be read: {error}") from None


def _read(path: Path, name: str, *, is_own: bool) -> Words:
    text = _text(path)
    if mistakes := mistakes_in(text):
        raise BadTemplate(file=path, mistakes="; ".join(f"line {line}: {what}" for line, what in mistakes))
    version = _VERSION.match(text)
    assert version, "a text without one has a mistake"
    template = environment().from_string(text)
    return Words(name, int(version[1]), hashlib.sha256(text.encode()).hexdigest(), is_own, template)


def mistakes_in(text: str) -> list[tuple[int, str]]:
    """What is wrong with a template, each with its line."""
    if len(text) > FILE_MAX_BYTES:
        return [(1, f"it has more than {FILE_MAX_BYTES:,} characters")]
    try:
        tree = environment().parse(text)
        environment().compile(tree)
    except TemplateSyntaxError as error:
        return [(error.lineno, error.message or "it can't be read")]
    tree = environment().parse(text)  # what was compiled is changed by it
    found = {*_blocks(tree), *_unknown(tree), *_reaching(tree)}
    if not _VERSION.match(text):
        found.add((1, "it has to begin with its version, as in {# version 1: what it asks #}"))
    return sorted(found)


def _blocks(tree: nodes.Template) -> Iterator[tuple[int, str]]:
    blocks = {block.name: block.lineno for block in tree.find_all(nodes.Block)}
    for role in ROLES:
        if role not in blocks:
            yield 1, f"there is no {{% block {role} %}}; it needs one for each of {' and '.join(ROLES)}"
    for name, line in blocks.items():
        if name not in ROLES:
            yield line, f"nobody says the block {name!r}; there are {' and '.join(ROLES)}"


def _unknown(tree: nodes.Template) -> Iterator[tuple[int, str]]:
    unknown = meta.find_undeclared_variables(tree) - set(FACTS) - set(environment().globals)
    seen: set[str] = set()
    for name in tree.find_all(nodes.Name):
        if name.name in unknown and name.name not in seen:
            seen.add(name.name)
            yield name.lineno, f"nobody knows {name.name!r}; there are {', '.join(FACTS)}"


def _reaching(tree: nodes.Template) -> Iterator[tuple[int, str]]:
    """What would reach out of the template: other files, and the insides of Python."""
    for node in tree.find_all((nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)):
        yield node.lineno, "a template stands for itself: it can't extend, include or import another"
    for attribute in tree.find_all(nodes.Getattr):
        if attribute.attr.startswith("_"):
            yield attribute.lineno, f"{attribute.attr!r} is out of its reach: names that begin with _ are Python's own"
    for item in tree.find_all(nodes.Getitem):
        if isinstance(item.arg, nodes.Const) and isinstance(item.arg.value, str) and item.arg.value.startswith("_"):
            yield item.lineno, f"{item.arg.value!r} is out of its reach: names that begin with _ are Python's own"


def _place(words: Words, error: Exception) -> str:
    """What failed when it was tried, with the line in the template as far as that is known."""
    where, trace = "", error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == "<template>":
            where = f"line {words.template.get_corresponding_lineno(trace.tb_lineno)}: "
        trace = trace.tb_next
    return f"{where}it fails when it is tried: {error}"


@functools.cache
def environment() -> ImmutableSandboxedEnvironment:
    """No template reaches out of its facts, and a name that is not among them is an error."""
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=telling.shown
    )
    environment.globals = {name: environment.globals[name] for name in ("range", "namespace")}
    environment.filters |= {
        "plain": telling.plain,
        "standing": telling.standing,
        "told": telling.told,
        "menu": telling.menu,
        "heard": telling.heard,
        "character": telling.character,
        "remembered": telling.remembered,
        "noted": telling.noted,
    }
    return environment
