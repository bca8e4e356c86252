"""PPO in self-play, from top to bottom: play, judge, learn, keep.

    read the settings > deal tables > play `steps` decisions at each > advantages > `epochs` over them in batches > again

Every iteration deals anew and draws from dice of its own, made of seed and iteration. So what a run does next depends on
nothing but the weights, the optimiser and two counters, and one that was killed and resumed comes to the same numbers.
Who plays is `workers`' affair, and that several may learn as one that of `team`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor

from hearthmind.errors import Refused
from services.selfplay import checkpoint
from services.selfplay.evaluate import measure
from services.selfplay.games import Game, game_of
from services.selfplay.league import League
from services.selfplay.losses import Batch, Parts, Weights, advantages, ppo_loss
from services.selfplay.model import Network, Shape, preset, shortened, valued
from services.selfplay.players import NetworkPlayer, by_length
from services.selfplay.rollout import Rollout, joined
from services.selfplay.settings import Settings
from services.selfplay.team import ALONE, Team, team_of
from services.selfplay.workers import Part, workers_of

EVALUATION_SEED = 1_000_003
WARM = 10
"""Iterations in which the steps of learning grow to full length: at first the optimiser doesn't know how long they may be."""


class NothingToResume(Refused):
    """There is no checkpoint to resume in {folder}. Begin without --resume."""


class OtherSettings(Refused):
    """The run in {folder} was begun with other settings: {what}. Resume it with the same, or begin another."""


class Position(msgspec.Struct, frozen=True):
    """Where a run is: with the tensors beside it, all that its future depends on."""

    settings: Settings
    iteration: int
    games: int
    decisions: int
    spent_s: float
    league: list[int]


class Progress(msgspec.Struct, frozen=True):
    """What an iteration did, to be watched."""

    iteration: int
    games: int
    share: float
    """How much of the run is done."""
    games_per_s: float
    """Of the whole of training."""
    played_per_s: float
    """Games per second while playing."""
    losses: dict[str, float]
    measured: dict[str, float]


@dataclass
class Learner:
    """A run under way."""

    settings: Settings
    folder: Path
    game: Game
    network: Network
    optimizer: torch.optim.Optimizer
    average: Network
    magnet: Network
    league: League
    iteration: int = 0
    games: int = 0
    decisions: int = 0
    spent_s: float = 0.0
    share: float = 0.0
    """How much of the run was done when the iteration began."""
    begun_s: float = field(default_factory=time.monotonic)

    @property
    def clock_s(self) -> float:
        """How long the run has been under way, its earlier lives included."""
        return self.spent_s + time.monotonic() - self.begun_s

    @property
    def share_now(self) -> float:
        """How much of the run is done, by games or by the clock."""
        minutes = self.settings.minutes
        return min(1.0, max(self.games / self.settings.games, self.clock_s / (60 * minutes) if minutes else 0))

    @property
    def result(self) -> Network:
        """The network that is kept: the averaged one where there is one."""
        return self.average if self.settings.average else self.network


