"""The engine on onnxruntime-genai, on a tiny model's export."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hearthmind.errors import CannotStart
from hearthmind.models import Model, Onnx
from hearthmind.testing.tiny_model import TEXT, tiny_llama, tiny_onnx
from services.inference_worker.engines import Engine
from services.inference_worker.engines.choose import engine_for
from tests.engines.behaviour import (
    CONTEXT,
    EngineBehaviour,
    answered_before_an_urgent_one,
    ask,
    needs,
    refused,
    running,
)

pytestmark = needs("onnxruntime_genai", "llguidance", "torch", "onnx", "peft")


def model(path: Path) -> Model:
    return Model(name="onnx_tiny", pool="tiny", path=str(path), engine=Onnx(context=CONTEXT, threads=1))


@pytest.fixture(scope="module")
async def engine() -> AsyncIterator[Engine]:
    async with running(engine_for(model(tiny_onnx(tiny_llama())))) as engine:
        yield engine


class TestOnnx(EngineBehaviour):
    async def test_what_prompts_begin_with_in_common_is_read_once(self, engine: Engine) -> None:
        first = await engine.answer(ask(TEXT * 3 + "Who comes?"))
        second = await engine.answer(ask(TEXT * 3 + "What now?"))
        assert second.tokens_cached > second.tokens_in * 0.8
        assert second.text != first.text
        again = await engine.answer(ask(TEXT * 3 + "Who comes?"))
        assert again.text == first.text

    async def test_the_urgent_one_is_answered_first(self, engine: Engine) -> None:
        assert await answered_before_an_urgent_one(engine, 20) < 5


async def test_a_folder_without_a_model_is_named(folder: Path) -> None:
    why = await refused(engine_for(model(folder)), CannotStart)
    assert str(folder) in why
    assert "onnx_export" in why


async def test_a_model_without_room_for_adapters_takes_none(folder: Path) -> None:
    exported = tiny_onnx(tiny_llama())
    for file in exported.iterdir():
        if file.name != "adapters.json":
            (folder / file.name).symlink_to(file)
    async with running(engine_for(model(folder))) as engine:
        assert engine.adapters_max == 0
