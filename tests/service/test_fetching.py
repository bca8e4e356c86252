"""Fetching models: from servers that speak as the hub and as Ollama do, and from a folder; then without a network."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from rich.console import Console

from hearthmind.errors import EXIT_AGAIN, exit_status_of
from hearthmind.models import Hf, Litellm, Model, Provider
from hearthmind.testing.tiny_model import tiny_llama
from hearthmind.testing.waiting import until
from services.command.fetching import BrokenOff, CannotFetch, from_folder
from services.command.ollama import pull
from tests.engines.behaviour import needs

from .hub import TOKEN, Hub, Ollama, listening

NAME = "tribe/tiny-llama"
NOWHERE = "http://127.0.0.1:9"
QUIET = Console(quiet=True)
ANSWERS = """
import asyncio, sys
from hearthmind.models import model_named
from services.inference_worker.engines.choose import engine_for
from tests.engines.behaviour import ask

async def main():
    engine = engine_for(model_named("hf_tiny"))
    await engine.start()
    print("answered", (await engine.answer(ask())).tokens_out)
    await engine.close()

asyncio.run(main())
"""


def small() -> dict[str, bytes]:
    """What a repository has: a model in two layouts, and what comes along."""
    return {
        "config.json": b"{}",
        "tokenizer.json": b"[]",
        "README.md": b"about",
        "model.safetensors": b"s" * 200_000,
        "consolidated.safetensors": b"c" * 200_000,
        "pytorch_model.bin": b"p" * 200_000,
        "original/consolidated.00.pth": b"o" * 200_000,
    }


class Reader:
    """Somebody with a models' file and a cache of their own."""

    def __init__(self, folder: Path, hub: str = NOWHERE) -> None:
        self.home = folder / "home"
        (folder / "models.yaml").write_text(f"models:\n  hf_tiny: {{path: {NAME}}}\n")
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HEARTH"))}
        self.environment |= {
            "HEARTHMIND_MODELS__PATH": str(folder / "models.yaml"),
            "HF_HOME": str(self.home),
            "HF_ENDPOINT": hub,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "COLUMNS": "200",
        }

    async def started(self, *words: object, **environment: str) -> asyncio.subprocess.Process:
        command = (sys.executable, *map(str, words))
        return await asyncio.create_subprocess_exec(
            *command, env=self.environment | environment, stdout=PIPE, stderr=PIPE
        )

    async def typed(self, *words: object, **environment: str) -> tuple[int, str]:
        """`hearthmind models …`: its exit status, and what it said on both outputs."""
        return await self.run("-m", "services.command", "models", *words, **environment)

    async def run(self, *words: object, **environment: str) -> tuple[int, str]:
        process = await self.started(*words, **environment)
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, " ".join((err + out).decode().split())

    def kept(self) -> dict[str, bytes]:
        (version,) = (self.home / "hub" / f"models--{NAME.replace('/', '--')}" / "snapshots").iterdir()
        return {
            path.relative_to(version).as_posix(): path.read_bytes() for path in version.rglob("*") if path.is_file()
        }


@needs("huggingface_hub")
async def test_a_model_is_fetched_from_the_hub_once_and_only_what_is_needed(folder: Path) -> None:
    files = small()
    hub = Hub(NAME, files)
    async with listening(hub.app()) as address:
        reader = Reader(folder, address)
        assert "not here" in (await reader.typed("list"))[1]
        status, said = await reader.typed("fetch", "hf_tiny")
        assert status == 0, said
        assert "4 files: 0.2 MB, of which 0.2 MB are to come;" in said
        assert "GB are free at" in said
    wanted = {"config.json", "tokenizer.json", "model.safetensors", "README.md"}
    assert reader.kept() == {name: files[name] for name in wanted}
    assert sorted(hub.fetched) == sorted(wanted)
    status, said = await reader.typed("fetch", "hf_tiny")
    assert (status, "hf_tiny is there: 0.2 MB" in said) == (0, True), "no hub is asked for what is there"
    assert "there, 0.2 MB" in (await reader.typed("list"))[1]


