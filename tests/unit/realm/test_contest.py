"""Playing well pays."""

from __future__ import annotations

from realm import players
from realm.contest import compete
from realm.players import Player


def advantage(first: Player, second: Player) -> float:
    """The lower end of the interval, in ranks of 12."""
    return compete(first, second, range(4), players=12, turns=60).low


def test_good_clearly_beats_random() -> None:
    assert advantage(players.good, players.random) > 2


def test_good_beats_peaceful() -> None:
    assert advantage(players.good, players.peaceful) > 0


def test_a_style_is_as_good_as_itself() -> None:
    same = compete(players.good, lambda sight, dice: players.good(sight, dice), range(4), players=12, turns=60)
    assert same.low < 0 < same.high
