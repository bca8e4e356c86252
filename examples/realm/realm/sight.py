"""What each player is asked and may do, and what an answer to it means.

Each legal action, within its bounds, is accepted by the world of that turn; its appeal and defaults are the advice of the
world's own good player. A player is asked every turn about the economy of one of its villages in turn (`economic`), about
raids, attacks and scouts when it has soldiers to send (`combat`), instead about the next hours when its village or an ally's
is in danger (`tactical`), about treaties when somebody offers one and every few hours (`diplomacy`), and once a day about
what comes first (`strategic`).
"""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from hearthmind.contracts.observation import Choice, LegalAction, Parameter, Whole

from .advice import IDLE, UNWANTED, Advice, advise, balanced
from .checks import fits, merchants_free
from .events import DRAW, LOSS, WIN
from .leans import leans_of
from .outlook import Outlook, look_around
from .rules import (
    ALLIANCE,
    BUILDINGS,
    DAY_H,
    DEPART_H_MAX,
    DEPARTURES_H,
    GIFT_MAX,
    MARCHING,
    MARKET_OFFERS_MAX,
    MERCHANT_CARRY,
    OFFERS_SHOWN,
    PRIORITIES,
    RAM,
    RESOURCES,
    SELL_MIN,
    SETTLER,
    TREATIES,
    TROOPS,
    TRUCE,
    Floats,
    Ints,
)
from .rules import SCOUT as SCOUTS
from .situation import Json, Situations, clock, player_name, spot_name, village_name
from .state import State

ECONOMIC, COMBAT, TACTICAL, DIPLOMACY, STRATEGIC = "economic", "combat", "tactical", "diplomacy", "strategic"
PREDICTIONS = (WIN, LOSS, DRAW)
DIPLOMACY_EVERY_H = 8
_PRIORITY = {ECONOMIC: 8, DIPLOMACY: 6, STRATEGIC: 3, COMBAT: 4, TACTICAL: 1}
"""How urgent each kind is, for the platform: 0 is the most."""
_EXPECTED = "What you expect; it changes nothing in the world."


@dataclasses.dataclass(frozen=True)
class Sight:
    """One question to one player."""

    player: int
    kind: str
    village: int  # the one that it is about
    camp: int  # where soldiers leave from
    priority: int
    state: dict[str, Json]
    legal_actions: tuple[LegalAction, ...]


def names(state: State) -> list[str]:
    """What each player is called outside the world."""
    return [player_name(player) for player in range(state.size)]


def look(state: State, players: Iterable[int] | None = None, style: Floats | None = None) -> list[Sight]:
    """All questions of this turn, by player; of these players only, and advised in this style [P, priority]."""
    outlook = look_around(state)
    advice = advise(state, outlook, balanced(state) if style is None else style)
    with _without_pauses():
        return list(_Table(state, outlook, advice).questions(range(state.size) if players is None else players))


def look_ahead(state: State, players: Iterable[int]) -> list[Sight]:
    """The strategic question to each of these players, as if its day began now."""
    outlook = look_around(state)
    table = _Table(state, outlook, advise(state, outlook, balanced(state)))
    return [table.strategic(player) for player in players]


