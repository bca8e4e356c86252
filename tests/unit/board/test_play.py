"""Tables played by minds: one outcome for each move, with the end of its match, also of one that was broken off."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from board.match import Record, replay
from board.play import Turn, play
from board.rules import TooFewPlayers
from board.table import Table

from ..minds import Mind, Told, anything

RULES = ("tic_tac_toe", "connect_four", "kuhn_poker(players=3)", "leduc_poker")
NPCS, TURNS = 8, 50


@dataclass
class Played:
    tables: list[Table]
    mind: Mind
    turns: list[Turn]
    records: list[Record]


async def a_play(folder: Path, rules: str, seed: int = 3) -> Played:
    mind, turns, log = Mind("board", anything(seed)), list[Turn](), folder / f"{seed}.jsonl"
    tables = await play(
        mind,
        npcs=NPCS,
        seed=seed,
        until=lambda: len(turns) >= TURNS,
        on_turn=turns.append,
        turn_s=0,
        log=log,
        rules=rules,
    )
    return Played(tables, mind, turns, [record for record, _ in replay(log)])


@pytest.fixture(scope="module", params=RULES)
async def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Played:
    return await a_play(tmp_path_factory.mktemp("board"), request.param)


def matches(played: Played) -> dict[str, list[Told]]:
    found = defaultdict(list)
    for told in played.mind.told:
        found[told.decision.observation.episode].append(told)
    return found


def test_every_move_is_told_of_exactly_once(played: Played) -> None:
    told = Counter(told.decision.id for told in played.mind.told)
    assert set(told.values()) == {1}
    assert told.keys() == {decision.id for decision in played.mind.asked}
    assert len(told) == TURNS * len(played.tables)


def test_all_moves_of_a_match_hear_the_same_end_and_each_player_their_own_return(played: Played) -> None:
    finished = [told for told in matches(played).values() if told[0].facts["finished"]]
    assert len(finished) == len(played.records) == played.turns[-1].matches
    for record in played.records:
        told = matches(played)[f"t{record.table:04}m{record.match:04}"]
        assert {one.facts["moves"] for one in told} == {len(told)}
        for one in told:
            brought = record.returns[record.players.index(one.decision.npc)]
            assert one.facts["returns"] == brought
            assert one.facts["victory"] == (brought == max(record.returns) > min(record.returns))
            assert one.success == (brought == max(record.returns))
            assert one.state_after["end"]


def test_a_match_that_is_broken_off_is_told_of_without_an_end(played: Played) -> None:
    broken_off = [told for told in played.mind.told if not told.facts["finished"]]
    assert {told.decision.npc[:5] for told in broken_off} == {
        table.npcs[0][:5] for table in played.tables if not table.match.is_over
    }
    for told in broken_off:
        assert not told.success
        assert set(told.facts) == {"finished", "moves"}
        assert told.state_after == {}


def test_snapshots_grow_over_a_tables_life(played: Played) -> None:
    for table in played.tables:
        snapshots = [d.observation.snapshot for d in played.mind.asked if d.npc in table.npcs]
        assert snapshots == list(range(TURNS))


def test_everybody_begins_in_turn(played: Played) -> None:
    players = len(played.tables[0].npcs)
    first = {record.players[0] for record in played.records if record.table == 0}
    assert len(first) == min(players, sum(record.table == 0 for record in played.records))
    for decision in played.mind.asked:
        state = msgspec.json.decode(decision.observation.state)
        assert state["player"] == state["to_move"] < state["players"] == players


async def test_the_same_seed_and_answers_are_the_same_matches(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    one, same, other = [
        (await a_play(folder, "leduc_poker", seed)).records
        for folder, seed in ((tmp_path, 5), (tmp_path / "again", 5), (tmp_path, 6))
    ]
    assert one == same != other


async def test_a_named_run_is_one_episode_and_those_without_a_table_watch() -> None:
    mind, turns = Mind("board", anything(1)), list[Turn]()
    tables = await play(
        mind, npcs=5, seed=1, until=lambda: len(turns) >= 12, on_turn=turns.append, turn_s=0, episode="evening"
    )
    assert len(tables) == 2
    assert {decision.observation.episode for decision in mind.asked} == {"evening"}


async def test_too_few_players_are_refused() -> None:
    with pytest.raises(TooFewPlayers, match="Ask for 3 or more"):
        await play(Mind("board", anything(1)), npcs=2, seed=1, until=lambda: True, rules="kuhn_poker(players=3)")


def test_turns_tell_how_it_went(played: Played) -> None:
    assert [turn.turn for turn in played.turns] == list(range(1, TURNS + 1))
    assert all(turn.actions == Counter(move=len(played.tables)) for turn in played.turns)
    assert played.turns[-1].lines[2:] == str(played.tables[0].match.state).splitlines()
