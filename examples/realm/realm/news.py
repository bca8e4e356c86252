"""What happens in a world, in words: a line for each thing, with how much it matters, so that the most telling can be shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .events import DRAW, WIN, Answered, Battle, Hour, Left, Traded
from .rows import ATTACK
from .rules import ALLIANCE, RESOURCES, TREATIES
from .situation import player_name, village_name
from .world import World

WAR, LAND, PEACE, DEAL, BREACH = "war", "land", "peace", "deal", "breach"


class Line(NamedTuple):
    """One thing that happened."""

    weight: int
    sort: str
    text: str


def news(world: World, hour: Hour) -> list[Line]:
    """The news of a turn, what matters most first."""
    lines = [_battle(battle) for battle in hour.battles]
    lines += _dealings(hour.answered)
    for settled in hour.settled:
        if settled.village >= 0:
            lines.append(Line(500, LAND, f"{player_name(settled.player)} founded {village_name(settled.village)}"))
    lines += [*_left(hour.left), *_trades(hour.traded), *_hungry(world, hour)]
    return sorted(lines, key=lambda line: -line.weight)


def _battle(battle: Battle) -> Line:
    owned = battle.owner >= 0
    other = f"{player_name(battle.owner)} at {village_name(battle.target)}" if owned else "a hamlet"
    if battle.result == DRAW:
        came = f"fights {other} to a draw"
    elif battle.result != WIN:
        came = f"is driven off by {other}"
    elif battle.errand == ATTACK:
        came = f"storms {other}" + f", razes {battle.razed}" * (battle.razed > 0) + f", takes {battle.loot}"
    else:
        came = f"robs {other} of {battle.loot}"
    broke = "breaks its treaty, " if battle.breach else ""
    text = f"{player_name(battle.player)} {broke}{came}, {battle.own_losses}:{battle.enemy_losses} fall"
    matters = 20 * owned + battle.own_losses + battle.enemy_losses + battle.loot // 10 + 5 * battle.razed
    return Line(1000 if broke else matters, BREACH if broke else WAR, text)


def _dealings(answers: Sequence[Answered]) -> Iterator[Line]:
    """Treaties made one by one; of those refused, only how many where there are several."""
    for treaty, name in enumerate(TREATIES):
        a_treaty, matters = f"{'an' if treaty == ALLIANCE else 'a'} {name}", 400 if treaty == ALLIANCE else 60
        about = [answer for answer in answers if answer.treaty == treaty and not answer.expired]
        for answer in about:
            if answer.accepted:
                yield Line(matters, PEACE, f"{player_name(answer.maker)} and {player_name(answer.to)} make {a_treaty}")
        refused = [answer for answer in about if not answer.accepted]
        if len(refused) == 1:
            maker, to = player_name(refused[0].maker), player_name(refused[0].to)
            yield Line(15, DEAL, f"{to} refuses {maker} {a_treaty}")
        elif refused:
            yield Line(15, DEAL, f"{len(refused)} offers of {a_treaty} are refused")


def _left(left: Sequence[Left]) -> Iterator[Line]:
    """Who ends a treaty openly; those who break one by force are told of with their battles."""
    for one in left:
        if one.treaty == ALLIANCE:
            yield Line(300, BREACH, f"{player_name(one.player)} leaves its alliance")
        else:
            yield Line(200, BREACH, f"{player_name(one.player)} ends its truce with {player_name(one.other)}")


def _trades(traded: Sequence[Traded]) -> Iterator[Line]:
    for deal in traded:
        who = f"{player_name(deal.seller)} and {player_name(deal.buyer)}"
        yield Line(40, DEAL, f"{who} trade {deal.amount} {RESOURCES[deal.gave]} for {RESOURCES[deal.got]}")


def _hungry(world: World, hour: Hour) -> Iterator[Line]:
    left = world.by_player(hour.deserted)
    for player in np.flatnonzero(left).tolist():
        yield Line(30, LAND, f"{int(left[player])} hungry soldiers leave {player_name(player)}")
