"""Who comes nearer to perfect play of Leduc poker in the same time: our PPO, or OpenSpiel's CFR and NFSP?

    python benchmarks/selfplay_leduc.py [--minutes 10] [--seeds 1] [--only ppo cfr nfsp] [--out benchmarks/results]

Each gets as many cores (`--threads`) and the same minutes; what counts is OpenSpiel's exact exploitability, in antes, of the way
to play that it would hand over: the averaged network, the average policy, the network of average play. CFR walks the whole
tree and is no competitor but the mark; NFSP learns from play like ours, with the settings of OpenSpiel's own example for Leduc.
Measuring is not counted as time of CFR and NFSP, and is of ours. Those that are not asked for stay as they were measured before.
OpenSpiel's NFSP needs one library more: `pip install dm-tree`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import msgspec
import numpy as np
import pyspiel
import torch
from open_spiel.python.algorithms.get_all_states import get_all_states

from services.selfplay.exploit import exploitability
from services.selfplay.ppo import Progress, train
from services.selfplay.settings import read
from services.selfplay.small_games import tree_of

mpl.use("Agg")
from matplotlib import pyplot

CONFIG = Path(__file__).parents[1] / "services" / "selfplay" / "configs" / "leduc.yaml"
WANTED = 0.1
LOOKS = 30
Curve = list[tuple[float, float]]


def ppo(minutes: float, seed: int) -> Curve:
    """Ours."""
    told = msgspec.structs.replace(read(CONFIG), minutes=minutes, seed=seed)
    curve, begun_s = [], time.monotonic()

    def watch(progress: Progress) -> None:
        if progress.measured:
            curve.append((time.monotonic() - begun_s, progress.measured["exploitability"]))
            say("ppo", seed, curve)

    with tempfile.TemporaryDirectory() as folder:
        train(told, Path(folder), watch=watch)
    return curve


def cfr(minutes: float, seed: int) -> Curve:
    """OpenSpiel's counterfactual regret minimisation; it draws nothing, so that all seeds are one."""
    game = pyspiel.load_game("leduc_poker")
    solver = pyspiel.CFRSolver(game)
    return timed("cfr", seed, minutes, solver.evaluate_and_update_policy, lambda: cfr_exploitability(game, solver))


def cfr_exploitability(game: Any, solver: Any) -> float:
    return float(pyspiel.exploitability(game, solver.average_policy()))


def nfsp(minutes: float, seed: int) -> Curve:
    """OpenSpiel's neural fictitious self-play."""
    from open_spiel.python import rl_environment
    from open_spiel.python.pytorch.nfsp import NFSP

    np.random.seed(seed)
    environment = rl_environment.Environment("leduc_poker")
    size = environment.observation_spec()["info_state"][0]
    actions = environment.action_spec()["num_actions"]
    agents = [
        NFSP(
            seat, state_representation_size=size, num_actions=actions, hidden_layers_sizes=[128],
            reservoir_buffer_capacity=2_000_000, anticipatory_param=0.1, batch_size=128, rl_learning_rate=0.01,
            sl_learning_rate=0.01, min_buffer_size_to_learn=1000, learn_every=64, optimizer_str="sgd", seed=seed,
            replay_buffer_capacity=200_000, epsilon_decay_duration=20_000_000, epsilon_start=0.06, epsilon_end=0.001,
            update_target_network_every=19_200, discount_factor=1.0,
        )
        for seat in range(2)
    ]  # fmt: skip

    def hand() -> None:
        step = environment.reset()
        while not step.last():
            step = environment.step([agents[step.observations["current_player"]].step(step).action])
        for agent in agents:
            agent.step(step)

    return timed("nfsp", seed, minutes, hand, lambda: nfsp_exploitability(agents))


def nfsp_exploitability(agents: list[Any]) -> float:
    tree, told = tree_of("leduc"), features()
    probabilities = np.zeros(tree.legal.shape, np.float32)
    for seat, agent in enumerate(agents):
        with torch.inference_mode():
            logits = agent._avg_network(told).masked_fill(~torch.from_numpy(tree.legal), -1e9)
        mine = tree.viewer == seat
        probabilities[mine] = torch.softmax(logits, -1).numpy()[mine]
    return exploitability("leduc", probabilities)


@cache
def features() -> torch.Tensor:
    """What OpenSpiel tells of each view [V, F]."""
    states = get_all_states(pyspiel.load_game("leduc_poker"), include_terminals=False).values()
    told = {state.information_state_string(): state.information_state_tensor() for state in states}
    return torch.tensor([told[key] for key in tree_of("leduc").keys])


def timed(name: str, seed: int, minutes: float, work: Callable[[], object], look: Callable[[], float]) -> Curve:
    """Works for that long, and looks now and then at what has come of it, off the clock."""
    curve: Curve = []
    spent_s = 0.0
    for due_s in looks(60 * minutes):
        begun_s = time.monotonic()
        while spent_s + time.monotonic() - begun_s < due_s:
            work()
        spent_s += time.monotonic() - begun_s
        curve.append((spent_s, look()))
        say(name, seed, curve)
    return curve


def looks(seconds: float) -> Iterator[float]:
    """When to look: often at first."""
    yield from (seconds * ((number + 1) / LOOKS) ** 2 for number in range(LOOKS))


def say(name: str, seed: int, curve: Curve) -> None:
    print(f"{name} {seed}: {curve[-1][0]:.0f} s, exploitability {curve[-1][1]:.4f}", flush=True)


LEARNERS = {"ppo": ppo, "cfr": cfr, "nfsp": nfsp}


def draw(curves: dict[str, list[Curve]], path: Path) -> None:
    """The curves as a picture."""
    figure, axes = pyplot.subplots(figsize=(8, 5))
    for number, (name, runs) in enumerate(curves.items()):
        for curve in runs:
            axes.plot(*zip(*curve, strict=True), color=f"C{number}", label=name if curve is runs[0] else None)
    axes.axhline(WANTED, color="grey", linestyle=":")
    axes.set(xlabel="seconds", ylabel="exploitability, antes", yscale="log", title="Leduc poker")
    axes.legend()
    figure.savefig(path, bbox_inches="tight")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--minutes", type=float, default=10)
    asked.add_argument("--seeds", type=int, default=1)
    asked.add_argument("--threads", type=int, default=2)
    asked.add_argument("--only", nargs="+", choices=tuple(LEARNERS), default=tuple(LEARNERS))
    asked.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    told = asked.parse_args()
    torch.set_num_threads(told.threads)
    told.out.mkdir(parents=True, exist_ok=True)
    kept = told.out / "selfplay_leduc.json"
    curves: dict[str, list[Curve]] = json.loads(kept.read_text()) if kept.exists() else {}
    for name in told.only:
        curves[name] = [LEARNERS[name](told.minutes, seed) for seed in range(told.seeds)]
        kept.write_text(json.dumps(curves))
    draw(curves, told.out / "selfplay_leduc.svg")
    print("| learner | best | at the end | below 0.1 after |")
    print("| --- | --- | --- | --- |")
    for name, runs in curves.items():
        for curve in runs:
            below = next((f"{seconds:.0f} s" for seconds, found in curve if found < WANTED), "never")
            print(f"| {name} | {min(found for _, found in curve):.4f} | {curve[-1][1]:.4f} | {below} |")


if __name__ == "__main__":
    main()
