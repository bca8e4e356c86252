"""Reads YAML into a Struct and names every mistake with its line, all of them at once, where a decoder stops at the first."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
import yaml

T = TypeVar("T", bound=msgspec.Struct)


class Mistake(msgspec.Struct, frozen=True, order=True):
    """What is wrong, and on which line."""

    line: int
    what: str


class Reading:
    """One text being read; gathers what is wrong with it."""

    def __init__(self, text: str) -> None:
        self.mistakes: list[Mistake] = []
        self.root = self._composed(text)

    def wrong(self, node: yaml.Node, what: str) -> None:
        """Notes a mistake at this place."""
        self.mistakes.append(Mistake(node.start_mark.line + 1, what))

    def entries(self, node: yaml.Node, where: str) -> list[tuple[str, yaml.Node, yaml.Node]]:
        """A mapping's keys with their nodes and values, each key once."""
        if not isinstance(node, yaml.MappingNode):
            self.wrong(node, f"{where} has to be keys with their values, such as `key: value`")
            return []
        found: dict[str, tuple[str, yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.wrong(key, f"a key in {where} has to be a word")
            elif key.value in found:
                first = found[key.value][1].start_mark.line + 1
                self.wrong(key, f"{where}: {key.value} stands on line {first} already")
            else:
                found[key.value] = (key.value, key, value)
        return list(found.values())

    def struct(self, node: yaml.Node, kind: type[T], where: str, **kinds: Any) -> T | None:
        """The Struct that a mapping says, or None where something is wrong with it; `kinds` are narrower types of its fields."""
        before = len(self.mistakes)
        types = {**get_type_hints(kind, include_extras=True), **kinds}
        values: dict[str, object] = {}
        for name, key, value in self.entries(node, where):
            if name not in types:
                near = difflib.get_close_matches(name, types, n=1)
                hint = f"is it {near[0]}?" if near else f"there are {', '.join(types)}"
                self.wrong(key, f"{where}: nobody knows {name!r}; {hint}")
            else:
                values[name] = self._value(value, types[name], f"{where}.{name}")
        missing = {field.name for field in msgspec.structs.fields(kind) if field.required} - set(values)
        if missing:
            self.wrong(node, f"{where} lacks {', '.join(sorted(missing))}")
        return kind(**values) if len(self.mistakes) == before else None

    def _value(self, node: yaml.Node, kind: Any, where: str) -> object:
        bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            return self.struct(node, bare, where)
        if get_origin(bare) is tuple and isinstance(node, yaml.SequenceNode):
            each = get_args(bare)[0]
            values = tuple(self._value(item, each, f"{where}[{at}]") for at, item in enumerate(node.value))
            return self._fits(node, values if None not in values else None, kind, where)
        return self._fits(node, _plain(node), kind, where)

    def _fits(self, node: yaml.Node, value: object, kind: Any, where: str) -> object:
        if value is None and isinstance(node, yaml.SequenceNode):
            return None  # something in it is wrong, and named
        try:
            return msgspec.convert(value, kind, strict=True)
        except msgspec.ValidationError as error:
            secret = "key" in where.rpartition(".")[2]  # somebody may have put the key itself there
            shown = f" (it is {node.value!r})" if isinstance(node, yaml.ScalarNode) and not secret else ""
            self.wrong(node, f"{where}: {error}{shown}")
            return None

    def _composed(self, text: str) -> yaml.Node | None:
        try:
            return yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            self.mistakes.append(Mistake(line, f"this is no YAML: {error.problem}"))
        except yaml.YAMLError as error:
            self.mistakes.append(Mistake(1, f"this is no YAML: {error}"))
        return None


def _plain(node: yaml.Node) -> object:
    """The node as numbers, words, lists and mappings."""
    loader = yaml.SafeLoader("")
    try:
        value: object = loader.construct_document(node)
    except yaml.YAMLError as error:
        return f"({error})"
    return value


def near(name: str, known: Mapping[str, object]) -> str:
    """A guess at what was meant, as the end of a sentence; empty where nothing is like it."""
    found = difflib.get_close_matches(name, known, n=1)
    return f"; is it {found[0]!r}?" if found else ""
