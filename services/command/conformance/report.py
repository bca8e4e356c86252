"""The result of a check: as one object, and to be read."""

from __future__ import annotations

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.command.conformance.findings import Finding
from services.command.conformance.mistakes import ERROR
from services.command.conformance.play import Play

COLOURS = {"error": "red", "warning": "yellow", "passed": "green", "failed": "red", "not tried": "dim"}
ACTIONS_SHOWN_MAX = 40
DOCS = "docs/reference/check-game.md"


class Acted(msgspec.Struct, frozen=True):
    """One act and how it went."""

    name: str
    state: str
    why: str


class Tried(msgspec.Struct, frozen=True):
    """One action of one kind: how often it was chosen, and in how many of its extremes."""

    kind: str
    action: str
    chosen: int
    tried: int
    offered: int


class Seen(msgspec.Struct, frozen=True):
    """What came from the game."""

    observations: int
    events: int
    outcomes: int
    unreadable: int
    npcs: int
    kinds: dict[str, int]


class Report(msgspec.Struct, frozen=True):
    """Everything."""

    game: str
    passed: bool
    seconds: float
    seen: Seen
    acts: list[Acted]
    actions: list[Tried]
    findings: list[Finding]

    @property
    def errors(self) -> list[Finding]:
        """What has to be mended."""
        return [finding for finding in self.findings if finding.level == ERROR]


def report_of(game: str, play: Play, now_s: float) -> Report:
    """The report of a play that is over and was judged."""
    ledger, findings = play.ledger, play.findings.all()
    counts = ledger.counts
    return Report(
        game=game,
        passed=not any(finding.level == ERROR for finding in findings),
        seconds=round(now_s - play.began_s, 1) if play.began_s is not None else 0.0,
        seen=Seen(
            counts.observations, counts.events, counts.outcomes, counts.refused, len(ledger.spoke_s), dict(ledger.kinds)
        ),
        acts=[Acted(act.name, act.state, act.why) for act in play.acts.values()],
        actions=[
            Tried(kind, action, ledger.answered[kind, action], sum(map(bool, taken.values())), len(taken))
            for (kind, action), taken in ledger.coverage.taken.items()
        ],
        findings=findings,
    )


def show(report: Report, console: Console) -> None:
    """Prints it."""
    _show_seen(report, console)
    _show_actions(report, console)
    for finding in report.findings:
        _show_finding(finding, console)
    _show_end(report, console)


def _show_seen(report: Report, console: Console) -> None:
    seen = report.seen
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in seen.kinds.items())
    console.print(
        f"\n{seen.observations:,} observations, {seen.events:,} events and {seen.outcomes:,} outcomes of {seen.npcs:,} "
        f"NPCs in {report.seconds:g} s{f' ({kinds})' if kinds else ''}; {seen.unreadable:,} messages could not be read",
        soft_wrap=True,
    )


def _show_actions(report: Report, console: Console) -> None:
    if not report.actions:
        return
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for name in ("kind", "action", "chosen", "extremes tried"):
        table.add_column(name, justify="right" if name == "chosen" else "left")
    for each in report.actions[:ACTIONS_SHOWN_MAX]:
        table.add_row(each.kind, each.action, f"{each.chosen:,}", f"{each.tried} of {each.offered}")
    console.print(table)
    if (more := len(report.actions) - ACTIONS_SHOWN_MAX) > 0:
        console.print(f"… and {more:,} more")


def _show_finding(finding: Finding, console: Console) -> None:
    colour = COLOURS[finding.level]
    times = "once" if finding.count == 1 else f"{finding.count:,} times"
    console.print(f"\n[{colour}]{finding.level}[/{colour}]  [bold]{finding.name}[/bold], {times}", highlight=False)
    lines = {"means": finding.means, "here": finding.says, "as in": finding.example, "do": finding.do}
    for label, words in lines.items():
        if words:
            console.print(f"  [dim]{label:<6}[/dim] {escape(words)}", highlight=False, soft_wrap=True)


def _show_end(report: Report, console: Console) -> None:
    errors, warnings = len(report.errors), len(report.findings) - len(report.errors)
    states = [act.state for act in report.acts]
    console.print(
        f"\n{states.count('passed')} of {len(states)} acts passed, {states.count('failed')} failed, "
        f"{states.count('not tried')} not tried; {errors} errors, {warnings} warnings",
        soft_wrap=True,
    )
    if report.findings:
        console.print(f"What each finding means, and more on what to do: {DOCS}")
    if not errors and "not tried" in states:
        console.print(
            "Nothing is wrong with what was tried. Let the game play on, or raise --seconds, to try the rest."
        )
    elif not errors:
        console.print("[green]The game keeps its part.[/green]")
