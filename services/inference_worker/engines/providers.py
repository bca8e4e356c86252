"""One question to one provider, by the OpenAI protocol over a URL, or by LiteLLM where there is none.

A URL is asked directly: LiteLLM takes seconds to import and milliseconds of CPU for each request. Answers are streamed, so that
the time to the first words is known. What goes wrong is put in words that hold no key.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from hearthmind.contracts.inference import SYSTEM, Infer
from hearthmind.errors import HearthmindError
from hearthmind.models import Provider
from services.inference_worker.engines import Generated
from services.inference_worker.engines.words import as_messages, schema_of

ANSWER_MAX_BYTES = 1024 * 1024
SAID_MAX = 200


class Failed(HearthmindError):
    """The provider failed: {why}"""


class Busy(HearthmindError):
    """The provider wants {wait_s} s of rest."""


class Unacceptable(HearthmindError):
    """The provider does not accept the request: {why}"""


class Delta(msgspec.Struct, frozen=True):
    """The words of a part of an answer."""

    content: str | None = None


class Choice(msgspec.Struct, frozen=True):
    """A part of an answer, or all of it."""

    delta: Delta = Delta()
    message: Delta = Delta()
    finish_reason: str | None = None


class Details(msgspec.Struct, frozen=True):
    """More about what went in."""

    cached_tokens: int | None = None


class Usage(msgspec.Struct, frozen=True):
    """What was used."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: Details | None = None


class Chunk(msgspec.Struct, frozen=True):
    """One message of the protocol; what else is in it does not matter."""

    choices: list[Choice] = []
    usage: Usage | None = None


@dataclass
class Gathered:
    """An answer as it comes in."""

    began_s: float = field(default_factory=time.monotonic)
    parts: list[str] = field(default_factory=list)
    first_token_ms: float = 0.0
    usage: Usage = field(default_factory=Usage)
    whole: bool = False

    def take(self, chunk: Chunk) -> None:
        """Another part."""
        self.usage = chunk.usage or self.usage
        for choice in chunk.choices[:1]:
            words = choice.delta.content or choice.message.content
            if words:
                self.first_token_ms = self.first_token_ms or (time.monotonic() - self.began_s) * 1000
                self.parts.append(words)
            self.whole = self.whole or choice.finish_reason is not None

    def generated(self, provider: Provider, cost_usd: float | None = None) -> Generated:
        """The answer; raises `Failed` where it broke off or is empty."""
        if not self.whole or not self.parts:
            raise Failed(why="its answer broke off" if self.parts else "it answered nothing")
        if cost_usd is None:
            cost_usd = self.usage.prompt_tokens * provider.usd_per_million_in / 1e6
            cost_usd += self.usage.completion_tokens * provider.usd_per_million_out / 1e6
        details = self.usage.prompt_tokens_details
        return Generated(
            "".join(self.parts),
            tokens_in=self.usage.prompt_tokens,
            tokens_cached=(details.cached_tokens or 0) if details else 0,
            tokens_out=self.usage.completion_tokens,
            first_token_ms=self.first_token_ms,
            cost_usd=cost_usd,
        )


def key_of(provider: Provider) -> str:
    """The provider's key, from the environment or the file that it names; empty where it is not there."""
    if not provider.key_env:
        return ""
    file = os.environ.get(f"{provider.key_env}_FILE", "")
    if not os.environ.get(provider.key_env) and file:
        return Path(file).read_text(encoding="utf-8").strip()
    return os.environ.get(provider.key_env, "")


def question(infer: Infer, provider: Provider) -> dict[str, Any]:
    """The request as the protocol has it."""
    asked, schema = infer.sampling, schema_of(infer)
    messages = as_messages(infer.prompt)
    said: dict[str, Any] = {
        "model": provider.model,
        "messages": messages,
        "max_tokens": asked.tokens_max,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if asked.stop:
        said["stop"] = list(asked.stop)
    if asked.seed is not None:
        said["seed"] = asked.seed
    if schema is not None and provider.schema:
        form = {"name": "answer", "schema": schema, "strict": True}
        said["response_format"] = {"type": "json_schema", "json_schema": form}
    elif schema is not None:
        words = f"Answer with nothing but one JSON object that this JSON schema allows: {infer.answer_schema}"
        said["messages"] = [*messages, {"role": SYSTEM, "content": words}]
    return said


async def ask_url(session: aiohttp.ClientSession, provider: Provider, infer: Infer, timeout_s: float) -> Generated:
    """Asks a server that speaks the OpenAI protocol."""
    key = key_of(provider)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = f"{provider.url.rstrip('/')}/chat/completions"
    gathered = Gathered()
    try:
        limit = aiohttp.ClientTimeout(total=timeout_s)
        sent = session.post(url, json=question(infer, provider), headers=headers, timeout=limit, allow_redirects=False)
        async with sent as response:
            if response.status != 200:
                raise await _refusal(response, key)
            async for data in _messages(response):
                gathered.take(msgspec.json.decode(data, type=Chunk))
    except TimeoutError as error:
        raise Failed(why=f"it did not answer within {timeout_s:g} s") from error
    except (aiohttp.ClientError, msgspec.MsgspecError, UnicodeDecodeError, ValueError, OSError) as error:
        raise Failed(why=without(key, f"{type(error).__name__}: {error}")) from None
    return gathered.generated(provider)


async def _messages(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The protocol's messages: the lines of a stream, or one where the server does not stream."""
    if response.content_type not in {"application/json", "text/event-stream"}:
        raise Failed(why=f"it answered with {response.content_type}, and not with the OpenAI protocol")
    streams, whole, size = response.content_type == "text/event-stream", bytearray(), 0
    async for line in response.content if streams else response.content.iter_chunked(65536):
        size += len(line)
        if size > ANSWER_MAX_BYTES:
            raise Failed(why=f"its answer is over {ANSWER_MAX_BYTES} bytes")
        if not streams:
            whole += line
            continue
        data = line.removeprefix(b"data:").strip() if line.startswith(b"data:") else b""
        if data == b"[DONE]":
            return
        if data:
            yield data
    if whole:
        yield bytes(whole)


async def _refusal(response: aiohttp.ClientResponse, key: str) -> HearthmindError:
    """What a status that is not 200 means."""
    if response.status == 429 or (response.status == 503 and "Retry-After" in response.headers):
        return Busy(wait_s=wait_of(response.headers.get("Retry-After", "")))
    said = (await response.content.read(4096)).decode(errors="replace")
    why = without(key, f"status {response.status}: {' '.join(said.split())}")
    if 400 <= response.status < 500 and response.status not in {401, 403, 404, 408}:
        return Unacceptable(why=why)
    return Failed(why=why)


def wait_of(said: str) -> float:
    """A `Retry-After`: seconds or a date; one second where it says nothing that can be read."""
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, TypeError):
        return 1.0


def without(key: str, text: str) -> str:
    """The text, short and without the key."""
    return (text.replace(key, "…") if key else text)[:SAID_MAX]