@needs("huggingface_hub")
async def test_what_was_killed_goes_on_with_the_files_that_are_missing(folder: Path) -> None:
    hub = Hub(NAME, small(), holds="model.safetensors")
    async with listening(hub.app()) as address:
        reader = Reader(folder, address)
        fetching = await reader.started("-m", "services.command", "models", "fetch", "hf_tiny")
        await until(lambda: len(set(hub.fetched)) == 4 and len(reader.kept()) == 3)
        fetching.kill()
        await fetching.communicate()
        assert "lacks its weights" in (await reader.typed("list"))[1]
        hub.holds = ""
        hub.let_go.set()
        hub.fetched.clear()
        status, said = await reader.typed("fetch", "hf_tiny")
        assert status == 0, said
    assert hub.fetched == ["model.safetensors"]
    assert reader.kept()["model.safetensors"] == hub.files["model.safetensors"]


@needs("huggingface_hub")
async def test_a_gated_model_comes_after_a_login(folder: Path) -> None:
    async with listening(Hub(NAME, small(), is_gated=True).app()) as address:
        reader = Reader(folder, address)
        status, said = await reader.typed("fetch", "hf_tiny")
        assert status != 0
        assert (
            f"its licence has to be accepted at https://huggingface.co/{NAME}; then `hf auth login`, or set HF_TOKEN"
            in said
        )
        status, said = await reader.typed("fetch", "hf_tiny", HF_TOKEN=TOKEN)
        assert status == 0, said
        assert TOKEN not in said


