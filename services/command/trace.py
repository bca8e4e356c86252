"""`hearthmind trace DECISION`: the way of one decision through all services, as a tree with times.

The law: every span that was found is drawn exactly once, whatever is missing or odd about the others. What players,
games and models made up is drawn as text and can't move the cursor.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from hearthmind.errors import HearthmindError
from hearthmind.telemetry import names
from hearthmind.telemetry.files import SpanRecord, newest_decisions, spans_of_decision

LISTED_MAX = 20
_HEADED = ((names.GAME, "game"), (names.NPC, "npc"), (names.KIND, "kind"))
BAR_WIDTH_MIN, BAR_WIDTH_MAX = 10, 60
LABEL_WIDTH_MAX = 40

FACTS = {
    names.TIER: "tier",
    names.SOURCE: "source",
    names.ACTION: "action",
    names.REWARD: "reward",
    names.WHY: "why",
}
"""What is said of a span, in this order, besides its model, tokens, attempt and error."""


class NoTrace(HearthmindError):
    """There is no trace of a decision {decision!r} in {folders}. Either it was not sampled: the setting
    HEARTHMIND_TELEMETRY__SAMPLE_RATIO says which share of decisions is, and `up --sample 1` means all. Or it is older than
    what the capped files hold, or its id is another: without an id, `trace` lists those there are. Or the platform has
    another folder: name it with --folder. Or traces are sent to an endpoint (HEARTHMIND_TELEMETRY__OTLP_ENDPOINT):
    then look for `hearthmind.decision.id` there.
    """


@dataclass
class Node:
    """A span and those that it caused."""

    span: SpanRecord
    is_orphan: bool = False
    """It names a parent that is not here."""
    children: list[Node] = field(default_factory=list)


@dataclass(frozen=True)
class Line:
    """A span as it is drawn."""

    span: SpanRecord
    guide: str
    """What stands before its name."""
    guide_below: str
    """What stands before whatever is said below it."""
    after_ms: float
    """Since the root began."""
    bar: tuple[float, float]
    """From where to where in the whole, both from 0 to 1."""
    facts: str


def list_traced(folders: Sequence[Path], console: Console) -> int:
    """Lists the newest decisions of which there are traces; returns the exit status."""
    newest = newest_decisions(folders, LISTED_MAX)
    if not newest:
        where = " and ".join(str(folder) for folder in folders)
        console.print(Text(str(NoTrace(decision="", folders=where)), style="red"))
        return 1
    for seen in newest:
        began = datetime.fromtimestamp(seen.start_ns / 1e9, UTC)
        facts = " · ".join(
            f"{word} {plain(seen.attributes[name])}" for name, word in _HEADED if name in seen.attributes
        )
        told = f"{began:%H:%M:%S}  {plain(seen.attributes[names.DECISION_ID])}  {facts}"
        console.print(Text(told), no_wrap=True, overflow="ellipsis")
    return 0


def trace(decision: str, folders: Sequence[Path], console: Console) -> int:
    """Draws the traces of a decision; returns the exit status."""
    spans = spans_of_decision(folders, decision)
    if not spans:
        where = " and ".join(str(folder) for folder in folders)
        console.print(Text(str(NoTrace(decision=decision, folders=where)), style="red"))
        return 1
    console.print(_heading(decision, spans))
    for roots in by_trace(spans):
        console.print()
        console.print(Text(f"trace {roots[0].span.trace}", style="dim"))
        for text in _drawn(lines(roots), console.width):
            console.print(text, no_wrap=True, overflow="ellipsis")
    return 0


# ---- the tree ---------------------------------------------------------------------------------------------------------


def by_trace(spans: Iterable[SpanRecord]) -> list[list[Node]]:
    """The roots of each trace, the earliest trace first."""
    traces: dict[str, list[SpanRecord]] = {}
    for span in sorted(spans, key=_order):
        traces.setdefault(span.trace, []).append(span)
    return [grow(each) for each in traces.values()]


def grow(spans: Iterable[SpanRecord]) -> list[Node]:
    """The trees of one trace's spans; a span without its parent, or that would be its own ancestor, is a root."""
    nodes = {span.span: Node(span) for span in sorted(spans, key=_order)}
    roots = []
    for node in nodes.values():
        parent = nodes.get(node.span.parent)
        if parent is None or _is_below(parent, node):
            node.is_orphan = bool(node.span.parent)
            roots.append(node)
        else:
            parent.children.append(node)
    return roots


def _is_below(node: Node, ancestor: Node) -> bool:
    waiting = [ancestor]
    while waiting:
        each = waiting.pop()
        if each is node:
            return True
        waiting += each.children
    return False


def _order(span: SpanRecord) -> tuple[int, str]:
    return span.start_ns, span.span


# ---- the lines --------------------------------------------------------------------------------------------------------


