"""What an experience was worth later: every part against arithmetic by hand, and the same in whatever order it is told."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearthmind.store.rows import Blow, Moment, Score
from services.reward.lookback import RATING_MAX, Bounds, Lives, LongTerm, look_back

BOUNDS = Bounds(horizon=24, steps_max=3, discount=0.5)


def a_moment(npc: str = "p1", at: float = 0, rank: float | None = None, **more: Any) -> Moment:
    decision = more.pop("decision", f"{npc}-{at}")
    return Moment(
        npc, decision, more.pop("happened_s", at), at, *_deed(**more), rank=rank, reward=more.get("reward", 0.0)
    )


def _deed(kind: str = "combat", action: str = "raid", **_: Any) -> tuple[str, str]:
    return kind, action


def looked(
    moment: Moment, *others: Moment, blows: tuple[Blow, ...] = (), scores: tuple[Score, ...] = (), **more: Any
) -> LongTerm:
    lives = Lives((moment, *others), more.get("controls", ()))
    return look_back(moment, lives, blows, scores, BOUNDS, more.get("lived_to", 1_000))


def a_blow(by: str = "p2", at: float = 3, reward: float = 0.4, answered: int = 1) -> Blow:
    return Blow("p1-0", by, at, reward, answered)


RANKS: list[tuple[float | None, list[tuple[float, float | None]], float | None]] = [
    (50, [(24, 30)], 0.2),
    (30, [(24, 50)], -0.2),
    (50, [(24, 50)], 0.0),
    (500, [(24, 1)], 1.0),
    (1, [(24, 500)], -1.0),
    (50, [(3, 40), (20, 30)], 0.2),
    (50, [(3, 40), (20, None)], 0.1),
    (50, [(3, 40), (24.5, 1)], 0.1),
    (50, [(25, 1)], None),
    (50, [], None),
    (None, [(24, 1)], None),
]


@pytest.mark.parametrize(("before", "later", "reward"), RANKS)
def test_rank_gained_at_the_fixed_age(
    before: float | None, later: list[tuple[float, float | None]], reward: float | None
) -> None:
    worth = looked(a_moment(rank=before), *(a_moment(at=at, rank=rank) for at, rank in later))
    assert worth.reward == pytest.approx(reward) if reward is not None else worth.reward is None


def test_before_the_episode_is_of_that_age_nothing_is_said_of_rank() -> None:
    assert looked(a_moment(rank=50), a_moment(at=20, rank=30), lived_to=23.9).reward is None
    assert looked(a_moment(rank=50), a_moment(at=20, rank=30), lived_to=24).reward == pytest.approx(0.2)


BLOWS: list[tuple[tuple[Blow, ...], float | None]] = [
    ((), None),
    ((a_blow(),), -0.4),
    ((a_blow(), a_blow("p3", reward=0.3)), -0.7),
    ((a_blow(reward=-0.5),), 0.0),
    ((a_blow(answered=2),), -0.2),
    ((a_blow(at=24),), -0.4),
    ((a_blow(at=24.1),), None),
    ((a_blow("p1"),), None),
    (tuple(a_blow(f"p{number}", reward=1.0) for number in range(2, 9)), -1.0),
]


@pytest.mark.parametrize(("blows", "reward"), BLOWS)
def test_who_strikes_back_takes_from_the_attack_that_provoked_it(blows: tuple[Blow, ...], reward: float | None) -> None:
    worth = looked(a_moment(), blows=blows)
    assert worth.reward == pytest.approx(reward) if reward is not None else worth.reward is None


def test_an_attack_that_brings_retaliation_is_worth_less_than_it_looked() -> None:
    gained = looked(a_moment(rank=50), a_moment(at=24, rank=30))
    struck = looked(a_moment(rank=50), a_moment(at=24, rank=30), blows=(a_blow(),))
    assert gained.reward == pytest.approx(0.2)
    assert struck.reward == pytest.approx(-0.2)
    assert struck.parts == pytest.approx({"rank": 0.2, "retaliation": -0.4})


def test_a_rater_has_one_voice_and_one_alone_moves_little() -> None:
    one = looked(a_moment(), scores=(Score("p1-0", "ann", 1.0),))
    loud = looked(a_moment(), scores=tuple(Score("p1-0", "ann", 1.0) for _ in range(50)))
    many = looked(a_moment(), scores=tuple(Score("p1-0", f"r{number}", 1.0) for number in range(99)))
    assert one.reward == loud.reward == pytest.approx(RATING_MAX / 2)
    assert many.reward == pytest.approx(RATING_MAX * 0.99)


@given(st.lists(st.floats(-1, 1), max_size=30), st.floats(-1, 1), st.floats(-1, 1))
def test_no_rater_moves_more_than_its_share(said: list[float], word: float, other: float) -> None:
    scores = tuple(Score("p1-0", f"r{number}", score) for number, score in enumerate(said))
    first = looked(a_moment(), scores=(*scores, Score("p1-0", "ann", word))).parts["rating"]
    second = looked(a_moment(), scores=(*scores, Score("p1-0", "ann", other))).parts["rating"]
    assert abs(first - second) <= 2 * RATING_MAX / (len(said) + 2) + 1e-9


def test_it_is_compared_with_those_who_did_not_do_it() -> None:
    mine = (a_moment(rank=50), a_moment(at=24, rank=30))
    idle = (a_moment("p2", rank=20, action="wait"), a_moment("p2", 23, rank=10, action="wait"))
    busy = (a_moment("p3", 5, rank=80), a_moment("p3", 20, rank=10))
    early = [a_moment("p4", at, rank=rank, action="wait") for at, rank in ((-2, 10), (1, 40), (10, 44), (25, 1))]
    silent = (a_moment("p5", 2, action="wait"),)
    worth = looked(*mine, *idle, *busy, *early, *silent, controls=("p1", "p2", "p3", "p4", "p5", "p6"))
    assert worth.reward == pytest.approx(0.2)
    assert worth.parts == pytest.approx({"rank": 0.2, "control": 0.03, "advantage": 0.17, "controls": 2})


def test_a_return_adds_up_the_next_steps_of_an_episode() -> None:
    rewards = {0: 0.5, 3: 0.4, 5: -0.2, 9: 1.0}
    life = [a_moment(at=at, reward=reward) for at, reward in rewards.items()]
    assert looked(*life).n_step_return == pytest.approx(0.5 + 0.5 * 0.4 - 0.25 * 0.2)
    assert looked(life[2], *life).n_step_return == pytest.approx(-0.2 + 0.5)
    assert looked(life[3], *life).n_step_return == pytest.approx(1.0)
    assert looked(life[0], a_moment(at=24.5, reward=1.0), a_moment("p2", 1, reward=1.0)).n_step_return == 0.5


_moments = st.lists(
    st.builds(
        a_moment,
        npc=st.sampled_from(["p1", "p2", "p3"]),
        at=st.integers(0, 60),
        rank=st.none() | st.integers(1, 300),
        decision=st.uuids().map(str),
        action=st.sampled_from(["raid", "wait"]),
        reward=st.floats(-1, 1),
        happened_s=st.integers(0, 100),
    ),
    min_size=1,
    max_size=25,
)
_blows = st.lists(st.builds(a_blow, by=st.sampled_from(["p1", "p2"]), at=st.integers(0, 60), reward=st.floats(-1, 1)))
_scores = st.lists(st.builds(Score, st.just("x"), st.sampled_from(["ann", "bob"]), st.floats(-1, 1)))


@given(_moments, _blows, _scores, st.randoms(use_true_random=False))
def test_it_is_the_same_in_whatever_order_and_however_often_it_is_told(
    moments: list[Moment], blows: list[Blow], scores: list[Score], chance: random.Random
) -> None:
    def all_of(told: list[Moment], blows: list[Blow], scores: list[Score]) -> dict[str, LongTerm]:
        lives = Lives(told, ("p2", "p1", "p3"))
        return {one.decision: look_back(one, lives, blows, scores, BOUNDS, 60) for one in told}

    first = all_of(moments, blows, scores)
    again = [*moments, *chance.choices(moments, k=5)]
    for things in (again, blows, scores):
        chance.shuffle(things)
    assert all_of(again, blows, scores) == first
    for worth in first.values():
        assert worth.reward is None or -1 <= worth.reward <= 1
