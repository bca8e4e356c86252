"""The response cache: what was generated once is not generated again within the hour, here or by another worker.

The law: an answer is given again only for exactly the same game, model, version of an adapter, prompt, schema and sampling;
never where it is to be drawn anew, nor for engines that read facts and not the prompt. A cache that is full, slow or gone costs
an answer that is generated again, and a few milliseconds.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Protocol

import msgspec
from theine import Cache

from hearthmind.bus.wire import encode
from hearthmind.contracts.inference import Infer
from hearthmind.flow import ANSWERS_KEPT_S
from services.inference_worker.engines import Generated

READ_FACTS = ("rules_", "policy_")
"""Engines that answer the observation: what they say depends on more than the prompt."""

TEXT_MAX = 16 * 1024
"""Longer answers are rare, and a few of them would push out all others."""

_json = msgspec.json.Encoder(order="deterministic")


class Kept(msgspec.Struct, frozen=True):
    """An answer as the cache has it."""

    text: str
    adapter_sha256: str = ""
    tokens_in: int = 0
    tokens_out: int = 0


_kept = msgspec.json.Decoder(Kept)


def key_of(infer: Infer, model: str, adapter: str) -> bytes:
    """What requests with one answer have in common; empty for one that is to have its own.

    `adapter` is the version, not the name that stood for it.
    """
    if infer.varied or not infer.prompt or model.startswith(READ_FACTS):
        return b""
    said = (infer.game, model, adapter, infer.prompt, infer.answer_schema, infer.sampling)
    return hashlib.blake2b(_json.encode(said), digest_size=24).digest()


class Shared(Protocol):
    """The part of the cache that all workers share."""

    async def get(self, key: str) -> bytes | None:
        """What is there, if that is known at once."""
        ...

    async def put(self, key: str, value: bytes) -> None:
        """Keeps it, as well as it can."""
        ...


class Answers:
    """The cache of one worker, in front of the shared one."""

    def __init__(self, shared: Shared, answers_max: int) -> None:
        self._shared = shared
        self._here: Cache[bytes, Kept] | None = Cache(answers_max, nolock=True) if answers_max else None
        self._ttl = timedelta(seconds=ANSWERS_KEPT_S)

    def here(self, key: bytes) -> Kept | None:
        """What this worker knows."""
        return self._here.get(key)[0] if self._here is not None and key else None

    async def elsewhere(self, key: bytes) -> Kept | None:
        """What another worker has found out."""
        if self._here is None or not key:
            return None
        data = await self._shared.get(key.hex())
        try:
            found = _kept.decode(data) if data else None
        except msgspec.MsgspecError:
            return None  # of another version of this program
        if found:
            self._here.set(key, found, self._ttl)
        return found

    async def keep(self, infer: Infer, key: bytes, generated: Generated, adapter_sha256: str) -> Kept:
        """Keeps an answer where that makes sense; one that breaks its schema's very language is not given twice."""
        kept = Kept(generated.text, adapter_sha256, generated.tokens_in, generated.tokens_out)
        is_worth_it = len(kept.text) <= TEXT_MAX and (not infer.answer_schema or _is_json(kept.text))
        if self._here is not None and key and is_worth_it:
            self._here.set(key, kept, self._ttl)
            await self._shared.put(key.hex(), encode(kept))
        return kept


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return False
    return True
