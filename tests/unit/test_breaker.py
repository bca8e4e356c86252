"""A pool that is silent is left alone, and comes back by and by."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.decision.breaker import PROBE_MAX_S, RAMP, Breaker


def silent(now_s: float = 3.0) -> Breaker:
    """A breaker of a pool that was asked at 0 and said nothing."""
    breaker = Breaker("nano", silent_s=3.0)
    breaker.asked(0.0)
    breaker.ticked(now_s)
    return breaker


def test_a_pool_that_is_not_asked_is_never_silent() -> None:
    breaker = Breaker("nano", silent_s=3.0)
    assert breaker.refuses(1_000.0) == ""
    assert breaker.wakes_s is None


def test_a_pool_is_silent_some_time_after_the_first_question_without_an_answer() -> None:
    breaker = Breaker("nano", silent_s=3.0)
    breaker.asked(10.0)
    breaker.asked(12.0)
    assert breaker.wakes_s == 13.0
    assert breaker.refuses(12.9) == ""
    assert "nano gave no usable answer for 3 s" in breaker.refuses(13.0)


def test_any_answer_begins_the_count_anew() -> None:
    breaker = Breaker("nano", silent_s=3.0)
    breaker.asked(0.0)
    breaker.answered(0.1)
    breaker.asked(3.0)
    assert breaker.refuses(5.9) == ""
    assert breaker.refuses(6.0) != ""


def test_who_is_behind_with_hearing_does_not_blame_the_pool() -> None:
    breaker = Breaker("nano", silent_s=3.0)
    breaker.asked(0.0)
    for now_s in range(1, 6):  # a crowd asked at 0, and what it said is heard by and by
        breaker.behind(now_s + now_s)
        assert breaker.refuses(now_s) == ""
    assert breaker.wakes_s == 6.5
    assert breaker.refuses(6.4) == ""
    assert breaker.refuses(6.5) != ""


def test_a_pool_owes_nothing_for_what_was_withdrawn() -> None:
    breaker = Breaker("nano", silent_s=3.0)
    breaker.asked(0.0)
    breaker.asked(1.0)
    breaker.over(withdrawn=True)
    assert breaker.wakes_s == 3.0
    breaker.over(withdrawn=True)
    assert breaker.wakes_s is None
    breaker.asked(600.0)
    assert breaker.refuses(602.9) == ""


def test_a_slow_pool_is_given_more_time() -> None:
    breaker = Breaker("large", silent_s=3.0)
    breaker.asked(0.0)
    breaker.answered(2.5)
    breaker.asked(3.0)
    assert breaker.refuses(10.4) == ""
    assert breaker.refuses(10.5) != ""


def test_there_is_one_probe_at_a_time() -> None:
    breaker = silent()
    assert breaker.probes("p1", 5.0, 3.0)
    assert not breaker.probes("p2", 5.0, 3.1)
    assert breaker.probe == "p1"
    breaker.probe_failed(4.0)
    assert not breaker.probes("p3", 9.0, 4.1)
    assert breaker.probes("p3", 9.0, 4.6)
    assert breaker.probes("p4", 900.0, 9.0), "a probe that is lost is over at its deadline"
    assert breaker.probes("p5", 900.0, 9.0 + PROBE_MAX_S)


def test_it_comes_back_by_and_by() -> None:
    breaker = silent()
    breaker.probes("p1", 5.0, 3.0)
    breaker.answered(0.1)
    asked, under_way = [], 1
    for round_trip in range(7):
        now_s = 3.2 + round_trip / 10
        new = 0
        while not breaker.refuses(now_s) and new < 1_000:
            breaker.asked(now_s)
            new += 1
        asked.append(new)
        for _ in range(new):
            breaker.answered(0.1)
        under_way = new
    assert under_way
    assert asked[:5] == [2, 4, 8, 16, 32]
    assert asked[-1] == 1_000


def test_it_falls_silent_again_where_the_answers_stop() -> None:
    breaker = silent()
    breaker.probes("p1", 5.0, 3.0)
    breaker.answered(0.1)
    breaker.asked(3.2)
    breaker.asked(3.2)
    assert "is coming back" in breaker.refuses(3.3)
    assert "gave no usable answer" in breaker.refuses(6.2)


@given(st.lists(st.tuples(st.sampled_from(("ask", "answer", "wait", "probe", "fail")), st.floats(0, 2)), max_size=200))
def test_a_pool_that_answers_is_asked_again_in_the_end(steps: list[tuple[str, float]]) -> None:
    breaker, now_s = Breaker("nano", silent_s=3.0), 0.0
    for what, after_s in steps:
        now_s += after_s
        if what == "ask" and not breaker.refuses(now_s):
            breaker.asked(now_s)
        elif what == "answer":
            breaker.answered(0.1)
        elif what == "probe":
            breaker.probes("p6", now_s + 1, now_s)
        elif what == "fail":
            breaker.probe_failed(now_s)
        breaker.ticked(now_s)
    for _ in range(4 * RAMP):
        now_s += PROBE_MAX_S
        if breaker.refuses(now_s):
            if not breaker.probes("p6", now_s + 1, now_s):
                continue
        else:
            breaker.asked(now_s)
        breaker.answered(0.1)
    assert breaker.refuses(now_s) == ""
