"""Having an Ollama server pull a model. It speaks lines of JSON, and keeps what it has of a pull that was broken off."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec
from rich.console import Console

from hearthmind.models import Litellm, Model, Provider
from services.command.fetching import BrokenOff, CannotFetch, Say, announce, gb, progress

LINE_MAX_BYTES = 64 * 1024
PATIENCE = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=120)
HERE = ("127.0.0.1", "localhost", "::1")


class Pulled(msgspec.Struct, frozen=True):
    """One line of a pull: what it does, and how far one of the files is."""

    status: str = ""
    error: str = ""
    digest: str = ""
    total: int = 0
    completed: int = 0


class _Version(msgspec.Struct, frozen=True):
    version: str


async def pull(model: Model, console: Console, say: Say) -> None:
    """Has each Ollama among the model's providers pull it."""
    settings = model.engine
    assert isinstance(settings, Litellm)
    async with aiohttp.ClientSession(timeout=PATIENCE) as session:
        found = [each for each in settings.providers if each.url and await _is_ollama(session, each)]
        if not found:
            where = ", ".join(each.url or each.model for each in settings.providers)
            why = f"no Ollama server answers at {where}; start it (`ollama serve`), or let the other server fetch it"
            raise CannotFetch(model=model.name, why=why)
        for provider in found:
            await _pull(session, model.name, provider, console, say)


def _base(provider: Provider) -> str:
    return provider.url.rstrip("/").removesuffix("/v1")


async def _is_ollama(session: aiohttp.ClientSession, provider: Provider) -> bool:
    try:
        async with session.get(f"{_base(provider)}/api/version") as response:
            msgspec.json.decode(await response.content.read(4096), type=_Version)
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError):
        return False


async def _pull(session: aiohttp.ClientSession, name: str, provider: Provider, console: Console, say: Say) -> None:
    sizes: dict[str, int] = {}
    last = ""
    with progress(console) as shown:
        task = shown.add_task(provider.model, total=None)
        done: dict[str, int] = {}
        async for line in _lines(session, name, provider):
            if line.error:
                raise CannotFetch(
                    model=name, why=f"Ollama says {line.error!r}; correct `model` of its provider, or try again"
                )
            last = line.status
            if line.digest and line.total:
                if line.digest not in sizes:
                    _fits(name, provider, line, say)
                sizes[line.digest], done[line.digest] = line.total, line.completed
            shown.update(task, description=f"{provider.model}: {last}", completed=sum(done.values()))
            shown.update(task, total=sum(sizes.values()) or None)
    if last != "success":
        raise BrokenOff(model=name, why=f"Ollama fell silent after {last!r}")
    say(f"{provider.model}, {gb(sum(sizes.values()))}, is at Ollama, {_base(provider)}")


def _fits(name: str, provider: Provider, line: Pulled, say: Say) -> None:
    """Ollama says the size of a file when it begins it; the room for it can be seen where its disk is this machine's."""
    what = f"{provider.model}, {line.status}"
    if urlsplit(provider.url).hostname in HERE:
        home = Path(os.environ.get("OLLAMA_MODELS") or "~/.ollama/models").expanduser()
        announce(name, what, line.total, line.total - line.completed, home, "OLLAMA_MODELS", say)
    else:
        say(f"{what}: {gb(line.total)}, on the disk of {urlsplit(provider.url).hostname}")


async def _lines(session: aiohttp.ClientSession, name: str, provider: Provider) -> AsyncIterator[Pulled]:
    try:
        async with session.post(
            f"{_base(provider)}/api/pull", json={"model": provider.model, "stream": True}
        ) as response:
            async for line in response.content:
                if line.strip():
                    yield msgspec.json.decode(line[:LINE_MAX_BYTES], type=Pulled)
    except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError) as error:
        raise BrokenOff(model=name, why=f"Ollama broke off: {type(error).__name__} {error}".rstrip(". ")) from error
