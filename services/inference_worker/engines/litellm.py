"""`litellm_…`: models on other servers: hosted providers, Ollama, anything that speaks the OpenAI protocol.

The law: an answer comes from the first provider that may be asked and answers; one that fails, or does not heed the schema, is
asked `tries` times in all, then the next; nobody asks one that rests; and no key is in an error, a log or a trace.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import aiohttp

from hearthmind.contracts.inference import Infer
from hearthmind.errors import CannotStart, HearthmindError
from hearthmind.models import Litellm, Model, Provider
from services.inference_worker.engines import Adapter, CannotServe, Generated
from services.inference_worker.engines.breaker import Breaker, Window
from services.inference_worker.engines.heeding import problem
from services.inference_worker.engines.providers import Busy, Failed, Unacceptable, ask_url, key_of, without

AGAIN_AFTER_S = 0.2
"""Before a provider is asked again; twice as long each time, and up to as much again by chance."""

Ask = Callable[[Provider, Infer, float], Awaitable[Generated]]


class NobodyAnswers(HearthmindError):
    """No provider of {model} answered: {why}."""


class LitellmEngine:
    """Asks a model's providers in their order."""

    adapters_max = 0
    ailment = ""

    def __init__(self, model: Model, settings: Litellm) -> None:
        self.model = model.name
        self.slots_max = settings.slots
        self.progress = 0
        self.cost_usd = 0.0
        """What all answers together cost."""
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._asks: list[tuple[Provider, Breaker, Ask]] = []

    async def start(self) -> None:
        """Looks for the keys; raises `CannotStart` with the variables that lack one."""
        providers = self._settings.providers
        missing = sorted({each.key_env for each in providers if each.key_env and not key_of(each)})
        if missing:
            raise CannotStart(
                why=f"{self.model} needs a key in {', '.join(missing)}; set it, or its name with _FILE behind it"
            )
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=self.slots_max))
        by_name: Ask | None = None
        if any(not each.url for each in providers):
            by_name = await asyncio.to_thread(_litellm, self.model)
        for each in providers:
            breaker = Breaker(
                self._settings.failures_max,
                self._settings.rest_s,
                Window(each.requests_per_minute),
                Window(each.tokens_per_minute),
            )
            self._asks.append((each, breaker, self._by_url if each.url or by_name is None else by_name))

    async def answer(self, infer: Infer, adapter: Adapter | None = None) -> Generated:
        """The first answer that comes; cancelling it closes the connection."""
        if adapter is not None:
            raise CannotServe(why=f"{self.model} takes no adapters, such as {adapter.version}")
        if not infer.prompt:
            raise CannotServe(why="it has no prompt, and this model reads nothing else")
        whys: list[str] = []
        if (found := await self._first(infer, whys)) is None:
            wait_s = min((breaker.wait_s(time.monotonic()) for _, breaker, _ in self._asks), default=0.0)
            if not any(breaker.broken for _, breaker, _ in self._asks) and 0 < wait_s <= self._settings.timeout_s:
                await asyncio.sleep(wait_s)
                found = await self._first(infer, whys)
        if found is None:
            raise NobodyAnswers(model=self.model, why="; ".join(whys))
        self.progress += found.tokens_out
        return found

    async def load(self, adapter: Adapter) -> None:
        """Its models are others'."""
        raise CannotServe(why=f"{self.model} takes no adapters, such as {adapter.version}")

    async def unload(self, version: str) -> None:
        """It never holds one."""

    async def close(self) -> None:
        """Closes its connections."""
        if self._session is not None:
            await self._session.close()

    async def _first(self, infer: Infer, whys: list[str]) -> Generated | None:
        """Asks one provider after the other; says why each did not answer."""
        refusals = 0
        for provider, breaker, ask in self._asks:
            try:
                return await self._again_and_again(provider, breaker, ask, infer)
            except (Failed, Busy) as error:
                whys.append(f"{provider.model}: {error}")
            except Unacceptable as error:
                whys.append(f"{provider.model}: {error}")
                refusals += 1
        if refusals == len(self._asks):
            raise CannotServe(why="; ".join(whys))
        return None

    async def _again_and_again(self, provider: Provider, breaker: Breaker, ask: Ask, infer: Infer) -> Generated:
        for tried in range(self._settings.tries):
            if wait_s := breaker.wait_s(time.monotonic()):
                raise Busy(wait_s=round(wait_s, 1))
            try:
                return await self._once(provider, breaker, ask, infer)
            except Failed:
                if tried + 1 == self._settings.tries:
                    raise
                await asyncio.sleep(AGAIN_AFTER_S * 2**tried * (1 + random.random()))
        raise AssertionError("there is at least one try")

    async def _once(self, provider: Provider, breaker: Breaker, ask: Ask, infer: Infer) -> Generated:
        """One question; its breaker hears how it went."""
        breaker.asks(time.monotonic())
        try:
            found = await ask(provider, infer, self._settings.timeout_s)
            self.cost_usd += found.cost_usd
            _check_heeded(found.text, infer, provider)
        except Failed:
            breaker.failed(time.monotonic())
            raise
        except Busy as busy:
            breaker.told_to_wait(float(str(busy.facts["wait_s"])), time.monotonic())
            raise
        except BaseException:
            breaker.left()
            raise
        breaker.answered(found.tokens_in + found.tokens_out, time.monotonic())
        return found

    async def _by_url(self, provider: Provider, infer: Infer, timeout_s: float) -> Generated:
        assert self._session is not None
        return await ask_url(self._session, provider, infer, timeout_s)


def _check_heeded(text: str, infer: Infer, provider: Provider) -> None:
    """What is of no use to whoever asked is a failure of the provider: the next one may do better."""
    if infer.answer_schema and (why := problem(text, infer.answer_schema)):
        raise Failed(why=without(key_of(provider), why))


def _litellm(model: str) -> Ask:
    try:
        from services.inference_worker.engines.litellm_calls import ask_litellm
    except ModuleNotFoundError as error:
        why = f"{model} has a provider without `url`, which needs the library {error.name}; `./just models` installs it"
        raise CannotStart(why=why) from error
    return ask_litellm
