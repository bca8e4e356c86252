"""What an answer to a question orders."""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_lowercase

from hearthmind.contracts.wire import Fact

from .orders import Answer, Build, Buy, Leave, March, Order, Prioritise, Propose, Sell, Train
from .rows import ATTACK, EVADE, HELP, RAID, SCOUT, SETTLE
from .rules import (
    ALLIANCE,
    BUILDINGS,
    DAY_H,
    DEPART_H_MAX,
    PRIORITIES,
    RESOURCES,
    SETTLER,
    SETTLERS_NEEDED,
    SORTS,
    TREATIES,
    TROOPS,
    TRUCE,
)
from .sight import DIPLOMACY, ECONOMIC, STRATEGIC, Sight
from .state import State

_ERRAND = {"raid": RAID, "attack": ATTACK, "scout": SCOUT}
_SORT = {name: sort for names in TROOPS for sort, name in enumerate(names)}


def as_order(state: State, sight: Sight, action: str, arguments: Mapping[str, Fact]) -> Order | None:
    """What a legal answer orders; None for waiting and holding."""
    if sight.kind == STRATEGIC:
        return Prioritise(sight.player, PRIORITIES.index(action))
    if sight.kind == DIPLOMACY:
        return _dealing(sight.player, action, arguments)
    if sight.kind == ECONOMIC:
        return _thrift(sight.player, sight.village, action, arguments)
    return _march(state, sight, action, arguments)


def _thrift(player: int, village: int, action: str, arguments: Mapping[str, Fact]) -> Order | None:
    verb, _, what = action.partition("_")
    match verb:
        case "build":
            return Build(player, village, BUILDINGS.index(str(arguments["what"])))
        case "train":
            return Train(player, village, _SORT[what], int(arguments["amount"]))
        case "sell":
            want = RESOURCES.index(str(arguments["want"]))
            return Sell(player, village, RESOURCES.index(what), int(arguments["amount"]), want)
        case "buy":
            return Buy(player, village, _number(arguments["offer"]))
        case "settle":
            troops = tuple(SETTLERS_NEEDED * (sort == SETTLER) for sort in range(SORTS))
            return March(player, village, SETTLE, _number(arguments["spot"]), 0, troops)
    return None


def _march(state: State, sight: Sight, action: str, arguments: Mapping[str, Fact]) -> Order | None:
    player, village = sight.player, sight.village
    match action:
        case "raid" | "attack" | "scout":
            wait_h = _hours_until(state, str(arguments.get("depart_at", "")))
            return March(player, sight.camp, _ERRAND[action], _number(arguments["target"]), wait_h, _troops(arguments))
        case "evade":
            everybody = (*state.villages.troops[village, :SETTLER].tolist(), 0)
            return March(player, village, EVADE, village, int(arguments["hours"]), everybody)
        case "help":
            return March(player, sight.camp, HELP, _number(arguments["village"]), 0, _troops(arguments))
    return None


def _dealing(player: int, action: str, arguments: Mapping[str, Fact]) -> Order | None:
    match action:
        case "accept" | "refuse":
            return Answer(player, _number(arguments["offer"]), int(action == "accept"))
        case "offer_truce" | "offer_alliance":
            gift = RESOURCES.index(str(arguments["gift"]))
            treaty = TREATIES.index(action.removeprefix("offer_"))
            return Propose(player, _number(arguments["to"]), treaty, gift, int(arguments["amount"]))
        case "end_truce":
            return Leave(player, TRUCE, _number(arguments["with"]))
        case "leave_alliance":
            return Leave(player, ALLIANCE, player)
    return None


def _hours_until(state: State, time: str) -> int:
    """How long it is until so many o'clock; none where that has just passed."""
    hours = (int(time.partition(":")[0]) - state.turn) % DAY_H if time else 0
    return hours if hours <= DEPART_H_MAX else 0


def _number(name: Fact) -> int:
    return int(str(name).strip(ascii_lowercase))


def _troops(arguments: Mapping[str, Fact]) -> tuple[int, ...]:
    troops = [0] * SORTS
    for name, count in arguments.items():
        if name in _SORT:
            troops[_SORT[name]] = int(count)
    return tuple(troops)
