"""Several processes at one run: they play what one would play, and learn what one would learn."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch", reason="self-play needs torch")
pytest.importorskip("numba", reason="the tables of hold'em need numba")

from hearthmind.errors import CannotStart
from services.selfplay import checkpoint
from services.selfplay.games import game_of
from services.selfplay.league import League
from services.selfplay.losses import Weights
from services.selfplay.ppo import begin, train
from services.selfplay.rollout import Rollout, joined
from services.selfplay.settings import Evaluation, LeagueSettings, Settings
from services.selfplay.workers import Here, Part, Processes, WorkerEnded, WorkerFailed, Workers, workers_of

SETTINGS = Settings(
    preset="tiny", actor="fp32", mixed_precision=False, tables=40, steps=6, batch=64, threads=1, games=1, minutes=0,
    league=LeagueSettings(selves=0.2, scripted=0.2, every=2), evaluation=Evaluation(every=10**6, hands=100),
)  # fmt: skip
PARTS = 3
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
COMMAND = Path(sys.executable).with_name("hearthmind")


def parts(folder: Path) -> list[Part]:
    learner = begin(SETTINGS, folder)
    for step in (2, 4):
        learner.league.admit(step, learner.network)
    shape, members = learner.network.shape, tuple(learner.league.steps)
    return [Part(SETTINGS, learner.league.folder, shape, 5, number, PARTS, members) for number in range(PARTS)]


def same(one: list[Rollout], other: list[Rollout]) -> bool:
    return all(
        np.array_equal(getattr(mine, name), getattr(theirs, name))
        for mine, theirs in zip(one, other, strict=True)
        for name in Rollout.__dataclass_fields__
    )


def here(wanted: list[Part]) -> list[Rollout]:
    league = League(wanted[0].folder, SETTINGS)
    league.steps = list(wanted[0].members)
    return Here(game_of(SETTINGS), league).play(wanted, begin(SETTINGS, wanted[0].folder).network)


def played(workers: Workers, folder: Path) -> bool:
    """Whether these play what this process would."""
    wanted = parts(folder)
    return same(here(wanted), workers.play(wanted, begin(SETTINGS, folder).network))


def test_processes_play_what_this_one_would(tmp_path: Path) -> None:
    workers = Processes(PARTS)
    try:
        assert played(workers, tmp_path)
    finally:
        workers.close()


def test_ray_plays_what_this_process_would(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is installed by hand")
    settings = msgspec.structs.replace(SETTINGS, workers=PARTS, workers_by="ray")
    with workers_of(settings, game_of(settings), League(tmp_path, settings)) as workers:
        assert played(workers, tmp_path)


def test_without_ray_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    settings = msgspec.structs.replace(SETTINGS, workers=2, workers_by="ray")
    with pytest.raises(CannotStart, match="pip install ray"):
        train(settings, tmp_path)


def test_parts_are_different_tables_and_together_all_of_them(tmp_path: Path) -> None:
    wanted = parts(tmp_path)
    assert sum(part.tables for part in wanted) == SETTINGS.tables
    rollouts = here(wanted)
    assert not np.array_equal(rollouts[0].tokens[:13], rollouts[1].tokens[:13])
    whole = joined(rollouts)
    assert whole.row.shape == (SETTINGS.steps, SETTINGS.tables)
    begin_at = wanted[0].tables
    for step, table in ((0, 0), (3, 7)):
        seen = whole.tokens[whole.row[step, begin_at + table]]
        assert np.array_equal(seen, rollouts[1].tokens[rollouts[1].row[step, table]])


def test_an_error_and_the_end_of_a_process_are_told(tmp_path: Path) -> None:
    workers = Processes(1)
    network = begin(SETTINGS, tmp_path).network
    part = Part(SETTINGS, tmp_path / "league", network.shape, 1, 0, 1, (7,))
    try:
        with pytest.raises(WorkerFailed, match="member_7"):
            workers.play([part], network)
        (process,) = workers.processes
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        with pytest.raises(WorkerEnded, match="--resume"):
            workers.play([part], network)
    finally:
        workers.close()


def test_the_tables_are_dealt_out_whatever_their_number() -> None:
    for tables in (7, 8, 9):
        settings = msgspec.structs.replace(SETTINGS, tables=tables)
        shares = [Part(settings, Path(), None, 0, number, 4, ()).tables for number in range(4)]  # type: ignore[arg-type]
        assert sum(shares) == tables
        assert max(shares) - min(shares) <= 1


LEARNED = msgspec.structs.replace(
    SETTINGS, game="kuhn", tables=64, steps=8, batch=128, epochs=2, games=600, average=0.9,
    weights=Weights(entropy=0.05, magnet=0.1), magnet_every=2,
)  # fmt: skip


def test_two_that_learn_together_learn_what_one_does_from_the_whole_batch(tmp_path: Path) -> None:
    told = tmp_path / "settings.yaml"
    told.write_bytes(msgspec.yaml.encode(LEARNED))
    alone = train(msgspec.structs.replace(LEARNED, workers=2), tmp_path / "alone")
    words = [
        *TORCHRUN,
        str(COMMAND),
        "selfplay",
        "train",
        "--config",
        str(told),
        "--folder",
        str(tmp_path / "together"),
    ]
    said = subprocess.run(
        words, capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.count("kept") == 1
    one, other = (checkpoint.load(path) for path in (alone, tmp_path / "together" / checkpoint.FINAL))
    assert one[1].games == other[1].games
    for mine, theirs in zip(one[0].parameters(), other[0].parameters(), strict=True):
        assert np.allclose(mine.detach().numpy(), theirs.detach().numpy(), atol=1e-4)
