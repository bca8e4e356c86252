"""One question to one provider by LiteLLM, which knows the protocols of the hosted ones; importing it takes seconds."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from hearthmind.contracts.inference import Infer
from hearthmind.models import Provider
from services.inference_worker.engines import Generated
from services.inference_worker.engines.providers import (
    Busy,
    Chunk,
    Failed,
    Gathered,
    Unacceptable,
    key_of,
    question,
    wait_of,
    without,
)

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it fetches its price list while it is imported

import litellm

litellm.telemetry = False
litellm.suppress_debug_info = True
litellm.drop_params = True
UNACCEPTABLE = (400, 413, 422)


async def ask_litellm(provider: Provider, infer: Infer, timeout_s: float) -> Generated:
    """Asks whatever LiteLLM makes of the model's name."""
    key = key_of(provider)
    gathered = Gathered()
    try:
        stream: Any = await litellm.acompletion(
            **question(infer, provider), api_key=key or None, timeout=timeout_s, num_retries=0, max_retries=0
        )
        async for part in stream:
            gathered.take(msgspec.convert(part.model_dump(exclude_none=True), Chunk))
    except Exception as error:  # LiteLLM's errors have no common kind but a status
        raise _meant(error, key) from None
    priced = provider.usd_per_million_in or provider.usd_per_million_out
    return gathered.generated(provider, None if priced else _listed(provider.model, gathered))


def _meant(error: Exception, key: str) -> Exception:
    status = getattr(error, "status_code", 0)
    why = without(key, f"{type(error).__name__}: {error}")
    if status == 429:
        headers = getattr(getattr(error, "response", None), "headers", None) or {}
        return Busy(wait_s=wait_of(headers.get("retry-after", "")))
    return Unacceptable(why=why) if status in UNACCEPTABLE else Failed(why=why)


def _listed(model: str, gathered: Gathered) -> float:
    """What LiteLLM's own list says that it cost; nothing where it does not know the model."""
    try:
        went_in, came_out = litellm.cost_per_token(
            model=model,
            prompt_tokens=gathered.usage.prompt_tokens,
            completion_tokens=gathered.usage.completion_tokens,
        )
    except Exception:  # it raises a plain Exception for a model that it has no price for
        return 0.0
    return float(went_in + came_out)
