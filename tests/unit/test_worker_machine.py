"""The core of the inference worker: the highest tier first, nothing starves, nothing runs twice, nothing is held in vain."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearthmind.contracts.inference import Infer
from hearthmind.flow import TIERS
from services.inference_worker.machine import AT_ONCE_MAX, Effect, Expire, Job, Late, Leave, Line, Share, Start
from services.inference_worker.speed import SEEN_MIN

RANK = {tier: rank for rank, tier in enumerate(TIERS)}


def job(name: str, tier: str = "routine", deadline_s: float = 100.0, received_s: float = 0.0, key: str = "") -> Job:
    infer = Infer(
        game="realm",
        npc="p1",
        decision=name,
        attempt=1,
        partition=0,
        tier=tier,
        priority=5,
        pool="rules",
        model="rules_scripted",
    )
    return Job(infer, deadline_s, received_s, name, key.encode())


def a_line(slots: int = 1, held_back: float = 0.0) -> Line:
    return Line(slots, prefetch=10, ageing_s=5, held_back=held_back)


def told(effects: list[Effect], kind: type[Effect] = Start) -> list[object]:
    return [effect.job.ticket for effect in effects if isinstance(effect, kind)]


def jobs(effects: list[Effect]) -> list[Job]:
    return [effect.job for effect in effects if isinstance(effect, Start)]


# ---- which is next ------------------------------------------------------------------------------------------------------


def test_the_highest_tier_starts_first() -> None:
    line = a_line()
    (running,) = jobs(line.arrived(job("first"), 0))
    for tier in reversed(TIERS):
        assert line.arrived(job(tier, tier), 0) == []
    for tier in TIERS:
        (running,) = jobs(line.finished(running, 0))
        assert running.ticket == tier


def test_waiting_makes_up_for_a_low_tier() -> None:
    line = a_line()
    (first,) = jobs(line.arrived(job("first"), 0))
    line.arrived(job("old", "routine", received_s=0), 0)
    line.arrived(job("young", "critical", received_s=16), 16)
    assert told(line.finished(first, 16)) == ["old"]


def test_a_critical_request_finds_room_however_much_else_there_is() -> None:
    line = a_line(slots=32, held_back=0.0625)
    for number in range(100):
        line.arrived(job(f"routine-{number}", "routine"), 0)
    assert line.running == 28
    assert told(line.arrived(job("urgent", "critical"), 0)) == ["urgent"]
    for number in range(10):
        line.arrived(job(f"strategic-{number}", "strategic"), 0)
    assert line.running == 31  # its own share and the strategic tier's, and one slot that is the critical tier's alone
    assert told(line.arrived(job("more", "critical"), 0)) == ["more"]
    assert told(line.arrived(job("too many", "critical"), 0)) == []


@pytest.mark.parametrize("slots", [1, 2, 15, 16, 256])
def test_every_tier_may_run(slots: int) -> None:
    line = a_line(slots, held_back=0.0625)
    limits = [line.limit(tier) for tier in TIERS]
    assert limits[0] == slots
    assert limits == sorted(limits, reverse=True)
    assert limits[-1] >= max(1, slots * 0.875 - 1)


def test_the_oldest_routine_request_runs_while_critical_ones_keep_coming() -> None:
    line = a_line(slots=2)
    running = [*jobs(line.arrived(job("c0", "critical"), 0)), *jobs(line.arrived(job("c1", "critical"), 0))]
    line.arrived(job("patient", "routine"), 0)
    for number in range(2, 60):
        now_s = number * 0.5
        line.arrived(job(f"c{number}", "critical", received_s=now_s), now_s)
        running += jobs(line.finished(running.pop(0), now_s))
        if "patient" in [each.ticket for each in running]:
            return
    pytest.fail("it starved")


# ---- what need not be started -------------------------------------------------------------------------------------------


def test_nothing_starts_after_its_deadline() -> None:
    line = a_line()
    (first,) = jobs(line.arrived(job("first"), 0))
    line.arrived(job("late", deadline_s=1), 0)
    line.arrived(job("good"), 0)
    effects = line.finished(first, 1)
    assert [type(effect) for effect in effects] == [Expire, Start]
    assert told(effects) == ["good"]


def test_what_waits_in_vain_goes_without_waiting_for_a_slot() -> None:
    line = a_line()
    line.arrived(job("first"), 0)
    line.arrived(job("short", deadline_s=2), 0)
    line.arrived(job("long"), 0)
    assert line.ticked(1.9) == []
    assert told(line.ticked(2), Expire) == ["short"]
    assert line.waiting == 1


def taught(took_s: float = 2.0) -> Line:
    """A line whose engine has taken so long for each of some requests."""
    line = a_line(slots=2)
    for number in range(SEEN_MIN):
        line.arrived(job(f"beside-{number}"), 0)
        (second,) = jobs(line.arrived(job(str(number)), 0))
        for running in list(line._runs.values()):
            if running.job is not second:
                line.found(running.job, 0)
        line.finished(second, took_s, 20, 20)
    return line


def test_what_can_t_be_finished_in_time_is_said_at_once() -> None:
    line = taught(took_s=2.0)
    line.arrived(job("beside"), 10)
    assert told(line.arrived(job("hopeless", deadline_s=10.5), 10), Late) == ["hopeless"]
    assert told(line.arrived(job("possible", deadline_s=30), 10)) == ["possible"]
    (effect,) = line.arrived(job("hopeless too", deadline_s=10.5), 10)
    assert isinstance(effect, Late), "before its turn comes"


def test_an_idle_engine_tries_anything_and_a_lesson_is_forgotten() -> None:
    line = taught(took_s=2.0)
    (first,) = jobs(line.arrived(job("hurried", deadline_s=10.5), 10))
    assert told(line.arrived(job("hopeless", deadline_s=10.5), 10), Late) == ["hopeless"]
    line.found(first, 10)
    line.arrived(job("beside", deadline_s=900), 100)
    assert told(line.arrived(job("hurried again", deadline_s=100.5), 100)) == ["hurried again"]


# ---- one answer for those who want the same -----------------------------------------------------------------------------


def test_equal_requests_are_generated_once() -> None:
    line = a_line(slots=4)
    (leader,) = jobs(line.arrived(job("a", key="k"), 0))
    for name in ("b", "c"):
        assert line.arrived(job(name, "critical", key="k"), 0) == []
    assert line.arrived(job("short", deadline_s=1, key="k"), 0) == []
    assert line.running == 1
    effects = line.finished(leader, 2)
    assert told(effects, Share) == ["b", "c"]
    assert told(effects, Expire) == ["short"]
    assert told(line.arrived(job("d", key="k"), 3)) == ["d"], "the machine remembers no answers"


def test_those_who_shared_with_one_that_failed_are_generated_themselves() -> None:
    line = a_line(slots=1)
    (leader,) = jobs(line.arrived(job("a", key="k"), 0))
    line.arrived(job("other"), 0)
    line.arrived(job("b", key="k"), 0)
    line.arrived(job("c", key="k"), 0)
    (second,) = jobs(line.failed(leader, 1))
    assert second.ticket == "b"
    (third,) = jobs(line.finished(second, 2))
    assert third.ticket == "c" or told(line.finished(third, 3)) == ["c"]


# ---- nobody waits any more ----------------------------------------------------------------------------------------------


def test_what_is_withdrawn_goes_wherever_it_is() -> None:
    line = a_line()
    (running,) = jobs(line.arrived(job("runs"), 0))
    line.arrived(job("waits"), 0)
    assert told(line.withdrawn(("realm", "p1", "waits"), 1, 0), Expire) == ["waits"]
    assert told(line.withdrawn(("realm", "p1", "runs"), 1, 0), Leave) == ["runs"]
    line.withdrawn(("realm", "p1", "comes later"), 1, 0)
    assert told(line.arrived(job("comes later"), 0), Expire) == ["comes later"]
    assert line.withdrawn(("chess", "p1", "runs"), 1, 0) == []
    line.failed(running, 1)
    assert line.running == 0


def test_an_answer_that_others_wait_for_is_not_given_up() -> None:
    line = a_line()
    (leader,) = jobs(line.arrived(job("a", key="k"), 0))
    line.arrived(job("b", key="k"), 0)
    assert line.withdrawn(("realm", "p1", "a"), 1, 0) == []
    assert told(line.finished(leader, 1), Share) == ["b"]


def test_a_later_attempt_is_not_withdrawn_with_an_earlier_one() -> None:
    line = a_line()
    line.withdrawn(("realm", "p1", "again"), 0, 0)
    assert told(line.arrived(job("again"), 0)) == ["again"]


# ---- how much is asked for ----------------------------------------------------------------------------------------------


def test_a_worker_without_room_asks_for_nothing_when_nothing_more_waits_on_the_bus() -> None:
    line = a_line(slots=2)
    assert [line.room(tier) for tier in TIERS] == [2] * 4
    line.arrived(job("a"), 0, behind=0)
    line.arrived(job("b"), 0, behind=0)
    assert all(line.room(tier) <= 0 for tier in TIERS)


def test_a_worker_with_a_backlog_on_the_bus_has_something_to_choose_from() -> None:
    line = a_line(slots=1)
    line.arrived(job("a"), 0, behind=40)
    assert [line.room(tier) for tier in TIERS] == [1] * 4
    line.arrived(job("b"), 0, behind=0)
    assert [line.room(tier) for tier in TIERS] == [1, 1, 1, 0], "what is more urgent must be here when a slot is free"


def test_the_quicker_the_engine_the_more_waits_here_and_never_more_than_may() -> None:
    rooms = []
    for took_s in (5.0, 0.5, 0.05, 0.0001):
        line = Line(slots=4, prefetch=24, ageing_s=5, ahead_s=0.25)
        (first,) = jobs(line.arrived(job("a"), 0, behind=100))
        line.finished(first, took_s, 1, 1)
        for number in range(4):
            line.arrived(job(str(number)), 1, behind=90)
        rooms.append(line.room("routine"))
    assert rooms == [1, 2, 20, 24]
    assert Line(slots=4096, prefetch=4096, ageing_s=5).room("routine") == AT_ONCE_MAX


# ---- the law ------------------------------------------------------------------------------------------------------------


@dataclass
class Trial:
    """A line, what came and how each ended."""

    line: Line
    now_s: float = 0.0
    came: int = 0
    running: list[Job] = field(default_factory=list)
    ended: Counter[object] = field(default_factory=Counter)

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Leave):
                self.running.remove(effect.job)
                self.take(self.line.failed(effect.job, self.now_s))
                continue
            self.ended[effect.job.ticket] += 1
            if isinstance(effect, Start):
                assert effect.job.deadline_s > self.now_s
                self.running.append(effect.job)
            if isinstance(effect, Share):
                assert effect.job.deadline_s > self.now_s
        self.check()

    def check(self) -> None:
        line = self.line
        assert line.running == len(self.running) <= line.slots
        keys = [each.key for each in self.running if each.key]
        assert len(keys) == len(set(keys))
        for tier in TIERS:
            below = [each for each in self.running if RANK[each.infer.tier] >= RANK[tier]]
            assert len(below) <= line.limit(tier)
        for tier, waiting in line._waiting.items():
            assert not waiting or line._free(tier) <= 0, "a slot is free for it"
            assert line.room(tier) <= max(0, line.prefetch - len(waiting))


steps = st.lists(
    st.tuples(
        st.sampled_from((*TIERS, *TIERS, "finish", "finish", "fail", "found", "withdraw", "tick")),
        st.floats(0, 20),
        st.floats(0, 3),
        st.sampled_from(("", "", "same", "other")),
        st.integers(0, 60),
    ),
    min_size=1,
    max_size=80,
)


@given(steps, st.integers(1, 8), st.sampled_from((0.0, 0.125, 0.25)))
def test_each_request_ends_once_and_never_too_many_run(
    steps: list[tuple[str, float, float, str, int]], slots: int, held_back: float
) -> None:
    trial = Trial(Line(slots, 100, 5, held_back))
    line = trial.line
    for what, within_s, passed_s, key, which in steps:
        trial.now_s += passed_s
        if what in TIERS:
            trial.came += 1
            arrived = job(str(trial.came), what, trial.now_s + within_s, trial.now_s, key)
            trial.take(line.arrived(arrived, trial.now_s, which))
        elif what == "withdraw":
            trial.take(line.withdrawn(("realm", "p1", str(which)), 1, trial.now_s))
        elif what == "tick":
            trial.take(line.ticked(trial.now_s))
        elif trial.running:
            ending = trial.running.pop(which % len(trial.running))
            end = {"finish": line.finished, "fail": line.failed, "found": line.found}[what]
            trial.take(end(ending, trial.now_s))
    while trial.running:
        trial.take(line.finished(trial.running.pop(), trial.now_s))
    trial.ended.update(left.ticket for left in line.hand_back())
    assert trial.ended == Counter(str(number) for number in range(1, trial.came + 1))
    assert line.waiting == line.running == 0
