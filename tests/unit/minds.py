"""A mind in the test's own process: observations are built and checked as the real client does, and answered at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from hearthmind import legal
from hearthmind.acting import action_of
from hearthmind.bus.wire import decode, encode
from hearthmind.client import Client, Decision
from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Choice, LegalAction, Observation, Parameter
from hearthmind.contracts.wire import Fact

Chooses = Callable[[Observation], Answer]


@dataclass
class Told:
    decision: Decision
    success: bool
    facts: dict[str, Fact]
    state_after: dict[str, Any]
    game_time: float
    opponent: str | None = None
    related: tuple[str, ...] = ()


class Mind(Client):
    def __init__(self, game: str, chooses: Chooses) -> None:
        self.game = game
        self.asked: list[Decision] = []
        self.told: list[Told] = []
        self._chooses = chooses

    async def ask(self, observation: Observation) -> Decision:
        assert decode(encode(observation), type(observation)) == observation
        answer = self._chooses(observation)
        assert legal.problem(observation, answer.action, answer.arguments) is None
        self.asked.append(Decision(observation, action_of(observation, answer, "rules"), 0.0))
        return self.asked[-1]

    async def report(
        self,
        decision: Decision,
        *,
        success: bool,
        facts: Mapping[str, Fact] | None = None,
        state_after: Mapping[str, Any] | None = None,
        game_time: float | None = None,
        opponent: str | None = None,
        related: Iterable[str] = (),
    ) -> None:
        assert not decision.is_reported
        decision.is_reported = True
        assert game_time is not None
        told = Told(decision, success, dict(facts or {}), dict(state_after or {}), game_time, opponent, tuple(related))
        self.told.append(told)


def anything(seed: int) -> Chooses:
    """Any legal action with any legal arguments."""
    dice = Random(seed)
    return lambda observation: any_of(observation.legal_actions, dice)


def any_of(actions: tuple[LegalAction, ...], dice: Random) -> Answer:
    action = dice.choice(actions)
    return Answer(action=action.name, arguments={name: _any(value, dice) for name, value in action.parameters.items()})


def _any(parameter: Parameter, dice: Random) -> Fact:
    if isinstance(parameter, Choice):
        return dice.choice(parameter.enum)
    return dice.randint(int(parameter.minimum), int(parameter.maximum))
