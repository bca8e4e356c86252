"""What each player is shown and may do, and what an answer to it means.

Each legal action, within its bounds, is accepted by the world of that turn; its appeal and defaults are the advice of the
world's own good player. `economic` is asked every turn; `combat` when there are soldiers to send or raiders on their way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from string import ascii_lowercase
from typing import TypeAlias

import numpy as np

from hearthmind.contracts.observation import Choice, LegalAction, Parameter, Whole
from hearthmind.contracts.wire import Fact

from .advice import IDLE, Advice, advise
from .orders import Build, Order, Raid, Train
from .outlook import Outlook, coming, look_around
from .rules import BUILDINGS, RESOURCES, TROOPS
from .world import World

ECONOMIC, COMBAT = "economic", "combat"
WIN, LOSS = "win", "loss"
_TRAIN = {f"train_{troop}": number for number, troop in enumerate(TROOPS)}
_ROUTINE, _PRESSING, _URGENT = 8, 4, 2
_EXPECTED = "what you expect; it changes nothing in the world"

Json: TypeAlias = "int | float | str | bool | list[Json] | dict[str, Json]"


@dataclasses.dataclass(frozen=True)
class Sight:
    """One question to one player."""

    player: int
    kind: str
    priority: int
    state: dict[str, Json]
    legal_actions: tuple[LegalAction, ...]


def names(world: World) -> list[str]:
    """What each village is called outside the world: its number, and p for a player's or hamlet."""
    return [f"{'p' if village < world.players else 'hamlet'}{village:04}" for village in range(world.size)]


def look(world: World) -> list[Sight]:
    """All questions of this turn, by player."""
    outlook = look_around(world)
    advice = advise(world, outlook)
    states, economic, combat = _states(world, outlook), _economic(outlook, advice), _combat(world, outlook, advice)
    threatened = (outlook.threat > 0).tolist()
    sights: list[Sight] = []
    for player, state, peace, war in zip(range(world.players), states, economic, combat, strict=False):
        sights.append(Sight(player, ECONOMIC, _ROUTINE, state, peace))
        if threatened[player] or len(war) > 1:
            sights.append(Sight(player, COMBAT, _URGENT if threatened[player] else _PRESSING, state, war))
    return sights


def as_order(player: int, action: str, arguments: Mapping[str, Fact]) -> Order | None:
    """What a legal answer orders; None for waiting and holding."""
    if action == "build":
        return Build(player, BUILDINGS.index(str(arguments["what"])))
    if action in _TRAIN:
        return Train(player, _TRAIN[action], int(arguments["amount"]))
    if action == "raid":
        target = int(str(arguments["target"]).strip(ascii_lowercase))
        return Raid(player, target, tuple(int(arguments.get(troop, 0)) for troop in TROOPS))
    return None


def _economic(outlook: Outlook, advice: Advice) -> Iterator[tuple[LegalAction, ...]]:
    wait = LegalAction(name="wait", description="Save for later.", appeal=IDLE)
    columns = (outlook.buildable, advice.build, advice.building, outlook.trainable, advice.train, advice.amount)
    for can, build, building, most, train, amount in zip(*(column.tolist() for column in columns), strict=True):
        actions = [wait]
        if any(can):
            what = Choice(
                enum=tuple(b for b, ok in zip(BUILDINGS, can, strict=True) if ok), default=BUILDINGS[building]
            )
            text = "Put the next level of a building into the queue."
            actions.append(LegalAction(name="build", parameters={"what": what}, description=text, appeal=build))
        for action, troop in _TRAIN.items():
            if most[troop]:
                how_many = Whole(minimum=1, maximum=most[troop], default=amount[troop])
                actions.append(LegalAction(name=action, parameters={"amount": how_many}, appeal=train[troop]))
        yield tuple(actions)


