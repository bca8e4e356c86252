"""A checkpoint plays elsewhere: on what a game of OpenSpiel publishes, and with a person."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

torch = pytest.importorskip("torch", reason="self-play needs torch")
pyspiel = pytest.importorskip("pyspiel", reason="the small games are OpenSpiel's")

from rich.console import Console  # noqa: E402

from hearthmind.contracts.observation import Choice, LegalAction, Observation  # noqa: E402
from services.selfplay import checkpoint, terminal  # noqa: E402
from services.selfplay.agent import NotItsGame, agent_from  # noqa: E402
from services.selfplay.ppo import begin  # noqa: E402
from services.selfplay.settings import Settings  # noqa: E402


def untrained(folder: Path, settings: Settings) -> Path:
    learner = begin(settings, folder)
    path = folder / checkpoint.FINAL
    checkpoint.save(path, learner.network.state_dict(), checkpoint.Card(learner.network.shape, settings))
    return path


def observation(sees: str, moves: tuple[str, ...]) -> Observation:
    return Observation(
        id="d1", game="board", npc="ann", kind="move", answer_within_ms=1000, snapshot=0,
        legal_actions=(LegalAction(name="move", parameters={"to": Choice(enum=moves)}),),
        state=msgspec.Raw(msgspec.json.encode({"sees": sees})),
    )  # fmt: skip


def test_it_answers_what_a_game_of_openspiel_publishes(tmp_path: Path) -> None:
    agent = agent_from(untrained(tmp_path, Settings(game="leduc", preset="tiny")), seed=3)
    state = pyspiel.load_game("leduc_poker").new_initial_state()
    state.apply_action(0)
    state.apply_action(3)
    words = tuple(state.action_to_string(0, move) for move in state.legal_actions())
    chosen = Counter(
        agent.answer(observation(state.information_state_string(), words)).arguments["to"] for _ in range(200)
    )
    assert set(chosen) == set(words)  # it draws, and is untrained


def test_it_refuses_what_it_can_t_read(tmp_path: Path) -> None:
    agent = agent_from(untrained(tmp_path, Settings(game="kuhn", preset="tiny")))
    with pytest.raises(NotItsGame, match="nothing that can be seen"):
        agent.answer(observation("a chess board", ("Pass", "Bet")))
    with pytest.raises(NotItsGame, match="to choose"):
        agent.answer(observation("0", ("resign",)))


class Typed(Console):
    """A terminal at which a person has typed all this."""

    def __init__(self, lines: Iterator[str]) -> None:
        super().__init__(file=io.StringIO(), width=200)
        self._lines = lines

    def input(self, *_: object, **__: object) -> str:
        return next(self._lines)

    @property
    def shown(self) -> str:
        assert isinstance(self.file, io.StringIO)
        return self.file.getvalue()


@pytest.mark.parametrize("game", ["leduc", "holdem"])
def test_a_person_plays_it_in_the_terminal(tmp_path: Path, game: str) -> None:
    path = untrained(tmp_path, Settings(game=game, preset="tiny"))  # type: ignore[arg-type]
    typed = [word for _ in range(12) for word in ("rubbish", "1", "2")]
    console = Typed(iter([*typed, "q"]))
    terminal.play(path, 3, console)
    assert "That is none of them." in console.shown
    assert "you won" in console.shown
    assert " hands" in console.shown.splitlines()[-1]
