"""What a player sees comes back from its tokens, whatever the suits are called."""

from __future__ import annotations

import re
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearthmind.errors import Refused

pytest.importorskip("numba", reason="the tables of hold'em need numba")

from services.selfplay.holdem import Game, Holdem
from services.selfplay.rules import (
    CALLED,
    CHECKED,
    FOLD,
    NOBODY,
    SEATS,
    Table,
    act,
    begin,
    raise_max,
    raise_min,
    records,
)
from services.selfplay.tables import Int8, Int16
from services.selfplay.tokens import (
    ACTION,
    BOARD,
    CALL,
    FOLDED,
    HEAD,
    HOLE,
    POT,
    STACK,
    VOCABULARY,
    Situation,
    Unreadable,
    history_max,
    read,
    tell,
    tokens_max,
    write,
)

from .playing import cards_of, random_play

PAGE = Path(__file__).parents[2] / "docs/explanation/poker-tokens.md"
SIZES = range(2, SEATS + 1)


def told(t: Table) -> list[int]:
    row: Int16 = np.full(tokens_max(t.players), -1, np.int16)
    length = tell(t, history_max(t.players), row)
    assert not row[length:].any()
    return [int(token) for token in row[:length]]


def near(read: float, true: float) -> bool:
    return 2 ** (-1 / 16) <= (1 + 4 * read) / (1 + 4 * min(true, 938)) <= 2 ** (1 / 16)


def same(situation: Situation, t: Table) -> bool:
    """Whether the situation is what the table's actor sees."""
    places = [(t.actor + after) % t.players for after in range(t.players)]
    live = [bool(t.live >> place & 1) for place in places]
    seen = (0, 3, 4, 5)[t.street]
    hole, board = t.cards[2 * t.actor : 2 * t.actor + 2], t.cards[2 * t.players : 2 * t.players + seen]
    return (
        (situation.players, situation.place, situation.street) == (t.players, t.actor, t.street)
        and same_but_for_suits([hole, board[:3], board[3:4], board[4:]], situation)
        and [stack is not None for stack in situation.stacks] == live
        and all(
            near(stack, t.stack[place] / t.big)
            for stack, place in zip(situation.stacks, places, strict=True)
            if stack is not None
        )
        and near(situation.pot, t.pot / t.big)
        and near(situation.to_call, min(t.top - t.bet[t.actor], t.stack[t.actor]) / t.big)
        and same_actions(situation, t)
    )


def same_actions(situation: Situation, t: Table) -> bool:
    """Whether the latest actions are told, with who did them, on their streets."""
    kept = max(0, t.remembered - history_max(t.players))
    wanted: list[list[tuple[int, str, bool]]] = [[] for _ in range(t.street + 1)]
    for at in range(kept, t.remembered):
        what = t.what[at]
        kind = "check" if what == CHECKED else "call" if what == CALLED else "raise"
        street = sum(at >= t.until[before] for before in range(t.street))
        wanted[street].append((int(t.who[at] - t.actor) % t.players, kind, kind == "raise" and what % 2 == 1))
    return wanted == [[(each.place, each.kind, each.all_in) for each in street] for street in situation.actions]


def same_but_for_suits(parts: list[Int8], situation: Situation) -> bool:
    theirs = [situation.hole, situation.board[:3], situation.board[3:4], situation.board[4:]]
    wanted = [sorted(part) for part in theirs]
    return any(
        [sorted(each >> 2 << 2 | suits[each & 3] for each in part.tolist()) for part in parts] == wanted
        for suits in permutations(range(4))
    )


@pytest.mark.parametrize("players", SIZES)
def test_tokens_tell_what_the_actor_sees(players: int) -> None:
    tables = Holdem(16, Game(players=players, ante=7, stack_min=150, stack_max=40_000), seed=1)
    streets = set()
    for seen, _ in random_play(tables, 120):
        assert seen.tokens.max() < VOCABULARY == tables.vocabulary
        for at, row in enumerate(seen.tokens):
            situation = read(row)
            assert same(situation, tables.records[at])
            assert write(situation) == [token for token in row if token]
            streets.add(situation.street)
    assert streets == {0, 1, 2, 3}


def test_actions_come_back_in_their_order() -> None:
    t = the_example()
    act(t, 325)  # calls
    act(t, 0)  # the turn
    act(t, t.bet[t.actor] + t.stack[t.actor])
    situation = read(told(t))
    assert [[(each.place, each.kind, each.all_in) for each in street] for street in situation.actions] == [
        [(1, "raise", False), (0, "call", False)],
        [(0, "check", False), (1, "raise", False), (0, "call", False)],
        [(0, "check", False), (1, "raise", True)],
    ]
    assert situation.stacks == (situation.stacks[0], 0.0, None)


