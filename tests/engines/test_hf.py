"""The engine on transformers, on a tiny decoder and a tiny encoder-decoder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hearthmind.errors import CannotStart
from hearthmind.models import Hf, Model
from hearthmind.testing.tiny_model import tiny_llama, tiny_t5
from services.inference_worker.engines import Engine
from services.inference_worker.engines.choose import engine_for
from tests.engines.behaviour import (
    CONTEXT,
    PROMPTS,
    SCHEMA,
    EngineBehaviour,
    ask,
    by_transformers,
    needs,
    obeys,
    refused,
    running,
)

pytestmark = needs("torch", "transformers", "peft", "llguidance")


def model(path: Path, context: int = CONTEXT) -> Model:
    return Model(name="hf_tiny", pool="tiny", path=str(path), engine=Hf(context=context, device="cpu"))


@pytest.fixture(scope="module")
async def engine() -> AsyncIterator[Engine]:
    async with running(engine_for(model(tiny_llama()))) as engine:
        yield engine


class TestHf(EngineBehaviour):
    pass


async def test_an_encoder_decoder_says_the_same_alone_and_among_others() -> None:
    async with running(engine_for(model(tiny_t5(), 512))) as engine:
        together = await asyncio.gather(*(engine.answer(ask(prompt)) for prompt in PROMPTS))
        alone = [await engine.answer(ask(prompt)) for prompt in PROMPTS]
        assert [each.text for each in together] == [each.text for each in alone]
        assert len({each.text for each in alone}) > 1
        obeyed = await engine.answer(ask(schema=SCHEMA, tokens_max=64))
        obeys(obeyed.text)


async def test_a_chat_model_gets_its_own_template() -> None:
    async with running(engine_for(model(tiny_llama(chat=True)))) as engine:
        said = await engine.answer(ask("Who comes?"))
    assert said.text != by_transformers(tiny_llama(), "Who comes?", 16)


async def test_a_folder_without_a_model_is_named(folder: Path) -> None:
    assert str(folder) in await refused(engine_for(model(folder)), CannotStart)
