"""The core of the inference worker: the highest tier first, nothing starves, nothing runs twice."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hearthmind.contracts.inference import Infer
from hearthmind.flow import TIERS
from hearthmind.testing.observations import an_observation
from services.inference_worker.machine import Effect, Expire, Job, Line, Start

SEEN = an_observation()


def job(name: str, tier: str = "routine", deadline_s: float = 100.0, received_s: float = 0.0) -> Job:
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
        observation=SEEN,
    )
    return Job(infer, deadline_s, received_s, name)


def started(effects: list[Effect]) -> list[object]:
    return [effect.job.ticket for effect in effects if isinstance(effect, Start)]


def test_the_highest_tier_starts_first() -> None:
    line = Line(slots=1, prefetch=10, ageing_s=5)
    assert started(line.arrived(job("first"), 0)) == ["first"]
    for tier in reversed(TIERS):
        assert line.arrived(job(tier, tier), 0) == []
    assert [started(line.finished(0)) for _ in TIERS] == [[tier] for tier in TIERS]


def test_waiting_makes_up_for_a_low_tier() -> None:
    line = Line(slots=1, prefetch=10, ageing_s=5)
    line.arrived(job("first"), 0)
    line.arrived(job("old", "routine", received_s=0), 0)
    line.arrived(job("young", "critical", received_s=16), 16)
    assert started(line.finished(16)) == ["old"]


def test_nothing_starts_after_its_deadline() -> None:
    line = Line(slots=1, prefetch=10, ageing_s=5)
    line.arrived(job("first"), 0)
    line.arrived(job("late", deadline_s=1), 0)
    line.arrived(job("good"), 0)
    effects = line.finished(1)
    assert [type(effect) for effect in effects] == [Expire, Start]
    assert started(effects) == ["good"]


arrivals = st.lists(
    st.tuples(st.sampled_from((*TIERS, "finish")), st.floats(0, 20), st.floats(0, 3)), min_size=1, max_size=80
)


@given(arrivals, st.integers(1, 4))
def test_each_job_starts_or_expires_once_and_never_too_many_run(
    arrivals: list[tuple[str, float, float]], slots: int
) -> None:
    line, now_s, ended, came = Line(slots, 100, 5), 0.0, Counter[object](), 0
    for tier, within_s, passed_s in arrivals:
        now_s += passed_s
        if tier == "finish":
            effects = line.finished(now_s) if line.running else []
        else:
            came += 1
            effects = line.arrived(job(str(came), tier, now_s + within_s, now_s), now_s)
        ended.update(effect.job.ticket for effect in effects)
        assert all(effect.job.deadline_s > now_s for effect in effects if isinstance(effect, Start))
        assert line.running <= slots
    while line.running:
        ended.update(effect.job.ticket for effect in line.finished(now_s))
    ended.update(left.ticket for left in line.hand_back())
    assert ended == Counter(str(number) for number in range(1, came + 1))
