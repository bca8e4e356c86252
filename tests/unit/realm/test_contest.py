"""Playing well pays, and each style has its match."""

from __future__ import annotations

import dataclasses

import pytest

from realm import players
from realm.contest import compete, played
from realm.players import Style


def advantage(first: Style, second: Style) -> float:
    """The lower end of the interval, in ranks of 12."""
    return compete(first, second, range(4), players=12, turns=72).low


@pytest.mark.parametrize("style", [players.GOOD, *players.STYLES], ids=lambda style: style.name)
def test_every_style_beats_random(style: Style) -> None:
    assert advantage(style, players.RANDOM) > 0


def test_good_clearly_beats_random() -> None:
    assert advantage(players.GOOD, players.RANDOM) > 3


def test_a_style_is_as_good_as_itself() -> None:
    same = compete(players.GOOD, dataclasses.replace(players.GOOD), range(4), players=12, turns=60)
    assert same.low < 0 < same.high


def test_styles_are_random_with_a_seed() -> None:
    styles = [*players.STYLES] * 2
    assert played(styles, 1, 30).digest() == played(styles, 1, 30).digest()
    assert played(styles, 1, 30).digest() != played([players.GOOD] * 8, 1, 30).digest()
