"""What happens in a turn and can't be read off the world afterwards; player and turn of the order tell whose it was."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from .rules import Ints

WIN, LOSS, DRAW = "win", "loss", "draw"


class Battle(NamedTuple):
    """What came of a raid or an attack."""

    player: int
    sent: int
    errand: int
    target: int
    owner: int  # of the target, NOBODY for a hamlet
    result: str
    own_losses: int
    enemy_losses: int
    loot: int
    razed: int  # levels of buildings and wall
    breach: bool  # of a truce or an alliance


class Looked(NamedTuple):
    """What came of scouting."""

    player: int
    sent: int
    target: int
    found: bool
    own_losses: int


class Settled(NamedTuple):
    """What came of settlers."""

    player: int
    sent: int
    village: int  # NOBODY where somebody else was first


class Answered(NamedTuple):
    """An offer of a treaty was accepted, refused, or never answered."""

    maker: int
    sent: int
    to: int
    treaty: int
    accepted: bool
    trust_change: int  # of the other in the maker
    maker_trust_change: int  # of the maker in the other
    expired: bool = False


class Left(NamedTuple):
    """A player ended a truce with another openly, or left its alliance."""

    player: int
    treaty: int
    other: int  # the player itself, where it left an alliance


class Traded(NamedTuple):
    """Two players agreed on the market; merchants carry both ways."""

    seller: int
    buyer: int
    gave: int  # resource
    got: int
    amount: int


class Missed(NamedTuple):
    """Somebody nearer was given what this player wanted to buy."""

    player: int
    offer: int


class Deeds(NamedTuple):
    """What came of orders at once."""

    answered: list[Answered]
    left: list[Left]
    traded: list[Traded]
    missed: list[Missed]


@dataclasses.dataclass(frozen=True)
class Hour:
    """All that happened in a turn."""

    battles: list[Battle]
    looks: list[Looked]
    settled: list[Settled]
    answered: list[Answered]
    left: list[Left]
    traded: list[Traded]
    missed: list[Missed]
    wasted: Ints  # [V] resources that found no room
    deserted: Ints  # [V] soldiers who left for want of wheat