def lines(roots: list[Node]) -> list[Line]:
    """The trees from top to bottom, with times relative to the first root."""
    walked = list(_walk(roots))
    zero_ns = roots[0].span.start_ns
    first_ns = min(node.span.start_ns for node, _, _ in walked)
    whole_ns = max(1, *(node.span.end_ns - first_ns for node, _, _ in walked))
    return [
        Line(
            node.span,
            guide,
            guide_below,
            after_ms=(node.span.start_ns - zero_ns) / 1e6,
            bar=((node.span.start_ns - first_ns) / whole_ns, (node.span.end_ns - first_ns) / whole_ns),
            facts=facts(node),
        )
        for node, guide, guide_below in walked
    ]


def _walk(roots: list[Node]) -> Iterator[tuple[Node, str, str]]:
    """Each node with its guides, a parent before its children; without recursion, since a tree may be deep."""
    waiting = [(root, "", "") for root in reversed(roots)]
    while waiting:
        node, guide, guide_below = waiting.pop()
        yield node, guide, guide_below + ("│ " if node.children else "  ")
        for number, child in enumerate(reversed(node.children)):
            turn, below = ("└ ", "  ") if number == 0 else ("├ ", "│ ")
            waiting.append((child, guide_below + turn, guide_below + below))


def facts(node: Node) -> str:
    """What is worth knowing of a span besides its times."""
    attributes = node.span.attributes
    said = [
        f"{word} {plain(attributes[name])}" for name, word in FACTS.items() if attributes.get(name) not in {None, ""}
    ]
    if model := attributes.get(names.GEN_AI_RESPONSE_MODEL) or attributes.get(names.GEN_AI_REQUEST_MODEL):
        said.append(f"model {plain(model)}")
    tokens = attributes.get(names.GEN_AI_USAGE_INPUT_TOKENS), attributes.get(names.GEN_AI_USAGE_OUTPUT_TOKENS)
    if any(tokens):
        said.append(f"tokens {plain(tokens[0] or 0)} in, {plain(tokens[1] or 0)} out")
    if attributes.get(names.ATTEMPT, 1) != 1:
        said.append(f"attempt {plain(attributes[names.ATTEMPT])}")
    if node.span.error:
        said.append(f"error: {plain(node.span.error)}")
    if node.is_orphan:
        said.append("the span that caused it is not here")
    return " · ".join(said)


def plain(value: object) -> str:
    """A value in words, without anything that a terminal would obey."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def span_of_time(ms: float) -> str:
    """A time with three digits that count."""
    if abs(ms) >= 1000:
        return f"{ms / 1000:.2f} s"
    return f"{ms:.0f} ms" if abs(ms) >= 100 else f"{ms:.1f} ms" if abs(ms) >= 10 else f"{ms:.2f} ms"


# ---- the picture ------------------------------------------------------------------------------------------------------


def _heading(decision: str, spans: list[SpanRecord]) -> Text:
    known: dict[str, str] = {}
    for span in spans:
        for name, word in _HEADED:
            if span.attributes.get(name):
                known.setdefault(word, plain(span.attributes[name]))
    about = " · ".join([*(f"{word} {value}" for word, value in known.items()), f"{len(spans)} spans"])
    return Text.assemble("decision ", (plain(decision), "bold"), f"   {about}")


def _drawn(drawn: list[Line], width: int) -> Iterator[Text]:
    label_width = min(LABEL_WIDTH_MAX, max(len(line.guide) + len(line.span.name) for line in drawn))
    service_width = min(24, max(len(line.span.service) for line in drawn))
    before = label_width + service_width + 2 + 10 + 10 + 3
    bar_width = max(BAR_WIDTH_MIN, min(BAR_WIDTH_MAX, width - before))
    heads = f"{'began':>10}{'took':>10}"
    yield Text(f"{'':{label_width + service_width + 2}}{heads}", style="dim")
    for line in drawn:
        label = f"{line.guide}{plain(line.span.name)}"[:label_width]
        took = span_of_time((line.span.end_ns - line.span.start_ns) / 1e6)
        yield Text.assemble(
            (f"{label:{label_width}}  ", "bold"),
            (f"{plain(line.span.service)[:service_width]:{service_width}}", "cyan"),
            f"{span_of_time(line.after_ms):>10}{took:>10}   ",
            (_bar(line.bar, bar_width), "red" if line.span.error else "green"),
        )
        room = max(20, width - len(line.guide_below))
        for text in textwrap.wrap(line.facts, room):
            yield Text.assemble(line.guide_below, (text, "dim"))


def _bar(bar: tuple[float, float], width: int) -> str:
    """A bar of at least one cell, where it belongs."""
    began = min(width - 1, int(bar[0] * width))
    ended = max(began + 1, round(bar[1] * width))
    return " " * began + "━" * (ended - began)
