"""`policy_…`: an agent that learned a game, as the package that brought it plays it; it reads the observation, not the prompt.

The agent is found by its name (`hearthmind.agents`), so that this service knows nobody who trains one. One thread asks it, the
most urgent request first, and those that wait together at once where the agent can do that.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hearthmind.agents import Agent, AnswersMany, agent_at
from hearthmind.bus.wire import encode
from hearthmind.contracts.inference import Answer, Infer
from hearthmind.contracts.observation import Event, Observation
from hearthmind.errors import Refused
from hearthmind.models import Model, Policy
from services.inference_worker.engines import Adapter, CannotServe, Generated
from services.inference_worker.engines.thread import Bench


class PolicyEngine:
    """Plays what the file of the model's `path` has learned."""

    adapters_max = 0

    def __init__(self, model: Model, settings: Policy) -> None:
        self.model = model.name
        self.slots_max = settings.slots
        self.progress = 0
        self._name, self._path = settings.agent, Path(model.path)
        self._bench: Bench[Observation | Event] | None = None
        self._at_once = 1

    @property
    def ailment(self) -> str:
        """Why it can't work any more, where it knows."""
        return self._bench.ailment if self._bench else ""

    async def start(self) -> None:
        """Makes the agent; raises `CannotStart` with what to do where it can't."""
        bench: Bench[Observation | Event] = Bench(f"engine {self.model}", self._work)
        try:
            self._agent: Agent = await bench.do(lambda: agent_at(self._name, self._path))
        except BaseException:
            await bench.close()
            raise
        self._bench = bench
        if isinstance(self._agent, AnswersMany):
            self._at_once = self.slots_max

    async def answer(self, infer: Infer, adapter: Adapter | None = None) -> Generated:  # noqa: ARG002 (it takes none)
        """The agent's action, as the JSON that a model would write."""
        if self._bench is None:
            raise CannotServe(why=f"{self.model} is not started")
        if infer.observation is None:
            raise CannotServe(why=f"{self.model} answers observations, and this request has only a prompt")
        return Generated(str(await self._bench.ask(infer.observation, infer.priority)))

    async def load(self, adapter: Adapter) -> None:
        """An agent has no weights that anybody could adapt."""
        raise CannotServe(why=f"{self.model} takes no adapters, such as {adapter.version}")

    async def unload(self, version: str) -> None:
        """It never holds one."""

    async def close(self) -> None:
        """Ends its thread."""
        if self._bench:
            await self._bench.close()

    def _work(self, bench: Bench[Observation | Event]) -> None:
        works = bench.take(self._at_once)
        if not works:
            return
        for work, answer in zip(works, self._answers([work.wanted for work in works]), strict=True):
            if isinstance(answer, Exception):
                work.end(error=CannotServe(why=answer) if isinstance(answer, Refused) else answer)
            else:
                work.end(encode(answer).decode())
            self.progress += 1

    def _answers(self, observations: list[Observation | Event]) -> Sequence[Answer | Exception]:
        try:
            if isinstance(self._agent, AnswersMany):
                return self._agent.answer_many(observations)
            return [self._agent.answer(observations[0])]
        except Exception as error:  # it is an asker's: who asked beside it is answered alone
            if len(observations) == 1:
                return [error]
            return [self._answers([observation])[0] for observation in observations]
