"""How good a checkpoint is, said in the terminal: against everything that it can be held against."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from services.selfplay import checkpoint
from services.selfplay.evaluate import Result, match, measure
from services.selfplay.games import Game, game_of
from services.selfplay.players import NetworkPlayer, Player
from services.selfplay.ppo import train
from services.selfplay.settings import Evaluation, LeagueSettings, Settings


def show(path: Path, hands: int, against: Sequence[Path], minutes: float, seed: int, console: Console) -> None:
    """Measures a checkpoint and prints what was found."""
    network, card = checkpoint.load(path)
    game, player = game_of(card.settings), NetworkPlayer(network, card.settings.actor)
    if game.is_small:
        console.print(f"exploitability {measure(game, player, 0, seed)['exploitability']:.4f}")
        return
    rows = Table("opponent", "won, bb/100", "95 %", "hands")
    others: dict[str, Player] = dict(game.opponents)
    for other in against:
        others[other.stem] = NetworkPlayer(checkpoint.load(other)[0], card.settings.actor)
    for name, opponent in others.items():
        with console.status(f"playing {name}"):
            rows.add_row(name, *columns(match(game, player, opponent, hands, seed)))
    if minutes:
        with console.status(f"training somebody to beat it for {minutes:g} minutes"):
            found = best_response(path, card.settings, game, minutes, hands, seed)
        rows.add_row("its best response so far", *columns(found))
    console.print(rows)


def columns(result: Result) -> tuple[str, str, str]:
    """A result in words."""
    return f"{result.won:+.1f}", f"± {result.half:.1f}", f"{result.hands:,}"


def best_response(path: Path, settings: Settings, game: Game, minutes: float, hands: int, seed: int) -> Result:
    """What the checkpoint loses to somebody who started as its copy and learned for that long to beat it and nothing else.

    It can lose at least that much to a perfect opponent; a longer search may find more.
    """
    told = msgspec.structs.replace(
        settings,
        against=str(path),
        begin_with="",
        minutes=minutes,
        games=10**12,
        seed=seed,
        average=0.0,
        league=LeagueSettings(selves=0, scripted=0),
        evaluation=Evaluation(every=10**9, hands=4 * game.players),
    )
    with tempfile.TemporaryDirectory() as folder:
        exploiter, _ = checkpoint.load(train(told, Path(folder)))
    copy, _ = checkpoint.load(path)
    return match(game, NetworkPlayer(copy, settings.actor), NetworkPlayer(exploiter, settings.actor), hands, seed + 1)
