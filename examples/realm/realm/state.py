"""The state of a world: arrays over villages and players, and lists of what comes and goes.

A player has the village of its own number, the hamlets, which nobody plays, have the numbers after, and villages founded
later come behind. All arrays are whole numbers: two worlds are the same exactly when their digests are.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Self

import numpy as np

from .land import first_fields, nearest, places
from .rows import Market, Offers, Parties, Truces
from .rules import (
    BARRACKS,
    CONTACTS,
    DAY_H,
    DEFENCE,
    ECONOMY,
    FIELDS,
    GUESS,
    HALL,
    HALL_PER_VILLAGE,
    HEADS,
    MILITIA,
    NEARBY,
    PEOPLE,
    PEOPLE_BASE,
    PLAYERS_PER_HAMLET,
    PRODUCTION,
    QUEUE_MAX,
    RESOURCES,
    SORTS,
    SPOTS_PER_PLAYER,
    START_STOCK,
    STORAGE,
    STOREHOUSE,
    TRAINED_PER_LEVEL,
    TRIBES,
    TRUST_START,
    UPTIME_HOURS,
    VILLAGES_MAX,
    WALL_BONUS,
    Bools,
    Floats,
    Ints,
)

NOBODY = -1


def _full(value: int, *shape: int) -> Ints:
    return np.full(shape, value, dtype=np.int64)


@dataclasses.dataclass
class Villages:
    """V villages; the arrays grow when one is founded."""

    at: Ints  # [V, 2] cells
    owner: Ints  # [V] player, NOBODY for a hamlet
    stocks: Ints  # [V, resource]
    levels: Ints  # [V, building]
    queue: Ints  # [V, QUEUE_MAX] building, -1 where free; the first is being worked on
    queue_hours: Ints  # [V, QUEUE_MAX] hours of work left
    busy: Ints  # [V] one bit for each of the last hours: was there work in the queue?
    troops: Ints  # [V, sort] the owner's soldiers at home
    struck: Ints  # [V] the turn of the last fight there, -1 for never
    striker: Ints  # [V] who came to fight then, NOBODY where nobody ever did

    @classmethod
    def new(cls, at: Ints, owner: Ints, levels: Ints, stock: int) -> Self:
        """Villages as they begin."""
        count = len(at)
        return cls(
            at=at,
            owner=owner,
            stocks=_full(stock, count, len(RESOURCES)),
            levels=levels,
            queue=_full(-1, count, QUEUE_MAX),
            queue_hours=_full(0, count, QUEUE_MAX),
            busy=_full(0, count),
            troops=_full(0, count, SORTS),
            struck=_full(-1, count),
            striker=_full(NOBODY, count),
        )

    def add(self, more: Villages) -> None:
        """Put founded villages behind the others."""
        for field in dataclasses.fields(self):
            setattr(self, field.name, np.concatenate([getattr(self, field.name), getattr(more, field.name)]))

    def __len__(self) -> int:
        return len(self.owner)


@dataclasses.dataclass
class Players:
    """P players; K villages of others near each, C others that it deals with."""

    tribe: Ints  # [P]
    alliance: Ints  # [P] number, 0 for none
    priority: Ints  # [P] what it puts first
    active: Ints  # [P] the turn of its last order
    trained: Ints  # [P, sort] ever
    lost: Ints  # [P, sort] ever
    won: Ints  # [P] battles
    beaten: Ints  # [P] battles lost
    villages: Ints  # [P, VILLAGES_MAX] NOBODY where there is none
    nearby: Ints  # [P, K] villages of others, nearest first
    seen: Ints  # [P, K] the turn when somebody looked there, -1 for never
    seen_defence: Ints  # [P, K] what was seen then
    seen_stocks: Ints  # [P, K]
    guess: Ints  # [P, K] per cent that a guess about it is worth
    contacts: Ints  # [P, C] other players, nearest first
    trust: Ints  # [P, C] in them
    fights: Ints  # [P, C] how often they came to rob or attack
    pacts: Ints  # [P, C] how many treaties were agreed on with them
    spots: Ints  # [P, K] the nearest spots


@dataclasses.dataclass
class State:
    """Everything there is in a world."""

    seed: int
    villages: Villages
    players: Players
    spots: Ints  # [N, 2] cells where a village can be founded
    taken: Ints  # [N] 1 once it is
    parties: Parties = dataclasses.field(default_factory=Parties)
    market: Market = dataclasses.field(default_factory=Market)
    offers: Offers = dataclasses.field(default_factory=Offers)
    truces: Truces = dataclasses.field(default_factory=Truces)
    turn: int = 0
    numbered: int = 0
    """The last number given to a party or an offer."""

    @classmethod
    def found(cls, players: int, seed: int) -> Self:
        """A new world of so many players."""
        if players < 1 or seed < 0:
            raise ValueError(f"a world needs at least one player and a seed from 0, not {players} and {seed}")
        dice = np.random.Generator(np.random.PCG64([seed]))
        count = players + players // PLAYERS_PER_HAMLET
        at = places(count + SPOTS_PER_PLAYER * players, count, dice)
        land, spots = at[:count], at[count:]
        everybody = np.arange(players)
        owner = np.where(np.arange(count) < players, np.arange(count), NOBODY)
        near, others = nearest(land[:players], land, NEARBY), nearest(land[:players], land[:players], CONTACTS)
        own = _full(NOBODY, players, VILLAGES_MAX)
        own[:, 0] = everybody
        return cls(
            seed=seed,
            villages=Villages.new(land, owner, first_fields(count, dice), START_STOCK),
            players=Players(
                tribe=dice.permutation(everybody % len(TRIBES)),
                alliance=_full(0, players),
                priority=_full(ECONOMY, players),
                active=_full(0, players),
                trained=_full(0, players, SORTS),
                lost=_full(0, players, SORTS),
                won=_full(0, players),
                beaten=_full(0, players),
                villages=own,
                nearby=near,
                seen=_full(-1, *near.shape),
                seen_defence=_full(0, *near.shape),
                seen_stocks=_full(0, *near.shape),
                guess=dice.integers(100 - GUESS, 100 + GUESS, size=near.shape, endpoint=True),
                contacts=others,
                trust=_full(TRUST_START, *others.shape),
                fights=_full(0, *others.shape),
                pacts=_full(0, *others.shape),
                spots=nearest(land[:players], spots, NEARBY),
            ),
            spots=spots,
            taken=_full(0, len(spots)),
        )

    @property
    def size(self) -> int:
        """How many players there are."""
        return len(self.players.tribe)

    @property
    def day(self) -> int:
        """The game day."""
        return self.turn // DAY_H

    def digest(self) -> str:
        """The world in one line; the same for a play and its replay."""
        sha = hashlib.sha256(f"{self.seed} {self.turn} {self.numbered}".encode())
        parts = (self.villages, self.players, self.parties, self.market, self.offers, self.truces)
        named = [(field.name, getattr(part, field.name)) for part in parts for field in dataclasses.fields(part)]
        for name, value in [*named, ("spots", self.spots), ("taken", self.taken)]:
            sha.update(f"{name} {value.shape}".encode())
            sha.update(np.ascontiguousarray(value, dtype="<i8").tobytes())
        return sha.hexdigest()

    def chance(self, purpose: int) -> np.random.Generator:
        """The dice of this turn for one purpose: the same in every replay, whatever was thrown before."""
        return np.random.Generator(np.random.PCG64([self.seed, self.turn, purpose]))

    def next_numbers(self, count: int) -> Ints:
        """Numbers that nothing had before."""
        self.numbered += count
        return np.arange(self.numbered - count + 1, self.numbered + 1)

    # ---- villages: [V, ...] ------------------------------------------------------------------------------------------

    def production(self) -> Ints:
        """What the fields yield in an hour, before anybody eats: [V, resource]."""
        return PRODUCTION[self.villages.levels[:, :FIELDS]]

    def planned_levels(self) -> Ints:
        """The levels once everything in the queue is built: [V, building]."""
        queue = self.villages.queue
        planned = self.villages.levels.copy()
        for place in range(QUEUE_MAX):
            village = np.flatnonzero(queue[:, place] >= 0)
            planned[village, queue[village, place]] += 1
        return planned

    def planned_production(self) -> Ints:
        """What the fields yield once everything in the queue is built: [V, resource]."""
        return PRODUCTION[self.planned_levels()[:, :FIELDS]]

    def storage(self) -> Ints:
        """How much of each resource a village keeps: [V]."""
        return STORAGE[self.villages.levels[:, STOREHOUSE]]

    def training_max(self) -> Ints:
        """How many soldiers a village trains in an hour: [V]."""
        return self.villages.levels[:, BARRACKS] * TRAINED_PER_LEVEL

    def soldiers(self) -> Ints:
        """All soldiers of a village, at home and away: [V, sort]."""
        soldiers = self.villages.troops.copy()
        np.add.at(soldiers, self.parties.village, self.parties.troops)
        return soldiers

    def upkeep(self) -> Ints:
        """The wheat that soldiers eat in an hour: [V]."""
        return self.soldiers() @ HEADS

    def people(self) -> Ints:
        """People in buildings and under arms: [V]."""
        housed: Ints = PEOPLE[self.villages.levels].sum(axis=1)
        return PEOPLE_BASE + housed + self.upkeep()

    def defenders(self) -> Ints:
        """The strength of all who would defend each village, without its wall: [V]."""
        strength: Ints = (self.villages.troops * DEFENCE[self.tribes()]).sum(axis=1) + MILITIA
        staying = self.parties.staying()
        of = self.players.tribe[self.parties.player[staying]]
        helping = (self.parties.troops[staying] * DEFENCE[of]).sum(axis=1)
        np.add.at(strength, self.parties.target[staying], helping)
        return strength

    def defence_of(self, village: Ints, wall: Ints) -> Ints:
        """The defence of these villages behind walls of these levels."""
        bonus = np.where(self.villages.owner[village] >= 0, WALL_BONUS[self.tribes()[village]], 0)
        defence: Ints = self.defenders()[village] * (100 + bonus * wall) // 100
        return defence

    def tribes(self) -> Ints:
        """The tribe of each village; a hamlet counts as of the first: [V]."""
        tribes: Ints = self.players.tribe[np.maximum(self.villages.owner, 0)]
        return tribes

    def queue_uptime(self) -> Floats:
        """The share of the last hours in which something was being built: [V], 0 to 1."""
        return np.bitwise_count(self.villages.busy) / min(max(self.turn, 1), UPTIME_HOURS)

    # ---- players: [P, ...] -------------------------------------------------------------------------------------------

    def by_player(self, of_villages: Ints) -> Ints:
        """The sum over each player's villages."""
        owned = self.villages.owner >= 0
        total = np.zeros((self.size, *of_villages.shape[1:]), dtype=np.int64)
        np.add.at(total, self.villages.owner[owned], of_villages[owned])
        return total

    def population(self) -> Ints:
        """The people of each player. It is what the ranks go by."""
        return self.by_player(self.people())

    def ranks(self) -> Ints:
        """1 for the most populous; of equals, the lower number is before."""
        return ranked(self.population())

    def villages_owned(self) -> Ints:
        """How many villages each player has."""
        owned: Ints = (self.players.villages >= 0).sum(axis=1)
        return owned

    def may_found(self) -> Bools:
        """Whose halls are large enough for one more village."""
        owned, under_way = self.villages_owned(), self.settling()
        count = owned + under_way
        halls = self.by_player(self.villages.levels[:, HALL])
        return (count < VILLAGES_MAX) & (halls >= HALL_PER_VILLAGE * count)

    def settling(self) -> Ints:
        """How many parties of settlers each player has on their way."""
        return np.bincount(self.parties.player[self.parties.is_settling()], minlength=self.size)

    def contact(self, player: Ints, other: Ints) -> tuple[Ints, Bools]:
        """The place of others among the contacts of players, and whether they are there at all."""
        same = self.players.contacts[player] == other[:, None]
        return same.argmax(axis=1) if same.shape[1] else np.zeros_like(player), same.any(axis=1)

    def truce_between(self, player: Ints, other: Ints) -> Bools:
        """Whether they have a truce."""
        return np.isin(self.pair(player, other), self.pair(self.truces.one, self.truces.other))

    def allied(self, player: Ints, other: Ints) -> Bools:
        """Whether they are in one alliance."""
        alliance = self.players.alliance
        allied: Bools = (alliance[player] > 0) & (alliance[player] == alliance[other])
        return allied

    def pair(self, player: Ints, other: Ints) -> Ints:
        """A number for two players, whoever is named first."""
        pairs: Ints = np.minimum(player, other) * self.size + np.maximum(player, other)
        return pairs


def ranked(figure: Ints) -> Ints:
    """1 for the largest; of equals, the first is before."""
    ranks = np.zeros_like(figure)
    ranks[np.argsort(-figure, kind="stable")] = np.arange(1, len(figure) + 1)
    return ranks