def train(
    settings: Settings,
    folder: Path,
    *,
    resume: bool = False,
    watch: Callable[[Progress], None] = lambda _: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Path:
    """Trains until the games are played, the time is over or it is stopped; the path of what was kept last."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    learner = begin(settings, folder)
    if resume:
        restore(learner)

    with workers_of(settings, learner.game, learner.league) as workers, team_of(settings.device) as team:
        while goes_on(learner, team, is_stopped):
            dice = np.random.default_rng([settings.seed, learner.iteration])
            at_s = time.perf_counter()
            rollout = team.join(joined(workers.play(parts(learner, team), learner.network)))
            played_s = time.perf_counter() - at_s

            losses = learn(learner, rollout, dice, team)
            learner.iteration += 1
            learner.games += rollout.games
            learner.decisions += int(rollout.learner.sum())
            follow(learner, team)
            if not team.is_first:
                continue

            measured = {}
            if learner.iteration % settings.evaluation.every == 0 or learner.share_now >= 1:
                seen = NetworkPlayer(learner.result, settings.actor)
                measured = measure(learner.game, seen, settings.evaluation.hands, EVALUATION_SEED)
            if learner.iteration % settings.checkpoint_every == 0:
                keep(learner)
            took_s = time.perf_counter() - at_s
            rates = (rollout.games / took_s, rollout.games / played_s)
            watch(Progress(learner.iteration, learner.games, learner.share_now, *rates, losses, measured))

    last = folder / checkpoint.STEP.format(step=learner.iteration)
    final = folder / checkpoint.FINAL
    if team.is_first:
        keep(learner)
        if learner.share >= 1:
            checkpoint.save(final, learner.result.state_dict(), card_of(learner))
    return final if learner.share >= 1 else last


def goes_on(learner: Learner, team: Team, is_stopped: Callable[[], bool]) -> bool:
    """Whether there is another iteration; it is the first of the team that says so, and where the run is."""
    learner.share = team.agree(learner.share_now)
    return learner.share < 1 and not team.agree(is_stopped())


def parts(learner: Learner, team: Team) -> list[Part]:
    """This process's share of the tables of an iteration, one part for each worker."""
    each = max(1, learner.settings.workers)
    members = tuple(learner.league.steps)
    about = (learner.settings, learner.league.folder, learner.network.shape, learner.iteration)
    return [Part(*about, team.rank * each + number, team.size * each, members) for number in range(each)]


def begin(settings: Settings, folder: Path) -> Learner:
    """A run at its beginning."""
    torch.manual_seed(settings.seed)
    game = game_of(settings)
    tables = game.tables(1, settings.seed)
    sizes = preset(settings.preset)
    about = (tables.vocabulary, tables.tokens_max, tables.actions)
    outlooks = tables.outlooks if settings.sees_all else 0
    shape = Shape(*about, **sizes, lead=tables.lead, value_unit=game.unit, outlooks=outlooks)
    network, average, magnet = (Network(shape).to(settings.device) for _ in range(3))
    if begin_with := settings.begin_with or settings.against:
        become(network, checkpoint.load(Path(begin_with), settings.device)[0])
    average.load_state_dict(network.state_dict())
    magnet.load_state_dict(network.state_dict())
    betas = (settings.momentum, 0.999)
    optimizer = torch.optim.AdamW(
        network.parameters(), settings.learning_rate, betas, eps=1e-5, weight_decay=0, fused=True
    )
    league = League(folder / "league", settings)
    return Learner(settings, folder, game, network, optimizer, average, magnet, league)


@torch.no_grad()
def become(network: Network, other: Network) -> None:
    """The network takes over the other one's weights; where a table has more seats, the tokens that those bring stay new."""
    theirs = other.state_dict()
    for name, mine in network.state_dict().items():
        both = min(len(mine), len(theirs[name]))
        mine[:both] = theirs[name][:both]


def learn(learner: Learner, rollout: Rollout, dice: np.random.Generator, team: Team = ALONE) -> dict[str, float]:
    """Several times over all decisions of the learner in batches, and what there is to say about it."""
    settings, network = learner.settings, learner.network
    judged = advantages(
        rollout.value, rollout.actor, rollout.finished, rollout.payoff, settings.discount, settings.trace
    )
    usable = np.flatnonzero(judged.known & rollout.learner)
    raw = judged.advantage.ravel()[usable]
    scaled = (judged.advantage - raw.mean()) / (raw.std() + 1e-6)
    gain = judged.advantage + rollout.value
    outlook = rollout.outlook.reshape(rollout.row.size, -1)
    weight, reference = weight_of(rollout, usable, settings.evenly), magnetised(learner, rollout)
    weights = weights_now(learner)
    for group in learner.optimizer.param_groups:
        warm = min(1, (learner.iteration + 1) / WARM)
        group["lr"] = settings.learning_rate * settings.learning_rate_end**learner.share * warm

    said: list[dict[str, float]] = []
    for _ in range(settings.epochs):
        for chosen in batches(usable, settings.batch, dice):
            learner.optimizer.zero_grad()
            for part in parts_of(team.share(chosen), rollout, settings.device):
                row, which = np.unique(rollout.row.ravel()[part], return_inverse=True)
                seen, back = shortened(tensor(rollout.tokens[row], settings)), tensor(which, settings)
                with torch.autocast(settings.device, torch.bfloat16, enabled=settings.mixed_precision):
                    log_probabilities, worth = network(seen, tensor(rollout.legal[row], settings))
                values = valued(worth[back], tensor(outlook[part], settings))
                batch = Batch(
                    tensor(rollout.action.ravel()[part].astype(np.int64), settings),
                    tensor(rollout.log_probability.ravel()[part], settings),
                    tensor(rollout.value.ravel()[part], settings),
                    tensor(scaled.ravel()[part], settings),
                    tensor(gain.ravel()[part], settings),
                    tensor(weight[part], settings),
                    None if reference is None else tensor(reference[row], settings)[back],
                )
                loss, parts = ppo_loss(log_probabilities[back], values, batch, weights, network.shape.value_unit)
                torch.autograd.backward(loss * (len(part) / len(chosen)))
                said.append(spoken(parts))
            team.add_up(network)
            torch.nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_max)
            learner.optimizer.step()
        if team.agree(said[-1]["kl"]) > settings.kl_max:
            break
    explained = 1 - np.var(raw) / max(float(np.var(gain.ravel()[usable])), 1e-6)
    statistics = {"advantage_mean": raw.mean(), "advantage_std": raw.std(), "explained": explained}
    means = team.mean({name: float(np.mean([each[name] for each in said])) for name in said[0]})
    return means | {name: float(number) for name, number in statistics.items()}


def batches(usable: np.ndarray, size: int, dice: np.random.Generator) -> Iterator[np.ndarray]:
    """All decisions in a new order, in about equal batches near that size."""
    yield from np.array_split(dice.permutation(usable), max(1, round(len(usable) / size)))