@given(
    st.integers(2, SEATS), st.permutations(range(52)), st.permutations(range(4)), st.integers(0, 3), st.data()
)  # fmt: skip
def test_suits_by_another_name_are_the_same_tokens(
    players: int, deck: list[int], suits: list[int], street: int, data: st.DataObject
) -> None:
    told_of = []
    swap_hole, flop = data.draw(st.booleans()), data.draw(st.permutations(range(3)))
    for renamed in (False, True):
        t: Table = records(1)[0]
        t.players, t.small, t.big = players, 1, 2
        t.stack[:players] = 100
        cards = deck[: 2 * players + 5]
        if renamed:
            cards = [each >> 2 << 2 | suits[each & 3] for each in cards]
            board = cards[-5:]
            cards[-5:] = [*(board[at] for at in flop), *board[3:]]
            if swap_hole:
                cards[:-5] = [cards[at ^ 1] for at in range(2 * players)]
        t.cards[: len(cards)] = cards
        begin(t)
        while t.street < street:
            act(t, t.top)
        told_of.append(told(t))
    assert told_of[0] == told_of[1]


@pytest.mark.parametrize(
    "one, other",
    [
        ("Ah Kh", "Ah Kd"),
        ("Ah Kh 2h 3h 9c", "Ah Kh 2h 3d 9c"),
        ("Ah Kd 2h 3h 9c", "Ah Kd 2d 3d 9c"),
        ("Ah Ad 2h 3h 9c", "Ah Ad 2h 3d 9c"),
    ],
)
def test_suits_that_matter_are_told_apart(one: str, other: str) -> None:
    found = []
    for cards in (one, other):
        t: Table = records(1)[0]
        t.players, t.small, t.big = 2, 1, 2
        t.stack[:2] = 100
        numbers = cards_of(cards)
        t.cards[:2] = t.cards[2:4] = numbers[:2]
        t.cards[4 : 2 + len(numbers)] = numbers[2:]
        begin(t)
        if len(numbers) > 2:
            act(t, 2)
            act(t, 2)
        found.append(told(t))
    assert found[0] != found[1]


@pytest.mark.parametrize("players", SIZES)
def test_a_long_hand_is_told_without_its_oldest_actions(players: int) -> None:
    t: Table = records(1)[0]
    t.players, t.small, t.big = players, 1, 2
    t.stack[:players] = 100_000
    t.cards[: 2 * players + 5] = range(2 * players + 5)
    begin(t)
    acted = 0
    while t.actor != NOBODY and acted < 150:
        act(t, raise_min(t) if raise_max(t) and acted % 40 else t.top)
        acted += 1
        if t.actor == NOBODY:
            break
        tokens = told(t)
        situation = read(tokens)
        assert same(situation, t)
        assert len(tokens) <= tokens_max(players)
        assert sum(map(len, situation.actions)) == min(acted, history_max(players))
    assert acted > history_max(players)
    assert tokens_max(2) == 32


def the_example() -> Table:
    """The hand of the page."""
    t: Table = records(1)[0]
    t.players, t.small, t.big = 3, 50, 100
    t.stack[:3] = 10_000
    t.cards[:11] = cards_of("7c 2s Qh Jh As Ad Kd Jd 4h Ts 9c")
    begin(t)
    for to in (300, FOLD, 300, 0, 325):
        act(t, to)
    return t


def test_the_example_of_the_page_is_true() -> None:
    rows = re.findall(r"^\| (\d+) \| (?!\d)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(row) for row in rows] == told(the_example())


def test_the_numbers_of_the_page_are_true() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) \| ", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    begins = [0, HEAD, HOLE, BOARD, STACK, POT, CALL, ACTION, VOCABULARY]
    assert [(int(begin), int(end) + 1) for begin, end in rows] == list(pairwise(begins))
    assert FOLDED == POT - 1


@pytest.mark.parametrize(
    "tokens", [[], [0, 0], [HOLE], [HEAD, HOLE], [HEAD, HOLE, HOLE, STACK, STACK, POT, CALL, BOARD], [VOCABULARY]]
)
def test_what_is_no_situation_is_refused(tokens: list[int]) -> None:
    with pytest.raises(Unreadable):
        read(tokens)
    assert issubclass(Unreadable, Refused)
