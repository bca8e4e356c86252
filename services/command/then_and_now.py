"""A decision then and now, side by side; and how often many of them differ."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from hearthmind.contracts.inference import Turn
from hearthmind.contracts.wire import Fact
from hearthmind.store.past import Past
from services.command.asking_again import Again
from services.command.trace import plain

DIFFERENT_MAX = 12
"""So many ways in which they differ are listed."""


def side_by_side(past: Past, again: Again) -> Table:
    """Then and now."""
    answer = again.answer
    table = Table("", "then", "now", show_lines=True, expand=True)
    for column in table.columns[1:]:
        column.ratio = 1
    made_anew = "" if again.is_the_same or not again.prompt else "(made anew, without memories)\n"
    rows = {
        "mind": (_mind(past.source, past.model, past.adapter), _mind("model", again.model, again.adapter)),
        "template": (past.template, again.template),
        "persona": (past.persona, again.persona),
        "action": (_done(past.action, past.arguments), _done(answer.action, answer.arguments) if answer else "none"),
        "why": (past.why, again.why),
        "speech": (past.speech, answer.speech if answer else ""),
        "reasoning": (past.reasoning, answer.reasoning if answer else ""),
        "confidence": (_number(past.confidence), _number(answer.confidence if answer else None)),
        "tokens": (_tokens(past.tokens_in, past.tokens_out), _tokens(again.said.tokens_in, again.said.tokens_out)),
        "time": (_times(past.stages_ms), f"{again.took_ms:.0f} ms, of that engine {again.said.engine_ms:.0f} ms"),
        "words": (past.answer, again.said.text),
        "prompt": (_turns(past.prompt), made_anew + _turns(again.prompt)),
    }
    for name, (then, now) in rows.items():
        if then or now:
            differs = "" if then == now else "bold"
            table.add_row(name, Text(_lines(then)), Text(_lines(now), style=differs if name == "action" else ""))
    return table


def tally(pairs: Sequence[tuple[Past, Again]]) -> tuple[Table, Table]:
    """How often then and now differ over many decisions, and in which way."""
    read_now = [(past, again, again.answer) for past, again in pairs if again.answer]
    same = sum(past.action == answer.action for past, _, answer in read_now)
    alike = sum((past.action, past.arguments) == (answer.action, answer.arguments) for past, _, answer in read_now)
    counted = Table("decisions asked again", "", "", box=None)
    for name, count in (
        ("the same action", same),
        ("the same with the same arguments", alike),
        ("another action", len(read_now) - same),
        ("no answer that can be used", len(pairs) - len(read_now)),
    ):
        counted.add_row(name, str(count), f"{count / len(pairs):.0%}")
    times = [again.took_ms for _, again in pairs]
    counted.add_row("median time now", f"{statistics.median(times):.0f} ms", "")
    tokens = [again.said.tokens_in + again.said.tokens_out for _, again in pairs]
    counted.add_row("mean tokens now", f"{statistics.fmean(tokens):.0f}", "")
    ways = Counter((past.action, answer.action) for past, _, answer in read_now if past.action != answer.action)
    differed = Table("then", "now", "times", box=None)
    for (then, now), count in ways.most_common(DIFFERENT_MAX):
        differed.add_row(plain(then), plain(now), str(count))
    return counted, differed


def _mind(source: str, model: str, adapter: str) -> str:
    return " ".join(part for part in (source if not model else f"{source}: {model}", adapter) if part)


def _done(action: str, arguments: Mapping[str, Fact]) -> str:
    return f"{action}({', '.join(f'{key}={value}' for key, value in arguments.items())})" if arguments else action


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _tokens(read_in: int | None, written: int | None) -> str:
    return f"{read_in or 0} in, {written or 0} out" if read_in or written else ""


def _times(stages_ms: Mapping[str, float]) -> str:
    return ", ".join(f"{stage} {spent_ms:.0f} ms" for stage, spent_ms in stages_ms.items())


def _turns(turns: Sequence[Turn]) -> str:
    return "\n\n".join(f"[{turn.role}]\n{turn.text}" for turn in turns)


def _lines(words: str) -> str:
    return "\n".join(plain(line) for line in words.split("\n"))