def parts_of(chosen: np.ndarray, rollout: Rollout, device: str) -> list[np.ndarray]:
    """A batch in parts of about equal length in tokens, so that short rows aren't padded to the longest.

    A game so small that everything is known is not taken apart: the network reads each view once for the whole batch.
    """
    if len(rollout.tokens) < rollout.row.size:
        return [chosen]
    return [chosen[part] for part in by_length(rollout.tokens[rollout.row.ravel()[chosen]], device)]


def weight_of(rollout: Rollout, usable: np.ndarray, evenly: float) -> np.ndarray:
    """How much each decision counts: the same, or less the oftener that same thing was seen, 1 on average."""
    row = rollout.row.ravel()
    seen = np.bincount(row[usable], minlength=len(rollout.tokens))[row].clip(1)
    weight = (seen.astype(np.float32)) ** -evenly
    even: np.ndarray = weight / weight[usable].mean()
    return even


def weights_now(learner: Learner) -> Weights:
    """The weights of the loss, of which entropy and magnet fade towards the end."""
    weights, fade = learner.settings.weights, learner.settings.weights_end**learner.share
    return msgspec.structs.replace(weights, entropy=weights.entropy * fade, magnet=weights.magnet * fade)


def magnetised(learner: Learner, rollout: Rollout) -> np.ndarray | None:
    """What the magnet would do in all that was seen, where there is one."""
    if not learner.settings.weights.magnet:
        return None
    return NetworkPlayer(learner.magnet).ask(rollout.tokens, rollout.legal)[0]


@torch.no_grad()
def follow(learner: Learner, team: Team) -> None:
    """The averaged network takes a step after the learning one, the magnet moves when it is time, and so does the league."""
    settings, step = learner.settings, learner.iteration
    if settings.average:
        stay = min(settings.average, step / (9 + step))
        for old, new in zip(learner.average.parameters(), learner.network.parameters(), strict=True):
            old.lerp_(new, 1 - stay)
    if settings.magnet_every and step % settings.magnet_every == 0:
        learner.magnet.load_state_dict(learner.network.state_dict())
    if settings.league.selves and step % settings.league.every == 0:
        learner.league.admit(step, learner.network if team.is_first else None)


def keep(learner: Learner) -> Path:
    """Writes a checkpoint, with all that the run needs to go on, and removes the oldest."""
    path = learner.folder / checkpoint.STEP.format(step=learner.iteration)
    tensors = {f"average.{name}": weight for name, weight in learner.average.state_dict().items()}
    tensors |= {f"magnet.{name}": weight for name, weight in learner.magnet.state_dict().items()}
    tensors |= {f"network.{name}": weight for name, weight in learner.network.state_dict().items()}
    for number, state in learner.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
    place = Position(
        learner.settings, learner.iteration, learner.games, learner.decisions, learner.clock_s, learner.league.steps
    )
    checkpoint.save(path, learner.result.state_dict(), card_of(learner))
    checkpoint.save(checkpoint.resume_of(path), tensors, place)
    checkpoint.keep_newest(learner.folder, learner.settings.checkpoints_kept)
    learner.league.sweep()
    return path


def restore(learner: Learner) -> None:
    """Goes on where the newest checkpoint of the folder was taken."""
    found = checkpoint.checkpoints(learner.folder)
    if not found:
        raise NothingToResume(folder=learner.folder)
    tensors, place = checkpoint.read(checkpoint.resume_of(found[-1]), Position)
    if what := different(place.settings, learner.settings):
        raise OtherSettings(folder=learner.folder, what=what)
    for name in ("network", "average", "magnet"):
        getattr(learner, name).load_state_dict(_under(name, tensors))
    state = learner.optimizer.state_dict()
    for name, tensor in _under("optimizer", tensors).items():
        number, _, part = name.partition(".")
        state["state"].setdefault(int(number), {})[part] = tensor
    learner.optimizer.load_state_dict(state)
    learner.iteration, learner.games, learner.decisions = place.iteration, place.games, place.decisions
    learner.spent_s, learner.league.steps = place.spent_s, list(place.league)


def different(begun: Settings, wanted: Settings) -> str:
    """Which settings are not as they were; how long it runs and what is kept may change."""
    free = {"games", "minutes", "checkpoint_every", "checkpoints_kept", "evaluation", "threads"}
    pairs = (
        (name, getattr(begun, name), getattr(wanted, name)) for name in begun.__struct_fields__ if name not in free
    )
    return ", ".join(f"{name} was {old} and is {new}" for name, old, new in pairs if old != new)


def card_of(learner: Learner) -> checkpoint.Card:
    """What the checkpoint says of itself."""
    return checkpoint.Card(learner.network.shape, learner.settings, learner.games, learner.iteration)


def tensor(array: np.ndarray, settings: Settings) -> Tensor:
    """The array where the network is; tokens and places as the wider integers that torch looks up by."""
    wide = array.astype(np.int64) if array.dtype in (np.int8, np.int16, np.int32) else array
    return torch.from_numpy(wide).to(settings.device)


def spoken(parts: Parts) -> dict[str, float]:
    """The parts of the loss as plain numbers."""
    return {name: float(value.detach()) for name, value in vars(parts).items()}


def _under(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key[len(name) + 1 :]: value for key, value in tensors.items() if key.startswith(f"{name}.")}
