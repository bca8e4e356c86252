"""Tells of each step of vLLM's engine how many tokens it read and wrote, which shows that it gets on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vllm.v1.metrics.loggers import StatLoggerBase


def steps_told_to(tell: Callable[[int], None]) -> Callable[..., StatLoggerBase]:
    """What vLLM makes for each of its engines."""

    class Steps(StatLoggerBase):  # type: ignore[misc]  # vLLM has no types
        def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
            """Nothing is kept."""

        def record(self, scheduler_stats: Any, iteration_stats: Any, *_rest: Any, **_others: Any) -> None:  # noqa: ARG002
            """A step was made."""
            if iteration_stats is not None:
                tell(iteration_stats.num_generation_tokens + iteration_stats.num_prompt_tokens)

        def log_engine_initialized(self) -> None:
            """Nobody asks."""

    return Steps
