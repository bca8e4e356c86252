"""Which outcomes are sent, when, and under which id: until the platform has stored them."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hearthmind.journal import Journal
from hearthmind.unconfirmed import QUESTIONS_MIN, WAITS_LONGER_MAX, Unconfirmed

SUBJECT = "game.realm.outcome.p1"


def written_down(*decisions: str) -> Unconfirmed:
    unconfirmed = Unconfirmed("realm", Journal())
    for decision in decisions:
        unconfirmed.journal.add(decision, SUBJECT, b"{}")
    return unconfirmed


def test_each_try_has_an_id_of_its_own() -> None:
    unconfirmed = written_down("d1")
    tries = [unconfirmed.begin("d1", now_s, 1e9) for now_s in (0.0, 5.0, 10.0)]
    assert [each.message_id for each in tries if each] == [f"realm/p1/d1/outcome-{number}" for number in range(3)]
    assert tries[0] == (SUBJECT, b"{}", "realm/p1/d1/outcome-0")


def test_what_an_earlier_life_wrote_down_goes_on_from_the_time_of_day(tmp_path: Path) -> None:
    path = tmp_path / "realm.jsonl"
    Journal(path).add("d1", SUBJECT, b"{}")
    unconfirmed = Unconfirmed("realm", Journal(path))
    unconfirmed.journal.add("d2", SUBJECT, b"{}")
    tries = [unconfirmed.begin(decision, 0.0, 1_924_992_000.7) for decision in ("d1", "d2", "d1")]
    ids = [each.message_id.rpartition("-")[2] for each in tries if each]
    assert ids == ["1924992000", "0", "1924992001"]


def test_what_is_stored_is_neither_sent_nor_due() -> None:
    unconfirmed = written_down("d1", "d2")
    assert unconfirmed.stored(["d1", "d9", "d1"]) == 1
    assert unconfirmed.begin("d1", 0.0, 0.0) is None
    assert unconfirmed.due(100.0, 5.0, 10) == ["d2"]


def sent(unconfirmed: Unconfirmed, *decisions: str, now_s: float, is_on_stream: bool = True) -> None:
    for decision in decisions:
        unconfirmed.begin(decision, now_s, 0.0)
        unconfirmed.ended(decision, is_on_stream=is_on_stream)


def test_what_was_not_confirmed_in_a_while_is_due_and_not_too_much_at_once() -> None:
    unconfirmed = written_down("d1", "d2", "d3")
    assert unconfirmed.due(0.0, 5.0, 10) == ["d1", "d2", "d3"]
    sent(unconfirmed, "d1", now_s=0.0, is_on_stream=False)
    sent(unconfirmed, "d2", now_s=3.0, is_on_stream=False)
    assert unconfirmed.due(4.9, 5.0, 10) == ["d3"]
    assert unconfirmed.due(5.0, 5.0, 10) == ["d1", "d3"]
    assert unconfirmed.due(8.0, 5.0, 2) == ["d1", "d2"]


def test_what_is_under_way_is_not_due_however_long_it_takes() -> None:
    unconfirmed = written_down("d1")
    unconfirmed.begin("d1", 0.0, 0.0)
    assert unconfirmed.due(1000.0, 5.0, 10) == []
    unconfirmed.ended("d1", is_on_stream=False)
    assert unconfirmed.due(1000.0, 5.0, 10) == ["d1"]


def test_each_try_waits_longer_for_the_next_up_to_a_limit() -> None:
    unconfirmed, now_s, waits = written_down("d1"), 0.0, []
    for _ in range(6):
        sent(unconfirmed, "d1", now_s=now_s)
        waits.append(next(wait_s for wait_s in range(1000) if unconfirmed.due(now_s + wait_s, 5.0, 10)))
        now_s += waits[-1]
    assert waits == [5, 10, 20, 40, 40, 40]


def test_a_platform_that_stores_nothing_is_only_asked_a_few_at_a_time_and_of_each_in_turn() -> None:
    decisions = [f"d{number}" for number in range(100)]
    unconfirmed, asked = written_down(*decisions), list[str]()
    sent(unconfirmed, *decisions, now_s=0.0)
    for now_s in range(5, 25):
        due = unconfirmed.due(now_s, 5.0, 500)
        assert len(due) == QUESTIONS_MIN
        sent(unconfirmed, *due, now_s=now_s)
        asked += due
    assert asked == decisions


def test_a_platform_that_is_behind_is_not_sent_what_it_has() -> None:
    decisions = [f"d{number}" for number in range(100)]
    unconfirmed = written_down(*decisions)
    for number, decision in enumerate(decisions):
        sent(unconfirmed, decision, now_s=number / 10)
    for number in range(0, 90, 10):
        unconfirmed.stored(decisions[number : number + 10])
        assert len(unconfirmed.due(60.0 + number, 5.0, 500)) <= QUESTIONS_MIN


def test_what_was_passed_over_is_due() -> None:
    unconfirmed = written_down("d1", "d2", "d3", "d4")
    for now_s, decision in enumerate(("d1", "d2", "d3", "d4")):
        sent(unconfirmed, decision, now_s=3.0 * now_s)
    unconfirmed.stored(["d4"])
    assert set(unconfirmed.due(9.0, 5.0, 10)) == {"d1", "d2"}


def test_where_only_what_was_sent_again_is_stored_all_of_it_is_sent_again_soon() -> None:
    decisions = [f"d{number}" for number in range(2000)]
    unconfirmed, now_s = written_down(*decisions), 5.0
    sent(unconfirmed, *decisions, now_s=0.0)
    while len(unconfirmed.journal):
        due = unconfirmed.due(now_s, 5.0, 500)
        sent(unconfirmed, *due, now_s=now_s)
        unconfirmed.stored(due)
        now_s += 1.0
    assert now_s < 20.0


steps = st.lists(st.tuples(st.sampled_from(("write", "send", "store")), st.integers(0, 4), st.booleans()), max_size=30)


@given(steps)
def test_what_was_written_down_is_due_until_it_is_stored(steps: list[tuple[str, int, bool]]) -> None:
    unconfirmed, written, stored, used = written_down(), set[str](), set[str](), set[str]()
    for now_s, (what, number, is_on_stream) in enumerate(steps):
        decision = f"d{number}"
        if what == "write" and decision not in written:
            unconfirmed.journal.add(decision, SUBJECT, b"{}")
            written.add(decision)
        elif what == "send" and (sending := unconfirmed.begin(decision, now_s, 0.0)):
            assert sending.message_id not in used
            used.add(sending.message_id)
            unconfirmed.ended(decision, is_on_stream=is_on_stream)
        elif what == "store" and decision in written:
            unconfirmed.stored([decision])
            stored.add(decision)
        assert set(unconfirmed.due(now_s + 5.0 * WAITS_LONGER_MAX, 5.0, 10)) == written - stored
