"""What an NPC lived through, as its mind remembers it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ARRAY, Integer, Text, bindparam, func, select, true

from hearthmind.contracts.memory import Lived, Recalled
from hearthmind.store.engine import Connection
from hearthmind.store.tables import experiences, npcs

LINE_MAX = 2_000
"""As long as the contract lets a line be."""

_asked = func.unnest(bindparam("npcs", type_=ARRAY(Text))).table_valued("npc").render_derived(name="asked")
_newest = (
    select(experiences)
    .where(experiences.c.game == bindparam("of_game", type_=Text()), experiences.c.npc == _asked.c.npc)
    .order_by(experiences.c.happened_at.desc())
    .limit(bindparam("most", type_=Integer))
    .lateral("lived")
)
_LIVED = select(
    *(
        _newest.c[name]
        for name in (
            *(
                "npc",
                "decision",
                "kind",
                "action",
                "happened_at",
                "arguments",
                "success",
                "reward",
                "opponent",
                "facts",
            ),
            *("game_time", "speech", "reasoning"),
        )
    )
).select_from(_asked.join(_newest, true()))
_COUNTERS = select(npcs).where(
    npcs.c.game == bindparam("of_game", type_=Text()), npcs.c.npc == func.any(bindparam("npcs", type_=ARRAY(Text)))
)


async def recall(connection: Connection, game: str, of_npcs: Sequence[str], most: int) -> list[Recalled]:
    """Of each NPC the newest experiences, the oldest of them first, and what came before in numbers."""
    given = {"of_game": game, "npcs": list(of_npcs)}
    found: dict[str, list[Lived]] = {npc: [] for npc in of_npcs}
    for row in await connection.execute(_LIVED, {**given, "most": most}):
        found[row.npc].append(
            Lived(
                decision=row.decision,
                kind=row.kind,
                action=row.action,
                happened_s=row.happened_at.timestamp(),
                arguments=row.arguments,
                success=row.success,
                reward=row.reward,
                opponent=row.opponent,
                facts=row.facts,
                game_time=row.game_time,
                words=(row.speech or row.reasoning or "")[:LINE_MAX],
            )
        )
    summaries = {row.npc: _summary(row) for row in await connection.execute(_COUNTERS, given)}
    return [
        Recalled(
            game=game,
            npc=npc,
            lived=tuple(sorted(lived, key=lambda one: one.happened_s)),
            summary=summaries.get(npc, ""),
        )
        for npc, lived in found.items()
    ]


def _summary(row: object) -> str:
    """In few words: they stand in a prompt."""
    counted = {name: getattr(row, name) for name in npcs.columns.keys()}  # noqa: SIM118  a collection of columns
    if not counted["experiences"]:
        return ""
    mean = counted["reward_sum"] / counted["experiences"]
    said = f"{counted['experiences']} deeds, {counted['successes']} came off, mean reward {mean:+.2f}"
    return said + (
        f"; {counted['won']} battles won, {counted['lost']} lost" if counted["won"] or counted["lost"] else ""
    )
