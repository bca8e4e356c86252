"""What a player is shown with a question: its own standing, and what the kind of decision is about.

Everything that it can't know is as it was seen or guessed (see `outlook`).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from .checks import merchants_free, parties_out
from .land import distance
from .outlook import Outlook, hours_since
from .rows import ERRANDS, GOING, HOME, TRADE
from .rules import (
    BUILD_COST,
    BUILDINGS,
    DAY_H,
    LEVEL_MAX,
    OFFERS_SHOWN,
    PARTIES_MAX,
    PRIORITIES,
    RESOURCES,
    TRAIN_COST,
    TREATIES,
    TRIBES,
    TROOPS,
    TRUST_MAX,
    WALL,
    is_night,
)
from .state import NOBODY, State

_BUILD_COST, _TRAIN_COST = BUILD_COST.tolist(), TRAIN_COST.tolist()

Json: TypeAlias = "int | float | str | bool | list[Json] | dict[str, Json]"


def player_name(player: int) -> str:
    """What a player is called outside the world."""
    return f"p{player:04}"


def village_name(village: int) -> str:
    """What a village is called outside the world."""
    return f"v{village:05}"


def clock(hour: int) -> str:
    """The time of day at an hour of the world."""
    return f"{hour % DAY_H:02}:00"


def spot_name(spot: int) -> str:
    """What a free spot is called outside the world."""
    return f"s{spot:05}"


class Situations:
    """What all players are shown in a turn, each part made when it is asked for."""

    def __init__(self, state: State, outlook: Outlook) -> None:
        self._state = state
        villages, players = state.villages, state.players
        self._turn = state.turn
        self._ranks = outlook.ranks.tolist()
        self._population = outlook.population.tolist()
        self._power = outlook.power.tolist()
        self._people = outlook.people.tolist()
        self._tribe = players.tribe.tolist()
        self._alliance = players.alliance.tolist()
        self._members = np.bincount(players.alliance).tolist()
        self._priority = players.priority.tolist()
        self._own = players.villages.tolist()
        self._at = villages.at.tolist()
        self._owner = villages.owner.tolist()
        self._stocks = villages.stocks.tolist()
        self._made = state.production().tolist()
        self._eaten = state.upkeep().tolist()
        self._storage = state.storage().tolist()
        self._levels, self._planned = villages.levels.tolist(), outlook.planned.tolist()
        self._queue = villages.queue.tolist()
        self._queue_hours = villages.queue_hours.tolist()
        self._troops = villages.troops.tolist()
        self._defence = outlook.defence.tolist()
        self._camp = outlook.camp.tolist()
        self._strength = outlook.strength.tolist()
        self._struck, self._striker = hours_since(state, villages.struck).tolist(), villages.striker.tolist()
        self._threat = outlook.threat.tolist()
        self._merchants = merchants_free(state).tolist()
        self._parties_out = parties_out(state).tolist()
        self._away, self._coming = _on_the_road(state, outlook)
        self._pleas = outlook.pleas.tolist()
        self._may_found = outlook.may_found.tolist()
        self._names = [village_name(village) for village in range(len(villages))]
        self._players = [player_name(player) for player in range(state.size)]
        self._spots_near = outlook.spots.tolist()
        self._spots_away = _cells_away(state, outlook)
        self._market_near = outlook.market.tolist()
        self._offered = _market(state)
        self._near = players.nearby.tolist()
        self._near_figures = (
            outlook.hours.tolist(),
            outlook.known_defence.tolist(),
            outlook.known_stocks.tolist(),
            hours_since(state, players.seen).tolist(),
            outlook.friendly.tolist(),
        )
        self._contacts = players.contacts.tolist()
        self._trust = players.trust.tolist()
        self._fights, self._pacts = players.fights.tolist(), players.pacts.tolist()
        self._won, self._beaten = players.won.tolist(), players.beaten.tolist()
        self._contact_friendly = outlook.contact_friendly.tolist()
        self._active = hours_since(state, players.active).tolist()
        self._offers = _offers(state)
        self._of = state.size
        self._night = is_night(state.turn)

    def parties_free(self, village: int) -> bool:
        """Whether one more party could leave the village."""
        return bool(self._parties_out[village] < PARTIES_MAX)

    def of(self, player: int, kind: str, village: int) -> dict[str, Json]:
        """All that belongs to a question of this kind about this village."""
        shown = self._standing(player)
        match kind:
            case "economic":
                shown["village"] = self._village(village)
                shown["incoming"] = self._coming.get(village, [])
                shown["cost_in_wood_clay_iron_wheat"] = self._costs(village)
                shown["market"] = self._market(player)
                shown["free_spots"] = self._spots(player)
            case "combat":
                shown["camp"] = self._names[village]
                shown["troops"] = self._soldiers(village)
                shown["strength"] = self._strength[village]
                shown["village"] = self._village(village)
                shown["parties"] = self._away.get(player, [])
                shown["nearby"] = self._nearby(player)
            case "tactical":
                shown["village"] = self._village(village)
                shown["incoming"] = self._coming.get(village, [])
                shown["parties"] = self._away.get(player, [])
                plea = self._pleas[player]
                shown["allies_in_danger"] = [self._in_danger(plea)] if plea >= 0 else []
            case "diplomacy":
                shown["goal"] = self._goal(player)
                shown["contacts"] = self._talked_to(player)
                shown["offers"] = self._offers.get(player, [])
            case _:
                shown |= self._prospects(player)
                shown["own_villages"] = [self._village(own) for own in self._own[player] if own >= 0]
                shown["nearby"] = self._nearby(player)
                shown["contacts"] = [*self._dealt_with(player)]
                shown["free_spots"] = self._spots(player)
        return shown

    def _standing(self, player: int) -> dict[str, Json]:
        return {
            "name": self._players[player],
            "tribe": TRIBES[self._tribe[player]],
            "rank": self._ranks[player],
            "of": self._of,
            "population": self._population[player],
            "army_power": self._power[player],
            "villages": sum(own >= 0 for own in self._own[player]),
            "allies": self._members[self._alliance[player]] - 1 if self._alliance[player] else 0,
            "priority": PRIORITIES[self._priority[player]],
            "turn": self._turn,
            "day": self._turn // DAY_H,
            "time": clock(self._turn),
            "night": self._night,
        }

    def _prospects(self, player: int) -> dict[str, Json]:
        """What comes first for a day hangs on this: the means, the strong, the friends, and room to grow."""
        own = [village for village in self._own[player] if village >= 0]
        contacts, mine = self._contacts[player], self._alliance[player]
        friendly = self._contact_friendly[player]
        threat = self._threat_to(player)
        trust, ally = self._ally_of(player)
        spot = next((spot for spot in self._spots_near[player] if spot >= 0), NOBODY)
        return {
            "resources": dict(zip(RESOURCES, map(sum, zip(*(self._stocks[v] for v in own), strict=True)), strict=True)),
            "alliance": f"a{mine}" if mine else "none",
            "battles": {"won": self._won[player], "lost": self._beaten[player]},
            "enemies_coming": max(self._threat[village] for village in own),
            "neighbours": {
                "known": len(contacts),
                "friends": sum(friendly),
                "weaker": sum(self._power[other] < self._power[player] for other in contacts),
            },
            "top_threat": "none"
            if threat == NOBODY
            else {"name": self._players[threat], "rank": self._ranks[threat], "army_power": self._power[threat]},
            "possible_ally": "none"
            if ally == NOBODY
            else {"name": self._players[ally], "rank": self._ranks[ally], "trust": trust * 10 / TRUST_MAX},
            "nearest_free_spot": "none"
            if spot == NOBODY
            else {"name": spot_name(spot), "cells_away": self._spots_away[player][0]},
            "may_found_village": self._may_found[player],
        }

    def _threat_to(self, player: int) -> int:
        """The strongest whom it knows and who is no friend."""
        rows = zip(self._contacts[player], self._contact_friendly[player], strict=True)
        strangers = [other for other, friend in rows if not friend]
        return max(strangers, key=self._power.__getitem__, default=NOBODY)

    def _ally_of(self, player: int) -> tuple[int, int]:
        """How much it trusts whom it trusts most of those who are not in its alliance, and who that is."""
        mine = self._alliance[player]
        trusted = [
            (trust, -place, other)
            for place, (other, trust) in enumerate(zip(self._contacts[player], self._trust[player], strict=True))
            if not mine or self._alliance[other] != mine
        ]
        trust, _, ally = max(trusted, default=(0, 0, NOBODY))
        return trust, ally

    def _village(self, village: int) -> dict[str, Json]:
        return {
            "name": self._names[village],
            "at": self._at[village],
            "population": self._people[village],
            "resources": dict(zip(RESOURCES, self._stocks[village], strict=True)),
            "production_per_h": dict(zip(RESOURCES, self._made[village], strict=True)),
            "wheat_eaten_per_h": self._eaten[village],
            "storage": self._storage[village],
            "buildings": dict(zip(BUILDINGS, self._levels[village], strict=True)),
            "queue": [
                {"building": BUILDINGS[building], "hours": hours}
                for building, hours in zip(self._queue[village], self._queue_hours[village], strict=True)
                if building >= 0
            ],
            "troops": self._soldiers(village),
            "defence": self._defence[village],
            "threat": self._threat[village],
            "merchants_free": self._merchants[village],
        }

    def _soldiers(self, village: int) -> dict[str, Json]:
        called = TROOPS[self._tribe[max(self._owner[village], 0)]]
        return dict(zip(called, self._troops[village], strict=True))

    # ---- war ---------------------------------------------------------------------------------------------------------

    def target(self, player: int, place: int, is_safe: bool) -> dict[str, Json]:
        """A village nearby as somebody sees it who thinks of marching there."""
        village = self._near[player][place]
        owner, hours = self._owner[village], self._near_figures[0][player][place]
        defence, strength = self._near_figures[1][player][place], self._strength[self._camp[player]]
        expected = "win" if is_safe else "loss" if strength <= defence else "uncertain"
        return {
            "name": self._names[village],
            "owner": self._players[owner] if owner >= 0 else "nobody",
            "hours": hours,
            "night_hours": sum(is_night(self._turn + hour) for hour in range(hours)),
            "defence": defence,
            "wall": self._levels[village][WALL],
            "seen_h_ago": _ago(self._near_figures[3][player][place]),
            "owner_on_h_ago": _ago(self._active[owner] if owner >= 0 else -1),
            "attacked_by": self._players[self._striker[village]] if self._striker[village] >= 0 else "nobody",
            "attacked_h_ago": _ago(self._struck[village]),
            "would": self._response(player, owner),
            "stocks": self._near_figures[2][player][place],
            "expected": expected,
        }

    def unknown(self, player: int, place: int) -> dict[str, Json]:
        """A village nearby of which too little is known."""
        village = self._near[player][place]
        hours, _, _, seen, _ = (figure[player][place] for figure in self._near_figures)
        return {"name": self._names[village], "hours": hours, "seen_h_ago": _ago(seen)}

    def _response(self, player: int, owner: int) -> str:
        """How the owner would probably answer an attack."""
        if owner < 0:
            return "do nothing"
        if self._power[owner] > self._power[player]:
            return "strike back"
        friends = self._members[self._alliance[owner]] - 1 if self._alliance[owner] else 0
        return "call its allies" if friends else "endure it"

    def _nearby(self, player: int) -> list[Json]:
        rows = zip(self._near[player], *(figure[player] for figure in self._near_figures), strict=True)
        return [
            {
                "name": self._names[village],
                "owner": self._players[self._owner[village]] if self._owner[village] >= 0 else "nobody",
                "population": self._people[village],
                "hours": hours,
                "defence": defence,
                "stocks": stocks,
                "seen_h_ago": seen,
                "friendly": friendly,
                "wall": self._levels[village][WALL],
                "owner_on_h_ago": self._active[self._owner[village]] if self._owner[village] >= 0 else -1,
                "attacked_h_ago": self._struck[village],
            }
            for village, hours, defence, stocks, seen, friendly in rows
        ]

    def _dealt_with(self, player: int) -> list[dict[str, Json]]:
        rows = zip(self._contacts[player], self._trust[player], self._contact_friendly[player], strict=True)
        return [
            {
                "name": self._players[other],
                "tribe": TRIBES[self._tribe[other]],
                "rank": self._ranks[other],
                "population": self._population[other],
                "army_power": self._power[other],
                "trust": trust * 10 / TRUST_MAX,
                "friendly": friendly,
                "in_alliance": self._alliance[other] > 0,
                "last_order_h_ago": self._active[other],
            }
            for other, trust, friendly in rows
        ]

    def _talked_to(self, player: int) -> list[Json]:
        """The same with what lies between them: what they did, and what is good for both."""
        threat, mine = self._threat_to(player), self._alliance[player]
        rows = zip(self._contacts[player], self._fights[player], self._pacts[player], strict=True)
        between: list[dict[str, Json]] = []
        for other, fights, pacts in rows:
            shared = "none"
            if mine and self._alliance[other] == mine:
                shared = "one alliance"
            elif threat not in (NOBODY, other) and self._threat_to(other) == threat:
                shared = f"both fear {self._players[threat]}"
            between.append({"came_to_fight": fights, "treaties_agreed": pacts, "shared": shared})
        return [known | more for known, more in zip(self._dealt_with(player), between, strict=True)]

    def _goal(self, player: int) -> dict[str, Json]:
        """Whom it would do well to win, and whose peace it needs."""
        wanted = {"win": self._ally_of(player)[1], "calm": self._threat_to(player)}
        return {what: self._players[other] if other != NOBODY else "nobody" for what, other in wanted.items()}

    def _costs(self, village: int) -> dict[str, Json]:
        """What the next level of each building costs, and each soldier."""
        levels = self._planned[village]
        build = {
            name: _BUILD_COST[building][levels[building]]
            for building, name in enumerate(BUILDINGS)
            if levels[building] < LEVEL_MAX
        }
        return build | dict(zip(TROOPS[self._tribe[max(self._owner[village], 0)]], _TRAIN_COST, strict=True))

    def _spots(self, player: int) -> list[Json]:
        if not self._may_found[player]:
            return []
        rows = zip(self._spots_near[player], self._spots_away[player], strict=True)
        return [{"name": spot_name(spot), "cells_away": away} for spot, away in rows if spot >= 0]

    def _market(self, player: int) -> list[Json]:
        return [self._offered[place] for place in self._market_near[player] if place >= 0]

    def _in_danger(self, village: int) -> dict[str, Json]:
        return {
            "village": village_name(village),
            "owner": player_name(self._owner[village]),
            "defence": self._defence[village],
            "threat": self._threat[village],
        }


def _ago(hours: int) -> int | str:
    """How long ago, in words where it never was."""
    return hours if hours >= 0 else "never"


def _cells_away(state: State, outlook: Outlook) -> list[list[float]]:
    homes = state.villages.at[: state.size, None]
    away: list[list[float]] = np.round(distance(state.spots[np.maximum(outlook.spots, 0)], homes), 1).tolist()
    return away


def _market(state: State) -> list[Json]:
    market = state.market
    columns = (market.number, market.give, market.want, market.amount)
    return [
        {"offer": f"m{number}", "gives": RESOURCES[give], "wants": RESOURCES[want], "amount": amount}
        for number, give, want, amount in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _on_the_road(state: State, outlook: Outlook) -> tuple[dict[int, list[Json]], dict[int, list[Json]]]:
    """The parties of each player, and those who come to rob or attack each village."""
    parties = state.parties
    away: dict[int, list[Json]] = {}
    coming: dict[int, list[Json]] = {}
    columns = (parties.player, parties.village, parties.errand, parties.target, parties.hours, parties.phase)
    rows = zip(
        *(column.tolist() for column in columns), outlook.force.tolist(), parties.hostile().tolist(), strict=True
    )
    for player, village, errand, target, hours, phase, force, hostile in rows:
        if errand == TRADE:
            continue
        where = spot_name(target) if ERRANDS[errand] == "settle" else village_name(target)
        doing = {GOING: "on the way", HOME: "coming home"}.get(phase, "staying")
        away.setdefault(player, []).append({"errand": ERRANDS[errand], "to": where, "hours": hours, "doing": doing})
        if hostile:
            coming.setdefault(target, []).append({"from": village_name(village), "hours": hours, "strength": force})
    return away, coming


def _offers(state: State) -> dict[int, list[Json]]:
    offers = state.offers
    shown: dict[int, list[Json]] = {}
    columns = (offers.to, offers.number, offers.maker, offers.treaty, offers.gift, offers.amount)
    for to, number, maker, treaty, gift, amount in zip(*(column.tolist() for column in columns), strict=True):
        mine = shown.setdefault(to, [])
        if len(mine) < OFFERS_SHOWN:
            mine.append(
                {
                    "offer": f"o{number}",
                    "from": player_name(maker),
                    "treaty": TREATIES[treaty],
                    "gift": {RESOURCES[gift]: amount},
                }
            )
    return shown
