"""What a batch comes to: each id once, repetitions silent, contradictions refused."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from hearthmind import ids
from hearthmind.bus.settle import Attempt
from hearthmind.store.rows import DecisionRow, Joined, OutcomeRow
from services.reward.batch import Plan, plan, reward_row, tallies
from services.reward.reading import ACTION, DETAIL, OUTCOME, Incoming
from services.reward.transaction import STORED_MAX, confirmations

NOW = datetime(2031, 1, 1, tzinfo=UTC)


class Came(msgspec.Struct):
    subject: str = "s"
    data: bytes = b"{}"
    headers: dict[str, str] = {}
    stream: str = "EXPERIENCE"
    sequence: int = 1
    stored_s: float = 0.0
    attempt: Attempt = Attempt(1, 10)


def decided(part: str, npc: str = "p1", action: str | None = None, tier: str | None = None) -> Incoming:
    decision = "d1"
    row = DecisionRow("realm", decision, npc, "combat", "main", None, action=action, tier=tier)
    return Incoming(Came(), part, ids.message_id("realm", npc, decision, part), row)


def happened(decision: str = "d1", npc: str = "p1", digest: bytes = b"1", game: str = "realm") -> Incoming:
    row = OutcomeRow(
        game,
        NOW,
        decision,
        npc,
        "combat",
        "main",
        "raid",
        "{}",
        "platform",
        "",
        True,
        "{}",
        "{}",
        0,
        None,
        digest,
        1,
        None,
    )
    return Incoming(Came(), OUTCOME, ids.message_id(game, npc, decision, OUTCOME), row)


def ids_of(*batch: Incoming) -> set[str]:
    return {each.message_id for each in batch}


def test_halves_of_a_decision_become_one_row_in_either_order() -> None:
    action, detail = decided(ACTION, action="raid"), decided(DETAIL, tier="critical")
    for batch in ([action, detail], [detail, action]):
        made = plan(batch, ids_of(*batch), {})
        (row,) = made.decisions.values()
        assert (row.action, row.tier) == ("raid", "critical")
        assert made.acted({("realm", "d1")}) == [("realm", "p1")]
        assert not made.letters


def test_what_was_claimed_before_is_a_repetition() -> None:
    batch = [decided(ACTION), happened()]
    made = plan(batch, set(), {batch[1].message_id: b"1"})
    assert made == Plan()


def test_the_same_outcome_twice_in_a_batch_is_one() -> None:
    made = plan([happened(), happened()], ids_of(happened()), {})
    assert len(made.outcomes) == len(made.fresh) == 1
    assert not made.letters


def test_another_outcome_of_the_same_decision_is_refused() -> None:
    first, second = happened(), happened(digest=b"2")
    in_one_batch = plan([first, second], ids_of(first), {})
    later = plan([second], set(), {first.message_id: b"1"})
    assert in_one_batch.outcomes == [first.row]
    assert not later.outcomes
    for made in (in_one_batch, later):
        assert "has an outcome already" in made.letters[0].reason


def test_a_repetition_without_its_record_is_no_contradiction() -> None:
    assert not plan([happened(digest=b"2")], set(), {}).letters


def test_a_decision_belongs_to_one_npc() -> None:
    mine, theirs = decided(ACTION, action="raid"), decided(ACTION, npc="p2", action="wait")
    made = plan([mine, theirs], ids_of(mine, theirs), {})
    assert [row.npc for row in made.decisions.values()] == ["p1"]
    assert ["belongs to another NPC" in letter.reason for letter in made.letters] == [True]
    made.refuse_taken(written=set())
    assert len(made.letters) == 2
    assert made.acted(written=set()) == []


def test_counters_grow_by_npc_and_the_last_rank_stays() -> None:
    joined = [
        Joined("realm", NOW, "d1", "p1", "combat", {"victory": True, "rank": 9}),
        Joined("realm", NOW, "d2", "p1", "combat", {"victory": False, "rank": 8}),
        Joined("realm", NOW, "d3", "p1", "combat", {"rank": 10**300}),
        Joined("realm", NOW, "d4", "p2", "chat", {"rank": True}),
    ]
    rewards = [reward_row(each) for each in joined]
    grown = tallies([("realm", "p1"), ("realm", "p3")], joined, rewards)
    assert sorted(grown) == [
        ("realm", "p1", 1, 3, 0.0, 8),
        ("realm", "p2", 0, 1, 0.0, None),
        ("realm", "p3", 1, 0, 0.0, None),
    ]


def test_confirmations_name_each_decision_once_by_game_and_stay_small() -> None:
    batch = [happened(f"d{number}") for number in range(STORED_MAX + 1)]
    told = confirmations([*batch, batch[0], happened(game="other"), decided(ACTION)])
    assert [(each.game, len(each.decisions)) for each in told] == [("realm", STORED_MAX), ("realm", 1), ("other", 1)]
