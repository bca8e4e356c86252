"""Who sits down with whom."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch", reason="self-play needs torch")
pytest.importorskip("numba", reason="the tables of hold'em need numba")

from services.selfplay.games import game_of
from services.selfplay.league import MEMBER, League, seated
from services.selfplay.model import Network, Shape
from services.selfplay.opponents import Random
from services.selfplay.settings import BadSetting, LeagueSettings, Settings, read

SETTINGS = Settings(actor="fp32", players=3, league=LeagueSettings(selves=0.25, scripted=0.25, members_max=4))


def test_every_other_seat_is_the_learner_s_and_another_one_at_each_table() -> None:
    assert seated(4, np.array([5, 6], np.int8), np.array([2, 2])).tolist() == [[0, 5, 0, 5], [6, 0, 6, 0]]


def test_or_it_sits_alone_among_guests_of_one_kind(tmp_path: Path) -> None:
    assert seated(3, np.array([5, 6], np.int8), np.array([3, 3])).tolist() == [[0, 5, 5], [6, 6, 0]]
    six = msgspec.structs.replace(SETTINGS, players=6, league=LeagueSettings(selves=0, scripted=1))
    _, seating = League(tmp_path, six).seat(Random(), game_of(six), 400, np.random.default_rng(1))
    mine = (seating == 0).sum(1)
    assert set(mine) == {1, 3}
    assert 150 < (mine == 1).sum() < 250
    assert all(len(set(table[table > 0])) == 1 for table in seating)


def test_shares_of_the_tables_are_kept(tmp_path: Path) -> None:
    game, league = game_of(SETTINGS), League(tmp_path, SETTINGS)
    league.admit(1, Network(Shape(10, 5, 4, d_model=8, layers=1, heads=1)))
    players, seating = league.seat(Random(), game, 400, np.random.default_rng(1))
    assert len(players) == 1 + 1 + len(game.opponents)
    assert ((seating == 1).any(1)).sum() == 100
    assert ((seating > 1).any(1)).sum() == 100
    assert (seating == 0).all(1).sum() == 200
    assert (seating == 0).any(1).all()


def test_without_members_their_tables_are_the_learner_s(tmp_path: Path) -> None:
    alone = msgspec.structs.replace(SETTINGS, league=LeagueSettings(selves=0.5, scripted=0))
    _, seating = League(tmp_path, alone).seat(Random(), game_of(alone), 100, np.random.default_rng(1))
    assert not seating.any()


def test_the_league_is_bounded_and_keeps_old_and_new(tmp_path: Path) -> None:
    league, network = League(tmp_path, SETTINGS), Network(Shape(10, 5, 4, d_model=8, layers=1, heads=1))
    for step in range(1, 12):
        league.admit(step, network)
        assert len(league.steps) <= 4
        league.sweep()
        assert {path.name for path in tmp_path.iterdir()} == {MEMBER.format(step=step) for step in league.steps}
    assert league.steps[-1] == 11
    assert league.steps[0] == 1


def test_guests_are_those_that_are_asked_for(tmp_path: Path) -> None:
    asked = LeagueSettings(selves=0, scripted=1, guests=("equity", "tight_aggressive", "equity"))
    told = msgspec.structs.replace(SETTINGS, players=2, league=asked)
    game = game_of(told)
    players, seating = League(tmp_path, told).seat(Random(), game, 600, np.random.default_rng(1))
    assert players[1:] == [game.opponents[name] for name in asked.guests]
    twice = ((seating == 1) | (seating == 3)).any(1).sum()
    assert 350 < twice < 450
    with pytest.raises(BadSetting, match="guests"):
        read(None, ["league.guests=[nobody]"])
