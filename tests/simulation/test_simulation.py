"""The simulator finds what it should, tells it in few lines, and tells the same again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .breaks import BREAKS, parts_of
from .drawing import draw
from .life import live
from .lives import first_broken, report
from .plan import FAMILIES
from .shrink import shrink

ROOT = Path(__file__).parents[2]


def simulate(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("broken", BREAKS)
def test_a_safeguard_that_is_taken_away_is_missed_within_1000_seeds(broken: str) -> None:
    parts, laws = BREAKS[broken]
    ended = first_broken(range(1000), broken)
    assert ended
    assert ended.broken
    assert ended.broken.law in laws
    small = shrink(ended.plan, parts)
    again = live(small, parts).broken
    assert again
    assert again.law == ended.broken.law
    assert len(small.asks) + len(small.faults) <= 6
    assert live(small).broken is None, "the real parts keep the law in the same life"


def test_a_plan_is_made_as_small_as_it_gets() -> None:
    ended = first_broken(range(1000), "attempt")
    assert ended
    small = shrink(ended.plan, parts_of("attempt"))
    assert shrink(small, parts_of("attempt")) == small
    assert f"--seed {ended.plan.seed} --break attempt" in report(ended, "attempt")


def test_the_same_seed_has_the_same_story_in_every_process() -> None:
    here = [live(draw(seed)).story.digest() for seed in range(100)]
    assert len(set(here)) == 100, "other seeds have other stories"
    for hash_seed in ("1", "2"):
        assert simulate("--seeds", "0-99", "--digest", hash_seed=hash_seed).stdout.split() == here


def test_one_line_replays_a_life() -> None:
    told = simulate("--seed", "5", "--break", "inbox")
    assert told.returncode == 1, told.stderr
    assert "replay: ./just simulate --seed 5 --break inbox" in told.stdout
    assert "is an experience for a second time" in told.stdout.splitlines()[-1]
    lawful = simulate("--seed", "5")
    assert lawful.returncode == 0
    assert "seed 5 keeps all laws" in lawful.stdout


def test_many_seeds_are_told_as_they_go() -> None:
    told = simulate("--seeds", "0-99", "--break", "confirm", "--faults", "delay,crash")
    assert told.returncode == 1, told.stderr
    assert "100 of 100 seeds" in told.stdout
    assert "--break confirm --faults delay,crash" in told.stdout
    assert simulate("--seeds", "0-99", "--faults", "engine").returncode == 0


def test_what_makes_no_sense_is_named() -> None:
    assert "is no range of seeds" in simulate("--seeds", "few").stderr
    assert "there are no faults named rain" in simulate("--seed", "1", "--faults", "rain").stdout


VISITED = (
    "acts for d1: raid by fallback no engine answered in time",
    "the answer can't be read",
    "the engine failed",
    "no engine could be asked",
    "decisions wait for an engine already",
    "the pool is silent",
    "drops number 1 of OBSERVATION: it came after its deadline",
    "a newer observation replaced it",
    "asks an engine, question 3",
    "has lost partition",
    "by client the platform did not answer in time",
    "by client the platform answered too late",
    "by client no acknowledgement came in time",
    "by client the platform's action is not legal",
    "sends d0 again",
    "commits, and the connection breaks",
    "is killed",
    "stands still",
    "is cut off",
    "network      loses",
    "network      doubles",
    "network      holds up",
)


def test_the_lives_visit_what_they_are_for() -> None:
    told = "\n".join(str(live(draw(seed)).story) for seed in range(300))
    assert [words for words in VISITED if words not in told] == []


@pytest.mark.parametrize("family", FAMILIES)
def test_each_kind_of_fault_can_be_had_alone(family: str) -> None:
    plans = [draw(seed, (family,)) for seed in range(20)]
    assert any(plan.faults for plan in plans)
    assert all(live(plan).broken is None for plan in plans)
