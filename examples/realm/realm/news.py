"""What happens in a world, in words: a line for each thing, with how much it matters, so that the most telling can be shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .events import DRAW, WIN, Answered, Battle, Hour
from .history import trades
from .rows import ATTACK
from .rules import ALLIANCE, RESOURCES, TREATIES
from .situation import player_name, village_name
from .world import World

WAR, LAND, PEACE, DEAL, BREACH = "war", "land", "peace", "deal", "breach"
Alliances = Mapping[int, Sequence[int]]


class Line(NamedTuple):
    """One thing that happened."""

    weight: int
    sort: str
    text: str


def news(world: World, hour: Hour, before: Alliances, now: Alliances) -> list[Line]:
    """The news of a turn, what matters most first; the alliances are those before and after it."""
    lines = [_battle(battle) for battle in hour.battles]
    lines += [_answered(answered) for answered in hour.answered if not answered.expired]
    for settled in hour.settled:
        if settled.village >= 0:
            lines.append(Line(500, LAND, f"{player_name(settled.player)} founded {village_name(settled.village)}"))
    lines += [*_left(hour, before, now), *_trades(world), *_hungry(world, hour)]
    return sorted(lines, key=lambda line: -line.weight)


def _battle(battle: Battle) -> Line:
    did = "attacked" if battle.errand == ATTACK else "raided"
    whose = f"{village_name(battle.target)} of {player_name(battle.owner)}" if battle.owner >= 0 else "a hamlet"
    came = {WIN: "won", DRAW: "a draw"}.get(battle.result, "was beaten")
    told = [f"{player_name(battle.player)} {did} {whose}: {came}", f"fell {battle.own_losses}:{battle.enemy_losses}"]
    told += [f"took {battle.loot}"] * (battle.loot > 0) + [f"razed {battle.razed}"] * (battle.razed > 0)
    matters = 20 * (battle.owner >= 0) + battle.own_losses + battle.enemy_losses + battle.loot // 10 + 5 * battle.razed
    if battle.breach:
        return Line(1000, BREACH, ", ".join([*told, "against their treaty"]))
    return Line(matters, WAR, ", ".join(told))


def _answered(answered: Answered) -> Line:
    one, other, treaty = player_name(answered.maker), player_name(answered.to), TREATIES[answered.treaty]
    great = answered.treaty == ALLIANCE
    if answered.accepted:
        return Line(400 if great else 60, PEACE, f"{one} and {other} make {'an' if great else 'a'} {treaty}")
    return Line(15 if great else 1, DEAL, f"{other} refuses {one} {'an' if great else 'a'} {treaty}")


def _left(hour: Hour, before: Alliances, now: Alliances) -> Iterator[Line]:
    """Who is no longer among its allies; those who broke with them by force are told of elsewhere."""
    broke = {battle.player for battle in hour.battles if battle.breach}
    for number, members in before.items():
        for player in sorted({*members} - {*now.get(number, ())} - broke):
            if number in now:
                yield Line(300, BREACH, f"{player_name(player)} leaves its alliance")
        if number not in now:
            yield Line(300, BREACH, f"the alliance of {' and '.join(map(player_name, members))} is over")


def _trades(world: World) -> Iterator[Line]:
    parties, rows = world.parties, trades(world)
    sellers, buyers = np.split(rows, 2)
    for one, other in zip(sellers.tolist(), buyers.tolist(), strict=True):
        gave, got = (int(parties.load[place].argmax()) for place in (one, other))
        amount = int(parties.load[one].sum())
        who = f"{player_name(int(parties.player[one]))} and {player_name(int(parties.player[other]))}"
        yield Line(40, DEAL, f"{who} trade {amount} {RESOURCES[gave]} for {RESOURCES[got]}")


def _hungry(world: World, hour: Hour) -> Iterator[Line]:
    left = world.by_player(hour.deserted)
    for player in np.flatnonzero(left).tolist():
        yield Line(30, LAND, f"{int(left[player])} hungry soldiers leave {player_name(player)}")