def _combat(world: World, outlook: Outlook, advice: Advice) -> Iterator[tuple[LegalAction, ...]]:
    columns = (outlook.can_raid, world.nearby, world.troops, advice.raid, advice.target, advice.party, advice.hold)
    called = names(world)
    predicted = {end: Choice(enum=(WIN, LOSS), default=end, description=_EXPECTED) for end in (WIN, LOSS)}
    text = "Send soldiers to rob a village; they fight when they arrive and come home with what they carry."
    for can, nearby, home, raid, target, party, hold in zip(*(column.tolist() for column in columns), strict=True):
        stay = LegalAction(name="hold", description="Keep everybody at home.", appeal=hold)
        if not can:
            yield (stay,)
            continue
        parameters: dict[str, Parameter] = {
            "target": Choice(enum=tuple(called[village] for village in nearby), default=called[nearby[target]])
        }
        parameters |= _party(home, party)
        parameters["predicted"] = predicted[WIN if raid else LOSS]
        yield stay, LegalAction(name="raid", parameters=parameters, description=text, appeal=raid)


def _party(home: list[int], party: list[int]) -> dict[str, Parameter]:
    """Bounds for each sort at home; one of the best must go, so that a raid is never empty."""
    best = max(troop for troop, count in enumerate(home) if count)
    return {
        TROOPS[troop]: Whole(minimum=int(troop == best), maximum=count, default=max(party[troop], int(troop == best)))
        for troop, count in enumerate(home)
        if count
    }


def _states(world: World, outlook: Outlook) -> Iterator[dict[str, Json]]:
    called = names(world)
    raids, incoming = _raids(world, outlook, called)
    nearby = _nearby(world, outlook, called)
    columns = (
        world.at,
        outlook.ranks,
        outlook.population,
        world.stocks,
        world.production(),
        world.storage(),
        world.upkeep(),
        world.levels,
        world.queue,
        world.queue_hours,
        world.troops,
        outlook.own_defence,
    )
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for player, (at, rank, people, stocks, made, room, eaten, levels, queue, hours, home, defence) in enumerate(rows):
        yield {
            "turn": world.turn,
            "name": called[player],
            "at": at,
            "rank": rank,
            "of": world.players,
            "population": people,
            "resources": dict(zip(RESOURCES, stocks, strict=True)),
            "production_per_h": dict(zip(RESOURCES, made, strict=True)),
            "wheat_eaten_per_h": eaten,
            "storage": room,
            "buildings": dict(zip(BUILDINGS, levels, strict=True)),
            "queue": [{"building": BUILDINGS[b], "hours": h} for b, h in zip(queue, hours, strict=True) if b >= 0],
            "troops": dict(zip(TROOPS, home, strict=True)),
            "defence": defence,
            "raids": raids.get(player, []),
            "incoming": incoming.get(player, []),
            "nearby": nearby[player],
        }


def _nearby(world: World, outlook: Outlook, called: list[str]) -> list[list[Json]]:
    columns = (world.nearby, outlook.population[world.nearby], outlook.hours, outlook.defence, outlook.stocks)
    return [
        [
            {"name": called[village], "population": people, "hours": hours, "defence": defence, "stocks": stocks}
            for village, people, hours, defence, stocks in zip(*rows, strict=True)
        ]
        for rows in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _raids(world: World, outlook: Outlook, called: list[str]) -> tuple[dict[int, list[Json]], dict[int, list[Json]]]:
    """The raids of each player, and those on each player."""
    own: dict[int, list[Json]] = {}
    on: dict[int, list[Json]] = {}
    village, slot = np.nonzero(world.raid_hours)
    arriving = coming(world)
    columns = (world.raid_target, world.raid_hours, world.raid_home, outlook.raid_attack, arriving)
    rows = zip(village.tolist(), *(column[village, slot].tolist() for column in columns), strict=True)
    for source, target, hours, home, attack, hostile in rows:
        own.setdefault(source, []).append({"target": called[target], "hours": hours, "coming_home": bool(home)})
        if hostile:
            on.setdefault(target, []).append({"from": called[source], "hours": hours, "attack": attack})
    return own, on
