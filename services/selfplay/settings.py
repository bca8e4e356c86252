"""Everything that a training run can be told, in one YAML file and on the command line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml  # type: ignore[import-untyped]

from hearthmind.errors import Refused
from services.selfplay.losses import Weights

Precision = Literal["fp32", "bf16"]
Guest = Literal["random", "always_call", "tight_aggressive", "equity"]
"""Those who never learn, by their names in `opponents`."""


class BadSetting(Refused):
    """The settings of the training can't be read: {why}. `services/selfplay/configs` has examples of every one."""


class Evaluation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often and how long the network is measured while it learns."""

    every: int = 50
    hands: int = 2_000
    """Duplicate hands against each scripted opponent; small games are measured exactly instead."""


class LeagueSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom the network plays besides itself."""

    selves: float = 0.2
    """The share of tables with earlier selves."""
    scripted: float = 0.1
    """The share of tables with scripted opponents."""
    guests: tuple[Guest, ...] = ("random", "always_call", "tight_aggressive", "equity")
    """Which of the scripted opponents sit there; one that is named twice does so twice as often."""
    every: int = 50
    """After how many iterations the network joins the league."""
    members_max: int = 12
    playing_max: int = 2
    """How many members play in one iteration; each is a batch of its own, so few are faster."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A training run."""

    game: Literal["holdem", "leduc", "kuhn"] = "holdem"
    players: int = 2
    stack: int = 100
    """What everybody begins a hand with, in big blinds."""
    games: int = 1_000_000
    """How many hands are played."""
    minutes: float = 0
    """The run ends by then; 0 is never. What fades then fades by the clock, so that no two runs are quite the same."""
    seed: int = 7

    preset: str = "small"
    device: str = "cpu"
    threads: int = 0
    """Of torch; 0 leaves it to torch."""
    workers: int = 0
    """How many processes play, each at a part of the tables; 0 is the one that learns."""
    workers_by: Literal["processes", "ray"] = "processes"
    """Of this machine, or of all those that Ray knows; the folder of the run must be the same for all of them."""
    actor: Precision = "bf16"
    """How precisely the network plays; it keeps its own log-probabilities, so that learning knows how it really played."""
    mixed_precision: bool = True

    tables: int = 512
    """How many hands are played at a time."""
    steps: int = 32
    """How many decisions are made at each table between two times of learning."""
    batch: int = 2048
    epochs: int = 1
    learning_rate: float = 3e-4
    learning_rate_end: float = 0.1
    """What is left of it at the end, as a share; it fades evenly in proportion."""
    momentum: float = 0.9
    """Adam's first beta. Where two learn against each other, momentum makes them run in circles; 0 is none."""
    discount: float = 1.0
    trace: float = 0.95
    """GAE's lambda."""
    weights: Weights = Weights()
    weights_end: float = 1.0
    """What is left of the weights of entropy and magnet at the end, as a share."""
    evenly: float = 0.0
    """1: whatever is seen counts the same, however often; 0: every decision does. For games where much is seen again."""
    gradient_max: float = 0.5
    kl_max: float = 0.05
    """An iteration's learning ends early when the play has moved this far."""
    magnet_every: int = 0
    """After how many iterations the magnet moves to where the network is now."""
    average: float = 0.0
    """How much of the averaged network stays in each iteration; 0 is no averaging."""
    sees_all: bool = True
    """Whether what is hidden is looked at to judge play, by guesses that the game makes; nobody plays by it."""
    value_unit: float = 0.0
    """What values are counted in, in the unit of payoffs; 0 is the game's own."""

    begin_with: str = ""
    """A checkpoint that it begins as, of the same preset; of another size of table as far as that goes."""
    league: LeagueSettings = LeagueSettings()
    against: str = ""
    """A checkpoint that never learns and sits at every table, instead of the league: training somebody to beat it."""
    evaluation: Evaluation = Evaluation()
    checkpoint_every: int = 100
    checkpoints_kept: int = 3


def read(path: Path | None, changes: Iterable[str] = ()) -> Settings:
    """The settings of a file, with changes such as `weights.entropy=0.02` on top."""
    try:
        told = yaml.safe_load(path.read_text()) if path else {}
        for change in changes:
            key, equals, value = change.partition("=")
            if not equals:
                raise BadSetting(why=f"{change!r} is not of the form key=value")
            _put(told, key.split("."), yaml.safe_load(value))
        return msgspec.convert(told or {}, Settings, strict=False)
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise BadSetting(why=error) from error


def _put(told: dict[str, Any], keys: list[str], value: object) -> None:
    for key in keys[:-1]:
        inner = told.setdefault(key, {})
        if not isinstance(inner, dict):
            raise BadSetting(why=f"{key!r} has no settings of its own")
        told = inner
    told[keys[-1]] = value
