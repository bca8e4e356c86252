"""A person against a checkpoint, in the terminal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console

from services.selfplay.agent import Agent, agent_from
from services.selfplay.cards import RANKS
from services.selfplay.games import Game, game_of
from services.selfplay.holdem import CALLS, CHECKS, FOLDS, RAISES, Holdem, amount_of
from services.selfplay.small_games import SmallTables
from services.selfplay.tables import Tables

LEAVE = ("q", "quit")
SHOWN = (0, 3, 4, 5)
COLOURS = ("green", "blue", "red", "white")  # of clubs, diamonds, hearts, spades
SYMBOLS = "♣♦♥♠"


def play(path: Path, seed: int, console: Console) -> None:
    """Plays hands until the person leaves; the person has seat 0."""
    agent = agent_from(path, seed=seed)
    game = game_of(agent.card.settings)
    tables = game.tables(1, seed, equity=False)
    console.print(f"You have seat 0 of {game.players} at {game.name}. Type the number of an action, or q to leave.\n")
    total, hands = 0.0, 0
    while play_hand(tables, agent, game, console):
        total, hands = total + float(tables.payoff[0, 0]), hands + 1
        console.print(f"you won {tables.payoff[0, 0]:+.2f}, {total:+.2f} after {hands} hands\n", style="bold")
    console.print(f"{total:+.2f} after {hands} hands")


def play_hand(tables: Tables, agent: Agent, game: Game, console: Console) -> bool:
    """One hand; False when the person leaves."""
    tokens = np.zeros((1, tables.tokens_max), np.int16)
    legal = np.zeros((1, tables.actions), np.bool_)
    actor = np.zeros(1, np.int8)
    while True:
        tables.observe(tokens, legal, actor)
        words = words_of(tables, np.flatnonzero(legal[0]))
        if actor[0] == 0:
            console.print(scene(tables))
            action = asked(words, console)
            if action is None:
                return False
        else:
            action = int(agent.choose(tokens, legal)[0])
            console.print(f"  seat {actor[0]}: {words[action]}", style="dim")
        shown = showdown(tables) if game.name == "holdem" else ""
        tables.step(np.array([action], np.int8))
        if tables.finished[0]:
            console.print(shown)
            return True


def asked(words: dict[int, str], console: Console) -> int | None:
    """What the person wants to do; None is to leave."""
    menu = "  ".join(f"[bold]{action}[/bold] {word}" for action, word in words.items())
    while True:
        said = console.input(f"{menu} > ").strip().lower()
        if said in LEAVE:
            return None
        for action, word in words.items():
            if said in (str(action), word.lower()):
                return action
        console.print("That is none of them.", style="red")


def words_of(tables: Tables, actions: np.ndarray) -> dict[int, str]:
    """The legal actions in words."""
    if isinstance(tables, SmallTables):
        return tables.tree.words[int(tables.view[0])]
    assert isinstance(tables, Holdem)
    t = tables.records[0]
    plain = {FOLDS: "fold", CHECKS: "check", CALLS: f"call {(t['top'] - t['bet'][t['actor']]) / t['big']:g}"}
    raised = {
        int(action): f"raise to {amount_of(t, tables.raises, action) / t['big']:g}"
        for action in actions
        if action >= RAISES
    }
    return {int(action): plain.get(int(action)) or raised[int(action)] for action in actions}


def scene(tables: Tables) -> str:
    """What the person sees."""
    if isinstance(tables, SmallTables):
        return str(tables.tree.keys[int(tables.view[0])])
    assert isinstance(tables, Holdem)
    t = tables.records[0]
    me, players = int(t["actor"]), int(t["players"])
    board = cards(t["cards"][2 * players : 2 * players + SHOWN[t["street"]]])
    stacks = ", ".join(
        f"seat {(t['button'] + 1 + place) % players} {t['stack'][place] / t['big']:g}"
        for place in range(players)
        if t["live"] >> place & 1
    )
    hole = cards(t["cards"][2 * me : 2 * me + 2])
    return f"{hole}   board {board or '-'}   pot {t['pot'] / t['big']:g}   stacks: {stacks}"


def showdown(tables: Tables) -> str:
    """The cards of everybody still in the hand."""
    assert isinstance(tables, Holdem)
    t = tables.records[0]
    players = int(t["players"])
    held = ", ".join(
        f"seat {(t['button'] + 1 + place) % players} {cards(t['cards'][2 * place : 2 * place + 2])}"
        for place in range(players)
        if t["live"] >> place & 1
    )
    return f"board {cards(t['cards'][2 * players : 2 * players + 5])}   {held}"


def cards(numbers: np.ndarray) -> str:
    """Cards as people write them."""
    return " ".join(
        f"[{COLOURS[number & 3]}]{RANKS[number >> 2]}{SYMBOLS[number & 3]}[/]" for number in map(int, numbers)
    )
