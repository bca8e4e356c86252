"""What a batch comes to: each id once, repetitions silent, contradictions refused."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from hearthmind import ids
from hearthmind.bus.settle import Attempt
from hearthmind.store.rows import DecisionRow, OutcomeRow, RatingRow
from services.reward.batch import Plan, plan
from services.reward.reading import ACTION, DETAIL, OUTCOME, RATING, Incoming
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
    at = NOW if part == ACTION else None
    row = DecisionRow("realm", decision, npc, "combat", "main", None, decided_at=at, action=action, tier=tier)
    return Incoming(Came(), part, ids.message_id("realm", npc, decision, part), row)


def happened(decision: str = "d1", npc: str = "p1", digest: bytes = b"1", game: str = "realm") -> Incoming:
    row = OutcomeRow(
        *(game, decision, NOW, npc, "combat", "main", "raid", "{}", "platform", "", True, "{}", b"key", 0, None, "[]"),
        *(None, None, None, None, digest, 1, None),
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
        assert made.acted({("realm", "d1")}) == [action.row]
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


def test_ratings_and_violations_are_written_as_often_as_they_are_said() -> None:
    rated = Incoming(Came(), RATING, "r", RatingRow("realm", "d1", "reply", "ann", "p1", 1.0, NOW))
    made = plan([rated, rated], set(), {})
    assert made.ratings == [rated.row] * 2
    assert not made.fresh


def test_confirmations_name_each_decision_once_by_game_and_stay_small() -> None:
    batch = [happened(f"d{number}") for number in range(STORED_MAX + 1)]
    told = confirmations([*batch, batch[0], happened(game="other"), decided(ACTION)])
    assert [(each.game, len(each.decisions)) for each in told] == [("realm", STORED_MAX), ("realm", 1), ("other", 1)]


def test_confirmations_say_what_was_worth_how_much_as_far_as_that_is_known() -> None:
    told = confirmations([happened("d1"), happened("d2")], {("realm", "d2"): 0.5, ("other", "d1"): 9.0})
    assert [(each.game, each.decisions, each.rewards) for each in told] == [
        ("realm", ("d1", "d2"), {"d2": 0.5}),
        ("other", ("d1",), {"d1": 9.0}),
    ]
