"""The engine for other servers: vLLM's own server on the tiny model, and one that misbehaves on purpose, over real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from hearthmind.errors import CannotStart
from hearthmind.models import Litellm, Model, Provider
from hearthmind.testing.tiny_model import tiny_llama
from hearthmind.testing.waiting import until
from services.inference_worker.engines import CannotServe
from services.inference_worker.engines.choose import engine_for
from services.inference_worker.engines.kin import Kin
from services.inference_worker.engines.litellm import LitellmEngine, NobodyAnswers
from tests.engines.behaviour import SCHEMA, ask, needs, obeys, running
from tests.engines.wayward import KEY, Wayward, wayward

HEEDS = '{"action":"wait","village":1}'
"""An answer that `SCHEMA` allows."""


@pytest.fixture
async def servers() -> AsyncIterator[tuple[Wayward, Wayward]]:
    """Two of them."""
    async with wayward() as first, wayward() as second:
        yield first, second


def engine_of(*providers: Provider, **settings: float) -> LitellmEngine:
    chosen = Litellm(providers=providers, **{"timeout_s": 0.5, "rest_s": 0.2} | settings)  # type: ignore[arg-type]
    engine = engine_for(Model(name="litellm_tiny", pool="far", engine=chosen))
    assert isinstance(engine, LitellmEngine)
    return engine


def provider(server: Wayward, **facts: object) -> Provider:
    return Provider(model="tiny", url=server.url, **facts)  # type: ignore[arg-type]


async def test_an_answer_with_its_usage_and_cost(servers: tuple[Wayward, Wayward]) -> None:
    servers[0].says = HEEDS
    one = provider(servers[0], usd_per_million_in=10.0, usd_per_million_out=100.0)
    async with running(engine_of(one)) as engine:
        said = await engine.answer(ask("Who comes?", stop=(";",), seed=3, schema=SCHEMA))
        await engine.answer(ask("Who comes?"))
    assert (said.text, said.tokens_in, said.tokens_cached, said.tokens_out) == (HEEDS, 100, 64, 2)
    assert said.cost_usd == pytest.approx(0.0012)
    assert engine.cost_usd == pytest.approx(0.0024)  # type: ignore[attr-defined]
    assert said.first_token_ms > 0
    sent = servers[0].asked[0]
    assert sent["messages"] == [{"role": "user", "content": "Who comes?"}]
    assert (sent["stop"], sent["seed"], sent["max_tokens"], sent["temperature"]) == ([";"], 3, 16, 0.0)
    assert sent["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
    }
    assert "response_format" not in servers[0].asked[1]


async def test_who_obeys_no_schema_is_told_it_in_words(servers: tuple[Wayward, Wayward]) -> None:
    servers[0].says = HEEDS
    async with running(engine_of(provider(servers[0], schema=False))) as engine:
        await engine.answer(ask(schema=SCHEMA))
    assert "response_format" not in servers[0].asked[0]
    assert json.dumps(SCHEMA) in str(servers[0].asked[0]["messages"])[:].replace("\\'", "'")


@pytest.mark.parametrize("behaviour", ["hangs", "500", "page", "nothing", "half", "breaks off", "closes"])
async def test_the_next_provider_answers_when_one_fails(servers: tuple[Wayward, Wayward], behaviour: str) -> None:
    servers[0].behaviours = [behaviour]
    async with running(engine_of(provider(servers[0]), provider(servers[1]), tries=1)) as engine:
        assert (await engine.answer(ask())).text == "wait"
        assert (len(servers[0].asked), len(servers[1].asked)) == (1, 1)
    await until(lambda: servers[0].open == 0)


@pytest.mark.parametrize("behaviour", ["hangs", "500", "page", "nothing", "half", "breaks off", "closes"])
async def test_the_breaker_opens_within_three_failures_and_probes_to_close(
    servers: tuple[Wayward, Wayward], behaviour: str
) -> None:
    servers[0].behaviours = [behaviour]
    async with running(engine_of(provider(servers[0]), tries=1, timeout_s=0.1, rest_s=0.3)) as engine:
        for _ in range(5):
            with pytest.raises(NobodyAnswers):
                await engine.answer(ask())
        assert len(servers[0].asked) == 3
        servers[0].behaviours = ["well"]

        async def answers() -> bool:
            try:
                return (await engine.answer(ask())).text == "wait"
            except NobodyAnswers:
                return False

        await until(answers)
        assert len(servers[0].asked) == 4


@pytest.mark.parametrize(
    "says,why",
    [
        ('{"action":"wait","vill', "no JSON object"),
        ("I would rather wait.", "no JSON object"),
        ('{"action":"surrender","village":1}', "not allowed"),
        ('{"action":"wait","village":31}', "not allowed"),
    ],
)
async def test_who_does_not_heed_the_schema_has_failed(servers: tuple[Wayward, Wayward], says: str, why: str) -> None:
    servers[0].says, servers[1].says = says, HEEDS
    priced = [provider(server, usd_per_million_out=100.0) for server in servers]
    async with running(engine_of(*priced, tries=1)) as engine:
        assert (await engine.answer(ask(schema=SCHEMA))).text == HEEDS
        assert engine.cost_usd == pytest.approx(0.0004)  # type: ignore[attr-defined]
    async with running(engine_of(provider(servers[0]), tries=1)) as engine:
        for _ in range(3):
            with pytest.raises(NobodyAnswers, match=why):
                await engine.answer(ask(schema=SCHEMA))
        with pytest.raises(NobodyAnswers, match="of rest"):
            await engine.answer(ask(schema=SCHEMA))
        assert len(servers[0].asked) == 4


async def test_a_failure_is_tried_again(servers: tuple[Wayward, Wayward]) -> None:
    servers[0].behaviours = ["500", "well"]
    async with running(engine_of(provider(servers[0]))) as engine:
        assert (await engine.answer(ask())).text == "wait"
    assert len(servers[0].asked) == 2


async def test_a_busy_provider_is_left_alone_for_as_long_as_it_says(servers: tuple[Wayward, Wayward]) -> None:
    servers[0].behaviours = ["busy", "well"]
    async with running(engine_of(provider(servers[0]))) as engine:
        assert (await engine.answer(ask())).text == "wait"
    assert len(servers[0].asked) == 2
    servers[0].behaviours = ["busy"]
    async with running(engine_of(provider(servers[0]), provider(servers[1]))) as engine:
        assert (await engine.answer(ask())).text == "wait"
        assert (len(servers[0].asked), len(servers[1].asked)) == (3, 1)


async def test_no_more_is_sent_in_a_minute_than_allowed(servers: tuple[Wayward, Wayward]) -> None:
    first, second = provider(servers[0], requests_per_minute=2), provider(servers[1])
    async with running(engine_of(first, second)) as engine:
        await asyncio.gather(*(engine.answer(ask()) for _ in range(6)))
    assert (len(servers[0].asked), len(servers[1].asked)) == (2, 4)


async def test_what_no_provider_accepts_is_refused_and_breaks_nothing(servers: tuple[Wayward, Wayward]) -> None:
    servers[0].behaviours = ["400"]
    async with running(engine_of(provider(servers[0]))) as engine:
        for _ in range(5):
            with pytest.raises(CannotServe, match="no such parameter"):
                await engine.answer(ask())
        servers[0].behaviours = ["whole"]
        assert (await engine.answer(ask())).text == "wait"


async def test_who_is_cancelled_closes_the_connection(servers: tuple[Wayward, Wayward]) -> None:
    servers[0].behaviours = ["hangs"]
    async with running(engine_of(provider(servers[0]), timeout_s=600)) as engine:
        answer = asyncio.create_task(engine.answer(ask()))
        await until(lambda: servers[0].open == 1)
        answer.cancel()
        await until(lambda: servers[0].open == 0)
        assert answer.cancelled() or answer.cancelling()


async def test_a_key_comes_from_the_environment_and_is_never_seen(
    servers: tuple[Wayward, Wayward], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, folder: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    engine = engine_of(provider(servers[0], key_env="A_PROVIDERS_KEY"), tries=1)
    with pytest.raises(CannotStart, match="A_PROVIDERS_KEY"):
        await engine.start()
    (folder / "key").write_text(KEY + "\n")
    monkeypatch.setenv("A_PROVIDERS_KEY_FILE", str(folder / "key"))
    servers[0].behaviours = ["well", "500", "400"]
    async with running(engine):
        await engine.answer(ask())
        assert servers[0].headers[0]["Authorization"] == f"Bearer {KEY}"
        for error in (NobodyAnswers, CannotServe):
            with pytest.raises(error) as caught:
                await engine.answer(ask())
            assert KEY not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
    assert KEY not in caplog.text


@needs("litellm")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # LiteLLM's own
async def test_litellm_asks_what_has_no_url(servers: tuple[Wayward, Wayward], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", servers[0].url)
    monkeypatch.setenv("A_PROVIDERS_KEY", KEY)
    servers[0].says = HEEDS
    by_name = Provider(model="openai/tiny", key_env="A_PROVIDERS_KEY")
    async with running(engine_of(by_name, tries=1, timeout_s=20)) as engine:
        said = await engine.answer(ask(schema=SCHEMA))
        assert (said.text, said.tokens_out) == (HEEDS, 2)
        assert servers[0].headers[0]["Authorization"] == f"Bearer {KEY}"
        servers[0].behaviours = ["500"]
        with pytest.raises(NobodyAnswers) as caught:
            await engine.answer(ask())
        assert KEY not in str(caught.value)
        servers[0].behaviours = ["400"]
        with pytest.raises(CannotServe):
            await engine.answer(ask())


@pytest.fixture(scope="module")
async def vllm_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """vLLM's own server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("vllm") / "log"
    arguments = ["--model", str(tiny_llama(chat=True)), "--served-model-name", "tiny", "--port", str(port)]
    arguments += ["--host", "127.0.0.1", "--dtype", "float32", "--enforce-eager", "--max-model-len", "1024"]
    arguments += ["--structured-outputs-config", '{"backend": "guidance", "disable_any_whitespace": true}']
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *arguments]
    kin = Kin()
    with log.open("wb") as out:
        environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1"}  # in GiB; otherwise it takes much of the machine
        process = await asyncio.create_subprocess_exec(*command, stdout=out, stderr=out, env=environment)
    try:
        url = f"http://127.0.0.1:{port}"

        async def ready() -> bool:
            assert process.returncode is None, log.read_text()[-4000:]
            try:
                async with aiohttp.ClientSession() as session, session.get(f"{url}/health") as response:
                    return bool(response.status == 200)
            except aiohttp.ClientError:
                return False

        await until(ready, within_s=600)
        yield f"{url}/v1"
    finally:
        kin.end()
        await process.wait()


@needs("vllm")
async def test_vllms_own_server_answers_and_obeys(vllm_url: str) -> None:
    async with running(engine_of(Provider(model="tiny", url=vllm_url), timeout_s=120)) as engine:
        said = await asyncio.gather(*(engine.answer(ask(schema=SCHEMA, tokens_max=64)) for _ in range(8)))
        for each in said:
            obeys(each.text)
            assert each.tokens_in > 10
            assert each.tokens_out > 3
        short, long = await asyncio.gather(*(engine.answer(ask(tokens_max=tokens)) for tokens in (2, 9)))
        assert long.text.startswith(short.text.rstrip("�"))
        with pytest.raises(CannotServe):
            await engine.answer(ask("wood " * 3000))
