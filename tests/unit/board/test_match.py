"""A match: legal to its end, the same again from its record, and silent about what a player may not know."""

from __future__ import annotations

from pathlib import Path
from random import Random

import msgspec
import pyspiel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from board.match import BrokenLog, Match, Record, replay
from board.rules import load

names = st.sampled_from(("tic_tac_toe", "connect_four", "kuhn_poker", "leduc_poker", "kuhn_poker(players=3)", "pig"))
seeds = st.integers(0, 2**32)


def played(name: str, seed: int, moves: int = 10_000) -> Match:
    match, dice = Match(load(name), Random(seed)), Random(seed + 1)
    while not match.is_over and sum(match.moves_of) < moves:
        match.move(dice.choice(list(match.words().values())))
    return match


def a_line(match: Match) -> bytes:
    state = match.state
    return msgspec.json.encode(Record(str(match.rules), 0, 0, ["a", "b"], state.history(), state.returns())) + b"\n"


@settings(deadline=None, max_examples=40)
@given(names, seeds)
def test_a_match_ends_and_its_result_adds_up(name: str, seed: int) -> None:
    match = played(name, seed)
    results = [match.result(player) for player in range(len(match.moves_of))]
    assert [result["returns"] for result in results] == match.state.returns()
    winners = [player for player, result in enumerate(results) if result["victory"]]
    assert winners == (match.unbeaten if len(match.unbeaten) < len(results) else [])


@settings(deadline=None, max_examples=40)
@given(names, seeds, st.integers(0, 30))
def test_moves_have_names_of_their_own_and_the_mover_sees_something(name: str, seed: int, moves: int) -> None:
    match = played(name, seed, moves)
    if not match.is_over:
        assert sorted(match.words().values()) == match.state.legal_actions()
        assert match.sees()
        assert match.result(0) == {}


@settings(deadline=None, max_examples=20)
@given(seeds)
def test_a_player_sees_the_same_whatever_the_other_holds(seed: int) -> None:
    match = played("leduc_poker", seed, moves=2)
    if not match.is_over:
        other = match.state.resample_from_infostate(match.player, Random(seed).random)
        seen, match.state = match.sees(), other
        assert match.sees() == seen


def test_a_board_is_seen_as_it_is_and_a_hand_without_the_other_one() -> None:
    assert Match(load("tic_tac_toe"), Random(1)).sees() == "...\n...\n..."
    card = Match(load("kuhn_poker"), Random(1)).sees()
    assert card in {"0", "1", "2"}


@settings(deadline=None, max_examples=20)
@given(names, seeds)
def test_a_record_is_played_again_to_the_same_end(
    tmp_path_factory: pytest.TempPathFactory, name: str, seed: int
) -> None:
    match = played(name, seed)
    log = tmp_path_factory.mktemp("board") / "matches.jsonl"
    log.write_bytes(a_line(match))
    ((record, state),) = replay(log)
    assert record.moves == state.history()
    assert str(state) == str(match.state)
    assert state.is_terminal()


def test_a_record_that_is_wrong_is_found(tmp_path: Path) -> None:
    match, log = played("tic_tac_toe", 1), tmp_path / "matches.jsonl"
    good = msgspec.json.decode(a_line(match), type=Record)
    for bad in (
        msgspec.structs.replace(good, returns=[9.0, -9.0]),
        msgspec.structs.replace(good, moves=good.moves[:-1]),
        msgspec.structs.replace(good, moves=[*good.moves[:2], good.moves[0]]),
    ):
        log.write_bytes(msgspec.json.encode(bad) + b"\n")
        with pytest.raises(BrokenLog, match="line 1 of"):
            list(replay(log))


def test_chance_is_a_matter_of_the_dice() -> None:
    deals = {Match(load("leduc_poker"), Random(seed)).sees() for seed in range(50)}
    assert len(deals) == pyspiel.load_game("leduc_poker").max_chance_outcomes()
    assert Match(load("leduc_poker"), Random(3)).sees() == Match(load("leduc_poker"), Random(3)).sees()
