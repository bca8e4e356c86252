"""A past decision put to a mind again: what is asked otherwise, and what it says now. Nothing is done with the answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from hearthmind import legal, prompts, scripted
from hearthmind.contracts.inference import Answer, Inferred, Sampling, Turn
from hearthmind.errors import CannotStart
from hearthmind.flow import PROMPTS
from hearthmind.models import model_named
from hearthmind.persona import Persona
from hearthmind.personas import personas
from hearthmind.prompting import Mind, Templates, answer_schema, prompt_of, template_of, templates_in
from hearthmind.settings import load
from hearthmind.store.past import Past
from services.decision.reading import Unreadable, read
from services.decision.settings import Decision

WITHIN_S = 60.0


class NoMind(CannotStart):
    """No mind was asked about {decision}: {source} answered. Name one to ask now: --model onnx_nano."""


@dataclass(frozen=True)
class Otherwise:
    """What is to be different this time; what is empty stays as it was."""

    model: str = ""
    template: str = ""
    persona: str = ""
    adapter: str = ""


@dataclass(frozen=True)
class Again:
    """What a mind says now."""

    model: str
    adapter: str
    template: str
    persona: str
    prompt: tuple[Turn, ...]
    is_the_same: bool
    """Whether that is the prompt of then, to the letter."""
    said: Inferred
    answer: Answer | None
    why: str
    took_ms: float


class Asking:
    """Asks again, over the workers of a running platform."""

    def __init__(self, otherwise: Otherwise, url: str, password: str, opened: AsyncExitStack) -> None:
        settings = load("decision", Decision)
        self._otherwise = otherwise
        self._url, self._password, self._opened = url, password, opened
        self._askers: dict[tuple[str, str, str], prompts.Prompts] = {}
        self._sampling = Sampling(tokens_max=settings.tokens_max, temperature=settings.temperature)
        self._templates: Templates = templates_in(settings.templates)
        self._personas = personas(Path(settings.personas) if settings.personas else None)
        if otherwise.template and otherwise.template.partition("@")[0] not in self._templates.names:
            known = ", ".join(sorted(self._templates.names))
            raise CannotStart(why=f"there is no template {otherwise.template!r}; there are {known}")

    async def ask(self, past: Past) -> Again:
        """What a mind says to it now."""
        wanted = self._otherwise
        name = wanted.model or past.model
        if not name:
            raise NoMind(decision=past.decision, source=past.source)
        model, persona = model_named(name), self._persona(past)
        if model.kind == "rules":
            return _by_rules(past, name, persona)
        is_the_same = bool(past.prompt) and not (wanted.template or wanted.persona)
        template = (wanted.template or past.template).partition("@")[0]
        turns, ref = past.prompt, past.template
        if not is_the_same:
            turns = prompt_of(past.observation, Mind(persona), templates=self._templates, template=template)
            ref = template_of(past.observation, templates=self._templates, template=template)
        adapter = wanted.adapter or (persona.adapter if wanted.persona else past.adapter)
        began_s = time.monotonic()
        said = await self._said(past, model.pool, name, turns, adapter)
        took_ms = (time.monotonic() - began_s) * 1000
        answer, why = _read(past, said)
        return Again(name, said.adapter, ref, persona.ref, turns, is_the_same, said, answer, why, took_ms)

    def _persona(self, past: Past) -> Persona:
        named = self._otherwise.persona
        return self._personas.named(named) if named else self._personas.of(past.observation)

    async def _said(self, past: Past, pool: str, model: str, turns: Sequence[Turn], adapter: str) -> Inferred:
        asker = (past.game, pool, model)
        if asker not in self._askers:
            connecting = prompts.connect(
                self._url, user=PROMPTS, password=self._password, game=past.game, pool=pool, model=model
            )
            self._askers[asker] = await self._opened.enter_async_context(connecting)
        (said,) = await self._askers[asker].ask_all(
            [tuple(turns)],
            answer_schema=answer_schema(past.observation),
            sampling=self._sampling,
            adapter=adapter,
            varied=True,  # an answer from the cache would tell nothing of the time
            within_s=WITHIN_S,
        )
        return said


def _by_rules(past: Past, name: str, persona: Persona) -> Again:
    """The scripted mind needs nobody to be asked."""
    began_s = time.perf_counter()
    answer = scripted.choose(past.observation, persona.behaviour)
    took_ms = (time.perf_counter() - began_s) * 1000
    nobody = Inferred(game=past.game, npc=past.npc, decision=past.decision, attempt=1)
    return Again(name, "", "", persona.ref, (), False, nobody, answer, "", took_ms)


def _read(past: Past, said: Inferred) -> tuple[Answer | None, str]:
    """The legal answer in it, or why there is none."""
    if said.failed:
        return None, f"no answer ({said.failure}): {said.failed}"
    try:
        answer = read(said.text, past.observation)
    except Unreadable as error:
        return None, f"it can't be read: {error}"
    problem = legal.problem(past.observation, answer.action, answer.arguments)
    return (None, f"it is not legal: {problem}") if problem else (answer, "")