@needs("huggingface_hub")
async def test_what_the_hub_refuses_is_put_in_words(folder: Path) -> None:
    async with listening(Hub("tribe/other", small()).app()) as address:
        status, said = await Reader(folder, address).typed("fetch", "hf_tiny")
        assert status != 0
        assert f"the hub has no '{NAME}' that everybody may see: correct `path`" in said
    status, said = await Reader(folder, NOWHERE).typed("fetch", "hf_tiny")
    assert status == EXIT_AGAIN
    assert "Type the same command again" in said
    status, said = await Reader(folder, NOWHERE).typed("fetch", "hf_tiny", HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE forbids to ask the hub" in said


@needs("huggingface_hub", "torch", "transformers")
async def test_what_was_fetched_runs_without_a_network(folder: Path) -> None:
    files = {path.name: path.read_bytes() for path in tiny_llama().iterdir() if path.is_file()}
    async with listening(Hub(NAME, files).app()) as address:
        reader = Reader(folder, address)
        assert (await reader.typed("fetch", "hf_tiny"))[0] == 0
    (folder / "answers.py").write_text(ANSWERS)
    root = Path(__file__).parents[2]
    status, said = await reader.run(folder / "answers.py", HF_ENDPOINT=NOWHERE, PYTHONPATH=f"{root}:{root / 'shared'}")
    assert status == 0, said
    assert "answered 16" in said


async def test_a_folder_becomes_what_its_name_on_the_hub_means(folder: Path) -> None:
    source = folder / "stick"
    for name, data in small().items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    reader = Reader(folder)
    status, said = await reader.typed("fetch", "hf_tiny", "--from", source)
    assert status == 0, said
    assert "4 files: 0.2 MB, of which 0.2 MB are to come;" in said
    assert set(reader.kept()) == {"config.json", "tokenizer.json", "model.safetensors", "README.md"}
    assert "there, 0.2 MB" in (await reader.typed("list"))[1]


@pytest.fixture
def said() -> list[str]:
    """What is told to whoever fetches."""
    return []


def stick(folder: Path, *without: str) -> Path:
    """A folder with a model that was brought from elsewhere."""
    (folder / "stick").mkdir()
    for name, data in small().items():
        if "/" not in name and name not in without:
            (folder / "stick" / name).write_bytes(data)
    return folder / "stick"


def in_folder(folder: Path) -> Model:
    return Model(name="hf_tiny", pool="tiny", path=str(folder), engine=Hf())


def test_a_copy_goes_on_where_it_stopped(folder: Path, said: list[str]) -> None:
    source, target = stick(folder), folder / "kept"
    target.mkdir()
    (target / "model.safetensors.part").write_bytes(b"s" * 150_000)
    (target / "config.json").write_bytes(b"{}")
    from_folder(in_folder(target), source, QUIET, said.append)
    assert "of which 0.1 MB are to come" in said[0]
    assert (target / "model.safetensors").read_bytes() == small()["model.safetensors"]
    assert {path.name for path in target.iterdir()} == {
        "config.json",
        "tokenizer.json",
        "model.safetensors",
        "README.md",
    }


@pytest.mark.parametrize(
    ("without", "lacks"),
    [
        (("config.json",), "config.json"),
        (("tokenizer.json",), "its tokenizer"),
        (("model.safetensors", "consolidated.safetensors", "pytorch_model.bin"), "its weights"),
    ],
)
def test_a_folder_that_lacks_something_is_refused(
    without: tuple[str, ...], lacks: str, folder: Path, said: list[str]
) -> None:
    with pytest.raises(CannotFetch, match=f"stick lacks {lacks}$"):
        from_folder(in_folder(folder / "kept"), stick(folder, *without), QUIET, said.append)


def test_a_part_that_is_named_and_missing_is_missed(folder: Path, said: list[str]) -> None:
    source = stick(folder)
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (source / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CannotFetch, match=r"stick lacks model-2\.safetensors"):
        from_folder(in_folder(folder / "kept"), source, QUIET, said.append)


def test_what_does_not_fit_is_refused_before_it_comes(folder: Path, said: list[str]) -> None:
    source, target = stick(folder), folder / "kept"
    with (source / "model.safetensors").open("wb") as file:
        file.truncate(10**12)  # a hole: it takes no room here
    with pytest.raises(CannotFetch, match="make room, or have `path` name another disk"):
        from_folder(in_folder(target), source, QUIET, said.append)
    assert "1000.0 GB, of which 1000.0 GB are to come" in said[0]
    assert not target.exists()


def at_ollama(address: str, model: str) -> Model:
    engine = Litellm(providers=(Provider(model=model, url=f"{address}/v1"),))
    return Model(name="litellm_far", pool="far", engine=engine)


async def test_ollama_pulls_and_goes_on_where_it_stopped(folder: Path, said: list[str]) -> None:
    server = Ollama("mistral", 4_000_000, breaks_at=2_000_000)
    async with listening(server.app()) as address:
        with pytest.raises(BrokenOff, match="Type the same command again") as broken:
            await pull(at_ollama(address, "mistral"), QUIET, said.append)
        assert exit_status_of(broken.value) == EXIT_AGAIN
        assert "4.0 MB, of which 3.0 MB are to come;" in said[0]
        assert "GB are free at" in said[0]
        await pull(at_ollama(address, "mistral"), QUIET, said.append)
        assert "of which 1.0 MB are to come" in said[1]
        assert said[2:] == [f"mistral, 4.0 MB, is at Ollama, {address}"]
    assert server.pulled == ["mistral", "mistral"]


async def test_ollama_does_not_pull_what_does_not_fit(folder: Path, said: list[str]) -> None:
    async with listening(Ollama("mixtral", 10**15).app()) as address:
        with pytest.raises(CannotFetch, match="make room, or have OLLAMA_MODELS name"):
            await pull(at_ollama(address, "mixtral"), QUIET, said.append)


async def test_what_ollama_refuses_is_put_in_words(folder: Path, said: list[str]) -> None:
    async with listening(Ollama("mistral", 1000).app()) as address:
        with pytest.raises(CannotFetch, match=r"file does not exist.*correct `model` of its provider"):
            await pull(at_ollama(address, "mistrall"), QUIET, said.append)
    with pytest.raises(CannotFetch, match=f"no Ollama server answers at {address}/v1; start it"):
        await pull(at_ollama(address, "mistral"), QUIET, said.append)
