"""What every engine that runs a model's files has to do; each engine's tests run it on the same tiny model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest

from hearthmind.contracts.inference import USER, Infer, Sampling, Turn
from hearthmind.errors import HearthmindError
from hearthmind.testing.tiny_model import TEXT, tiny_adapter, tiny_llama
from hearthmind.testing.waiting import until
from services.inference_worker.engines import Adapter, CannotServe, Engine, Generated

PROMPTS = ("Build, trade, attack or wait?", TEXT, TEXT + "The raid comes at night.", "wood, clay")
CONTEXT = 2048
SCHEMA = {
    "type": "object",
    "properties": {
        "action": {"enum": ["build", "trade", "wait"]},
        "village": {"type": "integer", "minimum": 1, "maximum": 30},
    },
    "required": ["action", "village"],
    "additionalProperties": False,
}


def needs(*libraries: str) -> pytest.MarkDecorator:
    """Skips what can't run without these."""
    missing = [library for library in libraries if find_spec(library) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not here; `./just models` installs it")


def ask(text: str = TEXT, *, schema: object = None, priority: int = 7, **sampling: object) -> Infer:
    """A request for one answer; the best tokens and few of them, unless it says otherwise."""
    drawing = Sampling(**({"tokens_max": 16, "temperature": 0.0} | sampling))  # type: ignore[arg-type]
    return Infer(
        game="realm",
        npc="n1",
        decision="d1",
        attempt=1,
        partition=0,
        tier="routine",
        priority=priority,
        pool="tiny",
        model="tiny",
        prompt=(Turn(USER, text),) if text else (),
        answer_schema=json.dumps(schema) if schema is not None else "",
        sampling=drawing,
    )


def obeys(text: str) -> None:
    """Fails where the text is not what `SCHEMA` allows, in JSON without a blank."""
    value = json.loads(text)
    jsonschema.Draft202012Validator(SCHEMA).validate(value)
    assert text == json.dumps(value, separators=(",", ":"))


def adapter(seed: int) -> Adapter:
    """One that says other words with another seed."""
    return Adapter(f"tiny@{seed}", f"{seed:064x}", tiny_adapter(seed=seed))


@asynccontextmanager
async def running(engine: Engine) -> AsyncIterator[Engine]:
    """The engine from its start to its close."""
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


@cache
def by_transformers(folder: Path, text: str, tokens: int) -> str:
    """What plain transformers says at temperature 0: what all engines are compared with."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    prompt = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        said = model.generate(**prompt, max_new_tokens=tokens, do_sample=False)[0]
    return str(tokenizer.decode(said[prompt["input_ids"].shape[1] :], skip_special_tokens=True))


class EngineBehaviour:
    """Subclassed by each engine's tests, which have a fixture `engine`."""

    async def test_the_best_tokens_are_those_of_transformers(self, engine: Engine) -> None:
        said = await asyncio.gather(*(engine.answer(ask(prompt)) for prompt in PROMPTS))
        assert [each.text for each in said] == [by_transformers(tiny_llama(), prompt, 16) for prompt in PROMPTS]

    async def test_each_of_many_at_once_has_its_own_parameters(self, engine: Engine) -> None:
        asked = [ask(tokens_max=1 + at % 12) for at in range(20)]
        asked += [ask(temperature=1.0, seed=at) for at in (1, 2, 1)] + [ask(schema=SCHEMA, tokens_max=64)]
        said = await asyncio.gather(*(engine.answer(each) for each in asked))
        assert [each.tokens_out for each in said[:20]] == [1 + at % 12 for at in range(20)]
        assert said[20].text == said[22].text != said[21].text
        obeys(said[23].text)
        assert all(each.tokens_in > 1 for each in said)
        assert all(each.first_token_ms > 0 for each in said)

    async def test_an_answer_obeys_its_schema_without_a_blank(self, engine: Engine) -> None:
        said = [await engine.answer(ask(schema=SCHEMA, tokens_max=64, temperature=1.0, seed=seed)) for seed in range(4)]
        for each in said:
            obeys(each.text)

    async def test_a_small_top_p_leaves_only_the_best(self, engine: Engine) -> None:
        best = await engine.answer(ask())
        assert (await engine.answer(ask(temperature=1.0, top_p=1e-6, seed=5))).text == best.text

    async def test_an_answer_ends_before_a_stop(self, engine: Engine) -> None:
        whole = (await engine.answer(ask("wood, clay"))).text
        stop = whole[3:5]
        assert (await engine.answer(ask("wood, clay", stop=(stop,)))).text == whole[: whole.index(stop)]

    async def test_what_is_cancelled_is_left_and_costs_no_more(self, engine: Engine) -> None:
        before = engine.progress
        long = [asyncio.create_task(engine.answer(ask(tokens_max=1900, temperature=1.5))) for _ in range(2)]
        await until(lambda: engine.progress > before)
        for task in long:
            task.cancel()
        await asyncio.gather(*long, return_exceptions=True)
        assert (await engine.answer(ask(tokens_max=3))).tokens_out == 3
        await _at_rest(engine)
        assert engine.progress - before < 1900

    async def test_a_bad_request_fails_alone_and_says_why(self, engine: Engine) -> None:
        bad = [ask(""), ask(TEXT * 200), ask(schema={"type": "nothing"})]
        results = await asyncio.gather(*(engine.answer(each) for each in [*bad, ask()]), return_exceptions=True)
        assert isinstance(results[-1], Generated)
        assert [type(each) for each in results[:3]] == [CannotServe] * 3
        assert "no prompt" in str(results[0])
        assert f"the context {CONTEXT}" in str(results[1])
        assert engine.ailment == ""

    async def test_adapters_come_and_go_while_others_are_answered(self, engine: Engine) -> None:
        plain = (await engine.answer(ask())).text
        others = asyncio.create_task(_again_and_again(engine))
        first, second = adapter(1), adapter(2)
        with pytest.raises(CannotServe, match="not loaded"):
            await engine.answer(ask(), first)
        await engine.load(first)
        await engine.load(second)
        said = [
            each.text for each in await asyncio.gather(*(engine.answer(ask(), each) for each in (first, second, None)))
        ]
        assert len({*said, plain}) == 3
        assert said[2] == plain
        await engine.unload(first.version)
        assert (await engine.answer(ask(), second)).text == said[1]
        await engine.load(first)
        assert (await engine.answer(ask(), first)).text == said[0]
        for each in (first, second):
            await engine.unload(each.version)
        others.cancel()
        assert await others == {plain}


async def answered_before_an_urgent_one(engine: Engine, routine: int) -> int:
    """How many of so many routine requests are answered before an urgent one that comes when the first of them is."""
    order: list[int] = []

    async def answered(priority: int) -> None:
        await engine.answer(ask(priority=priority, tokens_max=24))
        order.append(priority)

    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(answered(8)) for _ in range(routine)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        group.create_task(answered(0))
    return order.index(0)


async def _again_and_again(engine: Engine) -> set[str]:
    """Asks without end; what was said until it is cancelled."""
    said: set[str] = set()
    try:
        while True:
            said.add((await engine.answer(ask())).text)
    except asyncio.CancelledError:
        return said


async def _at_rest(engine: Engine) -> None:
    """Waits until the engine does nothing any more: many looks in a row see the same."""
    seen: list[int] = []

    def still() -> bool:
        seen.append(engine.progress)
        return len(seen) > 50 and len(set(seen[-50:])) == 1

    await until(still)


async def refused(engine: Engine, error: type[HearthmindError]) -> str:
    """Why the engine does not start."""
    try:
        with pytest.raises(error) as caught:
            await engine.start()
    finally:
        await engine.close()
    return str(caught.value)
