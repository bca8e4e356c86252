"""Agents: minds that learned one game and play it, found by name among what is installed.

    agent = agent_at("poker", Path("final_model.safetensors"))
    agent.answer(observation)         # one of the observation's legal actions

A package names whoever makes its agents by the entry point `hearthmind.agents`: a function of a path, and of a seed where the
play is to be the same again. So an agent plays wherever its package is installed, and nobody imports what trained it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, runtime_checkable

from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Event, Observation
from hearthmind.errors import CannotStart, HearthmindError, Refused

GROUP = "hearthmind.agents"


class UnknownAgent(CannotStart):
    """No agent is called {name!r}; installed are {known}. A package brings one by the entry point `hearthmind.agents`."""


class AgentCannotPlay(CannotStart):
    """The agent {name!r} can't play from {path}: {why}"""


class Agent(Protocol):
    """Somebody who learned a game."""

    def answer(self, observation: Observation | Event) -> Answer:
        """One of the legal actions; raises `Refused` where the observation is not of its game."""
        ...


@runtime_checkable
class AnswersMany(Protocol):
    """An agent that is faster when it is asked several things at once; nobody has to be."""

    def answer_many(self, observations: Sequence[Observation | Event]) -> list[Answer | Refused]:
        """For each one of its legal actions, or why it is not of its game."""
        ...


class Maker(Protocol):
    """What the entry point names."""

    def __call__(self, path: Path, *, seed: int | None = None) -> Agent:
        """The agent that a file describes; without a seed nobody can foresee what it draws."""
        ...


def installed() -> tuple[str, ...]:
    """The names of all agents that are installed."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def agent_at(name: str, path: Path, *, seed: int | None = None) -> Agent:
    """The agent of that name as the file describes it; raises `CannotStart` with what to do where there is none."""
    if not path.is_file():
        raise AgentCannotPlay(name=name, path=path, why="there is no such file; correct the path, or train one.")
    points = tuple(entry_points(group=GROUP, name=name))
    if not points:
        raise UnknownAgent(name=name, known=", ".join(installed()) or "none")
    try:
        make: Maker = points[0].load()
        return make(path, seed=seed)
    except ModuleNotFoundError as error:
        why = f"it needs the library {error.name}; `./just models` installs what the house's own agents need."
        raise AgentCannotPlay(name=name, path=path, why=why) from error
    except HearthmindError as error:
        raise AgentCannotPlay(name=name, path=path, why=error) from error