@contextmanager
def _without_pauses() -> Iterator[None]:
    """No search for garbage in between: a hundred thousand new objects, none of it garbage, would set it off all the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Table:
    """Everything that the questions of a turn are made of, in plain Python for speed."""

    def __init__(self, state: State, outlook: Outlook, advice: Advice) -> None:
        self._state = state
        self._situations = Situations(state, outlook)
        self._outlook = _Plain(outlook)
        self._advice = _Plain(advice)
        self._tribe = state.players.tribe.tolist()
        self._troops = state.villages.troops.tolist()
        self._stocks = state.villages.stocks.tolist()
        self._merchants = merchants_free(state).tolist()
        self._open_offers = np.bincount(state.market.village, minlength=len(state.villages)).tolist()
        self._nearby = state.players.nearby.tolist()
        self._offer_names = [f"m{number}" for number in state.market.number.tolist()]
        self._names = [village_name(village) for village in range(len(state.villages))]
        self._contacts = state.players.contacts.tolist()
        self._treaties = _treaties_open(state)
        self._departures = Choice(enum=tuple(clock(state.turn + hours) for hours in DEPARTURES_H))
        self._offers_to = _offers_to(state)

    def questions(self, players: Iterable[int]) -> Iterator[Sight]:
        """Those of each player."""
        outlook, turn = self._outlook, self._state.turn
        for player in players:
            yield self._sight(player, ECONOMIC, outlook.seat[player], self._economic(player))
            if outlook.besieged[player] >= 0 or (outlook.pleas[player] >= 0 and outlook.can_march[player]):
                there = outlook.besieged[player] if outlook.besieged[player] >= 0 else outlook.camp[player]
                yield self._sight(player, TACTICAL, there, self._tactical(player))
            elif outlook.can_march[player] and len(war := self._combat(player)) > 1:
                yield self._sight(player, COMBAT, outlook.camp[player], war)
            deals = outlook.has_offers[player] or (turn + player) % DIPLOMACY_EVERY_H == DIPLOMACY_EVERY_H - 1
            if deals and len(dealings := self._dealings(player)) > 1:
                yield self._sight(player, DIPLOMACY, player, dealings)
            if turn % DAY_H == player % DAY_H:
                yield self.strategic(player)

    def strategic(self, player: int) -> Sight:
        """What comes first for a day?"""
        return self._sight(player, STRATEGIC, player, self._priorities(player))

    def _sight(self, player: int, kind: str, village: int, actions: tuple[LegalAction, ...]) -> Sight:
        state = self._situations.of(player, kind, village)
        if kind == COMBAT:
            state["targets"] = self._targets(player)
        return Sight(player, kind, village, self._outlook.camp[player], _PRIORITY[kind], state, actions)

    # ---- economic ----------------------------------------------------------------------------------------------------

    def _economic(self, player: int) -> tuple[LegalAction, ...]:
        outlook, advice = self._outlook, self._advice
        seat = outlook.seat[player]
        actions = [_WAIT]
        can = tuple(b for b, ok in zip(BUILDINGS, outlook.buildable[seat], strict=True) if ok)
        if can:
            what = Choice(enum=can, default=BUILDINGS[advice.building[player]])
            actions.append(_action("build", advice.build[player], {"what": what}))
        for sort, most in enumerate(outlook.trainable[seat]):
            if most:
                amount = Whole(minimum=1, maximum=most, default=advice.amount[player][sort])
                name = f"train_{TROOPS[self._tribe[player]][sort]}"
                actions.append(_action(name, advice.train[player][sort], {"amount": amount}))
        if self._merchants[seat]:
            actions += self._trade(player, seat)
        if outlook.can_settle[player]:
            free = tuple(spot_name(spot) for spot in outlook.spots[player] if spot >= 0)
            actions.append(_action("settle", advice.settle[player], {"spot": Choice(enum=free, default=free[0])}))
        return tuple(actions)

    def _trade(self, player: int, seat: int) -> Iterator[LegalAction]:
        advice = self._advice
        most = int(MERCHANT_CARRY[self._tribe[player]])
        if self._open_offers[seat] < MARKET_OFFERS_MAX:
            for give, stock in enumerate(self._stocks[seat]):
                if stock >= SELL_MIN:
                    others = tuple(name for name in RESOURCES if name != RESOURCES[give])
                    wanted = RESOURCES[advice.wanted[player]]
                    maximum = min(stock, most)
                    parameters: dict[str, Parameter] = {
                        "amount": Whole(
                            minimum=SELL_MIN,
                            maximum=maximum,
                            default=min(max(advice.sold[player][give], SELL_MIN), maximum),
                        ),
                        "want": Choice(enum=others, default=wanted if wanted in others else others[0]),
                    }
                    yield _action(f"sell_{RESOURCES[give]}", advice.sell[player][give], parameters)
        places = self._outlook.market[player]
        there = tuple(self._offer_names[place] for place in places if place >= 0)
        if there:
            best = places[advice.bought[player]]
            offer = Choice(enum=there, default=self._offer_names[best] if best >= 0 else there[0])
            yield _action("buy", advice.buy[player], {"offer": offer})

    # ---- war ---------------------------------------------------------------------------------------------------------

    def _combat(self, player: int) -> tuple[LegalAction, ...]:
        outlook, advice = self._outlook, self._advice
        home, near = self._troops[outlook.camp[player]], self._nearby[player]
        actions = [_action("hold", advice.hold[player])]
        if not near:
            return tuple(actions)
        places = tuple(self._names[village] for village in near)
        if any(home[sort] for sort in MARCHING):
            for name, appeal, place in (
                ("raid", advice.raid[player], advice.raided[player]),
                ("attack", advice.attack[player], advice.attacked[player]),
            ):
                parameters: dict[str, Parameter] = {"target": Choice(enum=places, default=places[place])}
                party = advice.party[player]
                party[RAM] = home[RAM] if name == "attack" else 0
                parameters |= self._bounds(player, home, MARCHING, party)
                parameters["depart_at"] = self._departures
                parameters["predicted"] = _PREDICTED[WIN if appeal > IDLE else LOSS]
                actions.append(_action(name, appeal, parameters))
        if home[SCOUTS]:
            target = Choice(enum=places, default=places[advice.scouted[player]])
            scouts = Whole(minimum=1, maximum=home[SCOUTS], default=1)
            sent: dict[str, Parameter] = {"target": target, TROOPS[self._tribe[player]][SCOUTS]: scouts}
            actions.append(_action("scout", advice.scout[player], sent))
        return tuple(actions)

    def _targets(self, player: int) -> dict[str, Json]:
        """What is worth thinking about: whom to rob, whom to overrun, and where somebody should look first."""
        advice, show = self._advice, self._situations.target
        raid = show(player, advice.raided[player], advice.safe[player]) | {"gain": advice.gain[player]}
        return {
            "raid": raid,
            "attack": show(player, advice.attacked[player], True) if advice.attack[player] > UNWANTED else "none",
            "scout": self._situations.unknown(player, advice.scouted[player])
            if advice.scout[player] > UNWANTED
            else "none",
        }

    def _tactical(self, player: int) -> tuple[LegalAction, ...]:
        outlook, advice = self._outlook, self._advice
        actions = [_action("hold", advice.hold[player])]
        besieged, camp = outlook.besieged[player], outlook.camp[player]
        if besieged >= 0 and any(self._troops[besieged][:SETTLER]) and self._situations.parties_free(besieged):
            soon = min(outlook.threat_hours[besieged] + 1, DEPART_H_MAX)
            hours = Whole(minimum=1, maximum=DEPART_H_MAX, default=soon)
            actions.append(_action("evade", advice.evade[player], {"hours": hours}))
        friends = [village for village in (besieged, outlook.pleas[player]) if village >= 0 and village != camp]
        home = self._troops[camp]
        if friends and outlook.can_march[player] and any(home[sort] for sort in MARCHING):
            where = tuple(village_name(village) for village in friends)
            parameters: dict[str, Parameter] = {"village": Choice(enum=where, default=where[0])}
            parameters |= self._bounds(player, home, MARCHING, [count // 2 for count in home])
            actions.append(_action("help", advice.help[player], parameters))
        return tuple(actions)

    def _bounds(
        self, player: int, home: Sequence[int], sorts: Sequence[int], party: Sequence[int]
    ) -> dict[str, Parameter]:
        """Bounds for each sort at home; one of the best must go, so that no party is empty."""
        there = [sort for sort in sorts if home[sort]]
        best = next((sort for sort in reversed(there) if party[sort]), there[-1])
        called = TROOPS[self._tribe[player]]
        return {
            called[sort]: Whole(
                minimum=int(sort == best), maximum=home[sort], default=max(party[sort], int(sort == best))
            )
            for sort in there
        }

    # ---- dealings ----------------------------------------------------------------------------------------------------

    def _dealings(self, player: int) -> tuple[LegalAction, ...]:
        advice, contacts = self._advice, self._contacts[player]
        actions = [_WAIT]
        accepted, refused = [], []
        for place, number, can in self._offers_to.get(player, ())[:OFFERS_SHOWN]:
            refused.append((advice.refuse[place], f"o{number}"))
            if can:
                accepted.append((advice.accept[place], f"o{number}"))
        for name, offers in (("accept", accepted), ("refuse", refused)):
            if offers:
                appeal, best = max(offers, key=lambda offer: offer[0])
                choice = Choice(enum=tuple(offer for _, offer in offers), default=best)
                actions.append(_action(name, appeal, {"offer": choice}))
        for treaty in range(len(TREATIES)):
            to = self._treaties.can_offer[treaty].get(player, ())
            if to:
                partner = contacts[advice.partner[player][treaty]]
                stocks = self._stocks[player]
                gift = max(range(len(RESOURCES)), key=stocks.__getitem__)
                parameters: dict[str, Parameter] = {
                    "to": Choice(
                        enum=tuple(player_name(other) for other in to),
                        default=player_name(partner if partner in to else to[0]),
                    ),
                    "gift": Choice(enum=RESOURCES, default=RESOURCES[gift]),
                    "amount": Whole(minimum=0, maximum=GIFT_MAX, default=advice.gift[player][treaty]),
                }
                appeal = advice.treaty[player][treaty] if partner in to else 0.0
                actions.append(_action(f"offer_{TREATIES[treaty]}", appeal, parameters))
        if bound := self._treaties.truces.get(player):
            choice = Choice(enum=tuple(player_name(other) for other in bound))
            actions.append(_action("end_truce", 0.0, {"with": choice}))
        if self._treaties.allied[player]:
            actions.append(_action("leave_alliance", 0.0))
        return tuple(actions)

    def _priorities(self, player: int) -> tuple[LegalAction, ...]:
        appeals = self._advice.priorities[player]
        return tuple(
            LegalAction(name=name, description=says, appeal=appeal, leans=leans_of(name))
            for name, says, appeal in zip(PRIORITIES, _FIRST, appeals, strict=True)
        )


class _Plain:
    """The columns of a dataclass as lists, each made when it is asked for first."""

    def __init__(self, columns: Outlook | Advice) -> None:
        self._columns = columns

    def __getattr__(self, name: str) -> list:  # type: ignore[type-arg]
        plain = getattr(self._columns, name).tolist()
        setattr(self, name, plain)
        return plain  # type: ignore[no-any-return]


@dataclasses.dataclass(frozen=True)
class _Treaties:
    can_offer: tuple[dict[int, list[int]], ...]
    truces: dict[int, list[int]]
    allied: list[bool]


def _treaties_open(state: State) -> _Treaties:
    """To which contacts each player could offer which treaty now, and what binds it."""
    contacts, count = state.players.contacts, state.size
    everybody = np.broadcast_to(np.arange(count)[:, None], contacts.shape)
    asked = np.isin(everybody * count + contacts, state.offers.maker * count + state.offers.to)
    can = (
        ~asked & ~state.truce_between(everybody, contacts),
        ~asked & fits(state, everybody.ravel(), contacts.ravel()).reshape(contacts.shape),
    )
    truces: dict[int, list[int]] = {}
    for one, other in zip(state.truces.one.tolist(), state.truces.other.tolist(), strict=True):
        truces.setdefault(one, []).append(other)
        truces.setdefault(other, []).append(one)
    assert (TRUCE, ALLIANCE) == (0, 1)
    return _Treaties(
        can_offer=tuple(_lists(everybody[open_to], contacts[open_to]) for open_to in can),
        truces=truces,
        allied=(state.players.alliance > 0).tolist(),
    )


def _lists(of: Ints, what: Ints) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for one, other in zip(of.tolist(), what.tolist(), strict=True):
        found.setdefault(one, []).append(other)
    return found


def _offers_to(state: State) -> dict[int, list[tuple[int, int, bool]]]:
    """The open offers to each player: place, number, and whether it could accept."""
    offers = state.offers
    if not len(offers):
        return {}
    possible = (offers.treaty != ALLIANCE) | fits(state, offers.to, offers.maker)
    found: dict[int, list[tuple[int, int, bool]]] = {}
    rows = zip(offers.to.tolist(), offers.number.tolist(), possible.tolist(), strict=True)
    for place, (to, number, can) in enumerate(rows):
        found.setdefault(to, []).append((place, number, can))
    return found


_SAYS = {
    "wait": "Save for later.",
    "build": "Put the next level of a building into the queue.",
    "buy": "Take an offer of the market; merchants carry both ways.",
    "settle": "Found a village on a free spot; the settlers become its people.",
    "hold": "Keep everybody where they are.",
    "raid": "Send soldiers to rob a village; they fight when they arrive and come home with what they carry.",
    "attack": "The same with all force: more fall on both sides, rams break the wall, and a building is razed.",
    "scout": "Send scouts to see defence and stocks of a village.",
    "evade": "All soldiers leave the village for so many hours.",
    "help": "Send soldiers to defend a village of one's own or of an ally for a day.",
    "accept": "Accept an offered treaty, with its gift.",
    "refuse": "Refuse an offered treaty.",
    "offer_truce": "Offer to keep the peace for three days; the gift is given when it is accepted.",
    "offer_alliance": "Offer to be in one alliance, which keeps the peace and helps its members.",
    "end_truce": "End a truce openly. To attack in spite of it would cost all trust.",
    "leave_alliance": "Leave the alliance openly.",
}
_FIRST = (
    "Put new villages first for the day.",
    "Put walls and guards first for the day.",
    "Put raids and attacks first for the day.",
    "Put treaties first for the day.",
    "Put fields and stores first for the day.",
)
"""What each of PRIORITIES means."""


def _action(name: str, appeal: float, parameters: dict[str, Parameter] | None = None) -> LegalAction:
    says = _SAYS.get(name, "")
    return LegalAction(name=name, parameters=parameters or {}, description=says, appeal=appeal, leans=leans_of(name))


_WAIT = _action("wait", IDLE)
_PREDICTED = {end: Choice(enum=PREDICTIONS, default=end, description=_EXPECTED) for end in PREDICTIONS}
