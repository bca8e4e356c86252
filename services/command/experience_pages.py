"""What `hearthmind experiences` prints: tables, and small plots of characters. What games, players and models said is drawn
as text and can't move the cursor."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hearthmind.store.experiences import Lived, Said
from hearthmind.store.summaries import DaySummary, NpcSummary, PersonaSummary, Summary, VariantSummary
from services.command.trace import plain

BARS = " ▁▂▃▄▅▆▇█"
HALF_WIDTH = 20
BINS = 40
SHOWN_MAX = 1_500
"""So many characters of a text."""
_DECIDED = (
    *("source", "model", "adapter", "adapter_sha256", "template", "experiment", "variant", "persona", "behaviour"),
    *("tier", "route", "why", "confidence", "tokens_in", "tokens_cached", "tokens_out", "cost_usd", "latency_ms"),
)
_BESIDE = ("control", "advantage", "controls")
"""Parts that stand beside the long-term reward and are not in it."""


@dataclass(frozen=True)
class Stats:
    """A game's summaries."""

    game: str
    npcs: Sequence[NpcSummary]
    personas: Sequence[PersonaSummary]
    variants: Sequence[VariantSummary]
    days: Sequence[DaySummary]
    rewards: Sequence[float]


# ---- plots -------------------------------------------------------------------------------------------------------------


def spark(values: Sequence[float], low: float, high: float) -> str:
    """Values as a line of bars of different heights."""
    top, span = len(BARS) - 1, max(high - low, 1e-12)
    return "".join(BARS[1 + round((min(max(value, low), high) - low) / span * (top - 1))] for value in values)


def histogram(values: Sequence[float]) -> str:
    """How often values from -1 to 1 are where."""
    counts = [0] * BINS
    for value in values:
        counts[min(int((value + 1) / 2 * BINS), BINS - 1)] += 1
    most = max(counts, default=0)
    return "".join(BARS[math.ceil(count / most * (len(BARS) - 1))] if most else " " for count in counts)


def bar(value: float) -> str:
    """A number from -1 to 1 as a bar to the left or right of the middle."""
    length = min(round(abs(value) * HALF_WIDTH), HALF_WIDTH)
    left = ("█" * length if value < 0 else "").rjust(HALF_WIDTH)
    return f"{left}│{('█' * length if value > 0 else '').ljust(HALF_WIDTH)}"


# ---- one experience ----------------------------------------------------------------------------------------------------


async def print_experience(line: str, beside: Callable[[str], Awaitable[Said]], console: Console) -> None:
    """Prints one experience, whole."""
    told: dict[str, Any] = msgspec.json.decode(line)
    outcome = "came off" if told["success"] else "did not come off"
    console.print(Text(f"{told['game']} · {told['npc']} · {told['kind']} · {told['decision']}", style="bold"))
    console.print(Text(_cut(f"{told['action']}({_said(told['arguments'])}) {outcome}, {told['happened_at']}")))
    table = _grid()
    for name in _DECIDED:
        if told.get(name) not in (None, "", {}, 0):
            table.add_row(name, Text(_cut(_said(told[name]))))
    console.print(table)
    for name in ("state", "prompt", "answer", "speech", "reasoning", "facts", "state_after"):
        for title, words in _texts(name, told.get(name)):
            console.print(Text(f"\n{title}", style="dim"))
            console.print(Text(_cut(words)))
    _print_reward("reward", told["reward"], told["reward_parts"], console)
    if told.get("long_term_at"):
        _print_reward("long-term reward", told["long_term_reward"], told["long_term_parts"], console)
        console.print(f"n-step return {told['n_step_return']:+.3f}")
    else:
        console.print("\nnobody has looked back on it yet", style="dim")
    _print_beside(await beside(told["game"]), console)


def _texts(name: str, said: object) -> Iterator[tuple[str, str]]:
    if name == "prompt" and isinstance(said, list):
        yield from ((f"prompt, {turn['role']}", turn["text"] or "(gone)") for turn in said)
    elif said not in (None, "", "{}", {}, []):
        yield name, _said(said)


