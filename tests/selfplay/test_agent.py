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

from hearthmind import agents  # noqa: E402
from hearthmind.contracts.inference import Answer  # noqa: E402
from hearthmind.contracts.observation import Choice, LegalAction, Observation, Whole  # noqa: E402
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
        legal_actions=(LegalAction(name="move", parameters={"to": Choice(enum=moves or ("",))}),),
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


def test_it_is_found_by_its_name_and_plays_a_hand_of_holdem(tmp_path: Path) -> None:
    agent = agents.agent_at("poker", untrained(tmp_path, Settings(preset="tiny")), seed=3)
    state = {
        "small_blind": 50, "big_blind": 100, "stacks": [10_000, 10_000], "hole": ["Ah", "Kd"],
        "board": ["2c", "7d", "Ts"],
        "actions": [{"action": "raise", "amount": 300}, {"action": "call"}, {"action": "check"}],
    }  # fmt: skip
    raised = LegalAction(name="raise", parameters={"amount": Whole(minimum=100, maximum=9700)})
    seen = msgspec.structs.replace(
        observation("", ()),
        state=msgspec.Raw(msgspec.json.encode(state)),
        legal_actions=(LegalAction(name="check"), raised),
    )
    answers = [agent.answer(seen) for _ in range(200)]
    amounts = {answer.arguments["amount"] for answer in answers if answer.action == "raise"}
    assert {answer.action for answer in answers} == {"check", "raise"}
    assert {100, 300, 600, 9700} <= amounts  # the least, half the pot, the pot, all-in


def test_it_draws_the_same_again_only_by_a_seed(tmp_path: Path) -> None:
    path = untrained(tmp_path, Settings(game="kuhn", preset="tiny"))

    def drawn(seed: int | None) -> list[object]:
        agent = agents.agent_at("poker", path, seed=seed)
        return [agent.answer(observation("0", ("Pass", "Bet"))).arguments["to"] for _ in range(100)]

    assert drawn(5) == drawn(5)
    assert drawn(None) != drawn(None)


def test_it_refuses_what_it_can_t_read(tmp_path: Path) -> None:
    agent = agent_from(untrained(tmp_path, Settings(game="kuhn", preset="tiny")))
    with pytest.raises(NotItsGame, match="nothing that can be seen"):
        agent.answer(observation("a chess board", ("Pass", "Bet")))
    with pytest.raises(NotItsGame, match="to choose"):
        agent.answer(observation("0", ("resign",)))


def test_many_are_answered_at_once_and_what_it_can_t_read_is_refused_alone(tmp_path: Path) -> None:
    path = untrained(tmp_path, Settings(game="kuhn", preset="tiny"))
    good, moves = observation("0", ("Pass", "Bet")), ("Pass", "Bet")
    asked = [good, observation("a chess board", moves), good, observation("1pb", ("resign",))]
    said = agent_from(path, seed=1).answer_many(asked)
    assert [isinstance(each, Answer) for each in said] == [True, False, True, False]
    assert [isinstance(each, NotItsGame) for each in said] == [False, True, False, True]
    assert agent_from(path).answer_many([asked[1]])[0] is not None
    assert agent_from(path).answer_many([]) == []


def test_a_lighter_checkpoint_plays_nearly_the_same(tmp_path: Path) -> None:
    whole = untrained(tmp_path, Settings(preset="tiny"))
    size = checkpoint.lighten(whole, tmp_path / "light.safetensors")
    assert size < 0.6 * whole.stat().st_size
    (one, card), (other, same_card) = checkpoint.load(whole), checkpoint.load(tmp_path / "light.safetensors")
    assert card == same_card
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.allclose(mine, theirs, rtol=0.01)


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
