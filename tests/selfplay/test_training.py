"""A run of training: it learns, and one that was killed and resumed comes to the same numbers."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="self-play needs torch")
pytest.importorskip("pyspiel", reason="the small games are OpenSpiel's")

from services.selfplay import checkpoint  # noqa: E402
from services.selfplay.losses import Weights  # noqa: E402
from services.selfplay.ppo import NothingToResume, OtherSettings, Progress, begin, train  # noqa: E402
from services.selfplay.settings import BadSetting, Evaluation, LeagueSettings, Settings, read  # noqa: E402
from services.selfplay.yardsticks import best_response  # noqa: E402

KUHN = Settings(
    game="kuhn", preset="tiny", actor="fp32", mixed_precision=False, tables=256, steps=16, batch=4096, epochs=2,
    learning_rate=0.002, games=20_000, threads=1, weights=Weights(entropy=0.01, magnet=0.1), magnet_every=5, average=0.9,
    league=LeagueSettings(selves=0.2, scripted=0.1, every=3), evaluation=Evaluation(every=10**6), checkpoint_every=4,
)  # fmt: skip
CONFIGS = Path(__file__).parents[2] / "services" / "selfplay" / "configs"


def weights(path: Path) -> dict[str, Any]:
    return {name: value.numpy() for name, value in checkpoint.load(path)[0].state_dict().items()}


def same(one: Path, other: Path) -> bool:
    left, right = weights(one), weights(other)
    return all(np.array_equal(left[name], right[name]) for name in left)


def test_it_learns_kuhn(tmp_path: Path) -> None:
    seen: list[Progress] = []
    settings = msgspec.structs.replace(
        KUHN, games=60_000, weights=Weights(entropy=0.05), average=0.0, evaluation=Evaluation(every=1000)
    )
    path = train(settings, tmp_path, watch=seen.append)
    assert path.name == checkpoint.FINAL
    assert seen[-1].measured["exploitability"] < 0.4  # of 0.458 at random
    assert seen[-1].share == 1
    assert checkpoint.load(path)[1].games == seen[-1].games >= 60_000


def test_stopped_and_resumed_it_comes_to_the_same_numbers(tmp_path: Path) -> None:
    straight = train(KUHN, tmp_path / "straight")
    seen: list[Progress] = []
    train(KUHN, tmp_path / "halted", watch=seen.append, is_stopped=lambda: len(seen) == 5)
    assert len(seen) == 5
    resumed = train(KUHN, tmp_path / "halted", resume=True)
    assert same(straight, resumed)


def train_until_killed(folder: Path, iterations: int) -> None:
    def tell(progress: Progress) -> None:
        if progress.iteration == iterations:
            os.kill(os.getpid(), signal.SIGKILL)

    train(KUHN, folder, watch=tell)


def test_killed_and_resumed_it_comes_to_the_same_numbers(tmp_path: Path) -> None:
    straight = train(KUHN, tmp_path / "straight")
    victim = multiprocessing.get_context("spawn").Process(target=train_until_killed, args=(tmp_path / "killed", 6))
    victim.start()
    victim.join()
    assert victim.exitcode == -signal.SIGKILL
    assert [path.name for path in checkpoint.checkpoints(tmp_path / "killed")] == ["checkpoint_step_4.safetensors"]
    resumed = train(KUHN, tmp_path / "killed", resume=True)
    assert same(straight, resumed)


def test_a_number_of_checkpoints_is_kept(tmp_path: Path) -> None:
    train(msgspec.structs.replace(KUHN, checkpoint_every=1, checkpoints_kept=2, games=10_000), tmp_path)
    assert len(checkpoint.checkpoints(tmp_path)) == 2


def test_there_must_be_something_to_resume_with_the_same_settings(tmp_path: Path) -> None:
    with pytest.raises(NothingToResume):
        train(KUHN, tmp_path, resume=True)
    train(msgspec.structs.replace(KUHN, games=1), tmp_path)
    with pytest.raises(OtherSettings, match="learning_rate was"):
        train(msgspec.structs.replace(KUHN, learning_rate=1.0), tmp_path, resume=True)


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    path = train(msgspec.structs.replace(KUHN, games=1), tmp_path)
    network, card = checkpoint.load(path)
    broken = network.state_dict()
    broken["policy.bias"][0] = float("nan")
    checkpoint.save(tmp_path / "broken.safetensors", broken, card)
    with pytest.raises(checkpoint.BadCheckpoint, match="finite"):
        checkpoint.load(tmp_path / "broken.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(path.read_bytes()[:1000])
    with pytest.raises(checkpoint.BadCheckpoint):
        checkpoint.load(tmp_path / "torn.safetensors")


@pytest.mark.parametrize("config", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_of_settings_can_be_read_and_changed(config: Path) -> None:
    read(config)
    changed = read(config, ["weights.entropy=0.5", "league.every=7", "games=12"])
    assert (changed.weights.entropy, changed.league.every, changed.games) == (0.5, 7, 12)


@pytest.mark.parametrize("change", ["no_such=1", "games=many", "games", "games.more=1", "league=3"])
def test_a_setting_that_makes_no_sense_is_refused(change: str) -> None:
    with pytest.raises(BadSetting):
        read(CONFIGS / "kuhn.yaml", [change])


def test_a_larger_table_begins_with_what_a_smaller_one_has_learned(tmp_path: Path) -> None:
    two = msgspec.structs.replace(KUHN, game="holdem", tables=4)
    learner = begin(two, tmp_path)
    path = tmp_path / checkpoint.FINAL
    checkpoint.save(path, learner.network.state_dict(), checkpoint.Card(learner.network.shape, two))
    six = begin(msgspec.structs.replace(two, players=6, seed=99, begin_with=str(path)), tmp_path)
    before, after = learner.network.state_dict(), six.network.state_dict()
    assert {name for name in before if before[name].shape != after[name].shape} == {"place", "role"}
    for name, weight in before.items():
        assert torch.equal(after[name][: len(weight)], weight)


@pytest.mark.parametrize("sees_all", [False, True])
def test_what_is_hidden_explains_more_of_a_hand(sees_all: bool, tmp_path: Path) -> None:
    seen: list[Progress] = []
    settings = msgspec.structs.replace(
        KUHN, game="leduc", sees_all=sees_all, games=100_000, weights=Weights(entropy=0.1), league=LeagueSettings(0, 0)
    )
    path = train(settings, tmp_path, watch=seen.append)
    assert checkpoint.load(path)[0].worth.out_features == 1 + sees_all
    explained = np.mean([each.losses["explained"] for each in seen[len(seen) // 2 :]])
    assert (explained > 0.35) == sees_all


def test_one_that_was_judged_without_it_is_learned_from_on(tmp_path: Path) -> None:
    blind = msgspec.structs.replace(KUHN, sees_all=False, games=1)
    path = train(blind, tmp_path / "blind")
    onward = msgspec.structs.replace(KUHN, begin_with=str(path), games=1, learning_rate=1e-9)
    before, after = weights(path), weights(train(onward, tmp_path / "onward"))
    assert (len(before["worth.weight"]), len(after["worth.weight"])) == (1, 2)
    assert np.allclose(after["worth.weight"][:1], before["worth.weight"], atol=1e-4)


def test_somebody_learns_to_beat_one_that_began_with_a_file_that_is_gone(tmp_path: Path) -> None:
    told = msgspec.structs.replace(KUHN, game="holdem", tables=8, steps=4, batch=64, begin_with="")
    learner = begin(told, tmp_path)
    path = tmp_path / checkpoint.FINAL
    told = msgspec.structs.replace(told, begin_with=str(tmp_path / "gone.safetensors"))
    checkpoint.save(path, learner.network.state_dict(), checkpoint.Card(learner.network.shape, told))
    before = path.read_bytes()
    found = best_response(path, told, learner.game, 0.005, 64, 1)
    assert found.hands >= 64
    assert np.isfinite([found.won, found.half]).all()
    assert path.read_bytes() == before