def _print_reward(title: str, total: float | None, parts: Mapping[str, float] | None, console: Console) -> None:
    console.print(Text(f"\n{title}", style="dim"))
    table = _grid()
    for name, part in (parts or {}).items():
        style = "dim" if name in _BESIDE else ""
        drawn = "" if name == "controls" else bar(part)
        table.add_row(Text(plain(name), style), Text(f"{part:+.3f}", style), Text(drawn, style))
    table.add_row("all", Text("none" if total is None else f"{total:+.3f}", "bold"), bar(total or 0))
    console.print(table)


def _print_beside(said: Said, console: Console) -> None:
    for about, rater, score in said.ratings:
        console.print(Text(f"rated {score:+.2f} for {plain(about)} by {plain(rater)}"))
    for how, earlier in said.earlier:
        console.print(Text(f"{plain(how)} {earlier}"))
    for how, later, npc in said.later:
        console.print(Text(f"{npc} {plain(how)} it with {later}"))


# ---- many --------------------------------------------------------------------------------------------------------------


def print_lines(newest: Sequence[Lived], console: Console, *, is_first: bool) -> None:
    """Prints experiences, a line each."""
    if is_first and not newest:
        console.print("no experience yet that fits")
    for one in newest:
        mark = "[green]+[/green]" if one.success else "[red]-[/red]"
        later = "" if one.long_term_reward is None else f" later {one.long_term_reward:+.2f}"
        told = f"{one.game} {one.npc} {one.kind} {one.action} by {plain(one.source)} {one.decision}"
        console.print(
            f"{one.happened_at:%H:%M:%S} {mark} {one.reward:+.2f}{later} ", Text(told), end="\n", soft_wrap=True
        )


def print_stats(stats: Stats, console: Console) -> None:
    """Prints the summaries of a game."""
    console.print(Text(f"\n{stats.game}", style="bold"))
    if stats.rewards:
        console.print(f"rewards of the newest {len(stats.rewards):,}: -1 {histogram(stats.rewards)} +1")
    means = [day.reward_mean for day in stats.days if day.reward_mean is not None]
    if means:
        console.print(f"mean reward by day: {spark(means, min(means), max(means))} {means[-1]:+.3f} now")
    for title, rows in (
        ("NPC", [_npc(of) for of in stats.npcs]),
        ("persona", [_persona(of) for of in stats.personas]),
        ("variant", [_variant(of) for of in stats.variants]),
        ("day", [_day(of) for of in stats.days]),
    ):
        if rows:
            console.print(_table(title, rows))


def _table(title: str, rows: Sequence[Mapping[str, str]]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column(title)
    for name in list(rows[0])[1:]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*(Text(plain(value)) for value in row.values()))
    return table


def _common(summary: Summary) -> dict[str, str]:
    rate, mean = summary.success_rate, summary.reward_mean
    return {
        "lived": f"{summary.experiences:,}",
        "came off": "" if rate is None else f"{rate:.0%}",
        "reward": "" if mean is None else f"{mean:+.3f}",
    }


def _npc(of: NpcSummary) -> dict[str, str]:
    facts = {name: str(value) if (value := getattr(of, name)) is not None else "" for name in ("rank", "villages")}
    return {"": of.npc, **facts, "won": str(of.won), "lost": str(of.lost), **_common(of)}


def _persona(of: PersonaSummary) -> dict[str, str]:
    return {"": of.persona, **_common(of)}


def _variant(of: VariantSummary) -> dict[str, str]:
    cost = {"tokens": f"{of.tokens_in + of.tokens_out:,}", "USD": f"{of.cost_usd:.4f}"}
    return {"": f"{of.experiment}/{of.variant}", **_common(of), **cost}


def _day(of: DaySummary) -> dict[str, str]:
    accuracy = "" if of.accuracy is None else f"{of.accuracy:.0%}"
    lost = {"lost": str(of.unknown), "no detail": str(of.undetailed)}
    return {"": f"{of.day}", "decided": f"{of.decisions:,}", **_common(of), "foreseen": accuracy, **lost}


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    return grid


def _said(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _cut(words: str) -> str:
    shown = words if len(words) <= SHOWN_MAX else f"{words[:SHOWN_MAX]} ... ({len(words):,} characters)"
    return "\n".join(map(plain, shown.splitlines()))
