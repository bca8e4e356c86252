"""The judge sees what is plain to see, and knows no more than the player who asks."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from board.judge import WORDS_MAX, Judge
from board.match import Match
from board.rules import load
from hearthmind import legal, scripted
from hearthmind.contracts.observation import Choice
from hearthmind.testing.observations import an_observation

seeds = st.integers(0, 2**32)


def after(name: str, *moves: str) -> Match:
    match = Match(load(name), Random(1))
    for move in moves:
        match.move(match.words()[move])
    return match


@pytest.mark.parametrize("seed", range(10))
def test_it_wins_where_it_can_and_blocks_where_it_must(seed: int) -> None:
    two_in_a_row = ("x(0,0)", "o(1,0)", "x(0,1)")
    blocks, wins = after("tic_tac_toe", *two_in_a_row), after("tic_tac_toe", *two_in_a_row, "o(2,2)")
    for match, best in ((blocks, "o(0,2)"), (wins, "x(0,2)")):
        to = Judge(match.rules).legal_move(match, Random(seed)).parameters["to"]
        assert isinstance(to, Choice)
        assert to.default == best


@settings(deadline=None, max_examples=10)
@given(seeds)
def test_it_does_not_look_into_the_other_hand(seed: int) -> None:
    rules = load("kuhn_poker")
    opinions = []
    for other in (0, 2):
        state = rules.new_initial_state()
        state.apply_action(1)
        state.apply_action(other)
        opinions.append(Judge(rules).opinions(state, Random(seed)))
    assert opinions[0] == opinions[1]


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(("tic_tac_toe", "connect_four", "kuhn_poker", "leduc_poker")), seeds)
def test_what_it_advises_is_legal_and_its_appeal_a_share(name: str, seed: int) -> None:
    match, dice = Match(load(name), Random(seed)), Random(seed)
    while not match.is_over:
        move = Judge(match.rules).legal_move(match, dice)
        assert 0 <= move.appeal <= 1
        observation = an_observation(legal_actions=(move,))
        answer = scripted.choose(observation)
        assert legal.problem(observation, answer.action, answer.arguments) is None
        match.move(match.words()[dice.choice([*match.words(), str(answer.arguments["to"])])])


def test_where_the_hidden_part_can_not_be_dealt_anew_it_has_no_opinion() -> None:
    match = Match(load("phantom_ttt"), Random(1))
    judge = Judge(match.rules)
    for _ in range(2):
        move = judge.legal_move(match, Random(1))
        assert move.parameters["to"] == Choice(enum=tuple(match.words()))
        assert move.appeal == 0


def test_a_choice_stays_within_what_a_message_may_hold() -> None:
    match = Match(load("phantom_go(board_size=19)"), Random(1))
    move = Judge(match.rules).legal_move(match, Random(1)).parameters["to"]
    assert isinstance(move, Choice)
    assert len(move.enum) == WORDS_MAX
