"""`hf_…`: transformers on a CPU or GPU, for what vLLM does not know, such as encoder-decoders.

Waiting requests become one batch, the most urgent first, and each is answered as soon as it is done; the next batch begins when
all of the last one are. The library's own continuous batching was tried: it takes one set of parameters for all, no adapters
and no schemas, and on a CPU 13 times as long (docs/measurements.md).
"""

from __future__ import annotations

import itertools
import json
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from llguidance import LLTokenizer
from llguidance.hf import from_tokenizer
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    LogitsProcessor,
    StoppingCriteria,
)

from hearthmind.contracts.inference import Infer
from hearthmind.errors import CannotStart
from hearthmind.models import Hf, Model
from services.inference_worker.engines import Adapter, CannotServe, Generated
from services.inference_worker.engines.files import path_of
from services.inference_worker.engines.grammar import Grammars
from services.inference_worker.engines.thread import Bench, Work
from services.inference_worker.engines.words import Writing, as_text, room

BASE = "__base__"
"""What peft calls the model without an adapter."""


@dataclass
class Asked:
    """One row of a batch."""

    prompt: list[int]
    writing: Writing
    adapter: str


class HfEngine:
    """A decoder, or an encoder with a decoder."""

    def __init__(self, model: Model, settings: Hf) -> None:
        self.model = model.name
        self.slots_max = settings.slots
        self.adapters_max = settings.adapters_max
        self.progress = 0
        self._model = model
        self._settings = settings
        self._bench: Bench[Asked] | None = None
        self._names: dict[str, str] = {}
        self._numbers = itertools.count()

    @property
    def ailment(self) -> str:
        """Why it can't work any more, where it knows."""
        return self._bench.ailment if self._bench else ""

    async def start(self) -> None:
        """Loads the model; raises `CannotStart` with what to do where it can't."""
        bench: Bench[Asked] = Bench(f"engine {self.model}", self._work)
        try:
            await bench.do(self._load_model)
        except torch.OutOfMemoryError as error:
            await bench.close()
            why = f"{self.model} needs more memory than the GPU has: set `dtype: float16`, or `device: cpu`, in the models' file"
            raise CannotStart(why=why) from error
        except (OSError, ValueError, RuntimeError) as error:
            await bench.close()
            said = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
            why = (
                f"{self.model} can't be loaded from {self._model.path}: {said}; correct `path` in the models' file, or "
            )
            why += f"`hearthmind models fetch {self.model}`"
            raise CannotStart(why=why) from error
        self._bench = bench

    async def answer(self, infer: Infer, adapter: Adapter | None = None) -> Generated:
        """Answers one request; cancelling it takes it out of its batch at the next token."""
        asked = self._asked(infer, adapter)
        await self._running().ask(asked, infer.priority)
        return Generated(
            asked.writing.text,
            tokens_in=len(asked.prompt),
            tokens_out=len(asked.writing.tokens),
            first_token_ms=asked.writing.first_token_ms,
        )

    async def load(self, adapter: Adapter) -> None:
        """Makes an adapter ready, between two batches."""
        await self._running().do(lambda: self._load_adapter(adapter))

    async def unload(self, version: str) -> None:
        """Gives back what an adapter holds."""
        if version in self._names:
            name = self._names.pop(version)
            await self._running().do(lambda: self._forget(name))

    async def close(self) -> None:
        """Ends its thread."""
        if self._bench:
            await self._bench.close()

    def _running(self) -> Bench[Asked]:
        if self._bench is None:
            raise CannotServe(why=f"{self.model} is not started")
        return self._bench

    def _load_model(self) -> None:
        settings, path = self._settings, path_of(self._model)
        config = AutoConfig.from_pretrained(path)
        self._encodes = bool(config.is_encoder_decoder)
        kind = AutoModelForSeq2SeqLM if self._encodes else AutoModelForCausalLM
        device = settings.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._network: Any = kind.from_pretrained(path, dtype=settings.dtype).to(device).eval()
        self._plain = self._network
        self._device = device
        self._load_tokenizer(config)

    def _load_tokenizer(self, config: Any) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(self._model.tokenizer or path_of(self._model))
        self._template = self._templated if getattr(self._tokenizer, "chat_template", None) else None
        described = self._network.generation_config
        ends = described.eos_token_id if described.eos_token_id is not None else self._tokenizer.eos_token_id
        self._ends = frozenset(ends if isinstance(ends, list) else [ends])
        padding = (described.pad_token_id, self._tokenizer.pad_token_id, min(self._ends))
        self._padding: int = next(token for token in padding if token is not None)
        guide: LLTokenizer = from_tokenizer(self._tokenizer, n_vocab=config.vocab_size, eos_token=sorted(self._ends))
        self._grammars = Grammars(guide, config.vocab_size)

    def _asked(self, infer: Infer, adapter: Adapter | None) -> Asked:
        self._running()
        if adapter is not None and adapter.version not in self._names:
            raise CannotServe(why=f"the adapter {adapter.version} is not loaded")
        text = as_text(infer, self._template)
        # A chat template writes the tokens that stand around a prompt itself.
        prompt: list[int] = self._tokenizer(text, add_special_tokens=self._template is None)["input_ids"]
        tokens_max = room(len(prompt), infer, self._settings.context)
        grammar = self._grammars.obeying(infer.answer_schema) if infer.answer_schema else None
        writing = Writing(infer.sampling, tokens_max, self._ends, self._decode, grammar)
        return Asked(prompt, writing, self._names[adapter.version] if adapter else BASE)

    def _templated(self, messages: list[dict[str, str]]) -> str:
        text: str = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return text

    def _decode(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def _work(self, bench: Bench[Asked]) -> None:
        """From the thread: answers a batch."""
        batch = bench.take(self._settings.slots)
        if not batch:
            return
        try:
            with torch.inference_mode():
                self._generate(batch)
        except Exception as error:  # it may be one row's; all of them are tried again by whoever asked
            for work in batch:
                work.end(error=error)

    def _generate(self, batch: list[Work[Asked]]) -> None:
        rows = [work.wanted for work in batch]
        width = max(len(row.prompt) for row in rows)
        tokens = torch.full((len(rows), width), self._padding)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for at, row in enumerate(rows):
            tokens[at, width - len(row.prompt) :] = torch.tensor(row.prompt)
            mask[at, width - len(row.prompt) :] = 1
        choosing = Choosing(batch, self._padding, self._stepped)
        # Once it has adapters, one of them counts for whoever names none.
        adapters = {"adapter_names": [row.adapter for row in rows]} if self._network is not self._plain else {}
        self._network.generate(
            input_ids=tokens.to(self._device),
            attention_mask=mask.to(self._device),
            do_sample=False,
            max_new_tokens=self._settings.context,
            pad_token_id=self._padding,
            eos_token_id=None,
            logits_processor=[choosing],
            stopping_criteria=[choosing.ended],
            **adapters,
        )

    def _stepped(self, tokens: int) -> None:
        self.progress += tokens

    def _load_adapter(self, adapter: Adapter) -> None:
        from peft import PeftModel

        name = f"adapter{next(self._numbers)}"
        if json.loads((adapter.folder / "adapter_config.json").read_text()).get("peft_type") != "LORA":
            raise CannotServe(why=f"{adapter.version} is no LoRA adapter")
        if isinstance(self._network, PeftModel):
            self._network.load_adapter(str(adapter.folder), adapter_name=name)
        else:
            self._network = PeftModel.from_pretrained(self._plain, str(adapter.folder), adapter_name=name).eval()
        self._names[adapter.version] = name

    def _forget(self, name: str) -> None:
        with warnings.catch_warnings(action="ignore"):  # that another adapter is in force now; each row names its own
            self._network.delete_adapter(name)


class Choosing(LogitsProcessor):  # type: ignore[misc]  # transformers has no types
    """Chooses every row's token by that row's own parameters, and leaves the library no other."""

    def __init__(self, batch: list[Work[Asked]], padding: int, stepped: Any) -> None:
        self._batch = batch
        self._padding = padding
        self._stepped = stepped
        self.ended = Ended(batch)

    def __call__(self, _tokens: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Rows that are over say the padding."""
        logits = scores.float().cpu().numpy()
        chosen = []
        for at, work in enumerate(self._batch):
            if work.left:
                chosen.append(self._padding)
                continue
            chosen.append(self._choose(work, logits[at]))
        self._stepped(len(chosen))
        only = torch.full_like(scores, -torch.inf)
        only[torch.arange(len(chosen)), torch.tensor(chosen)] = 0.0
        return only

    def _choose(self, work: Work[Asked], logits: Any) -> int:
        try:
            token = work.wanted.writing.write(logits)
        except Exception as error:  # this row's alone, such as a schema that leads nowhere
            work.end(error=error)
            return self._padding
        if work.wanted.writing.done:
            work.end()
        return token


class Ended(StoppingCriteria):  # type: ignore[misc]  # transformers has no types
    """Which rows are over."""

    def __init__(self, batch: list[Work[Asked]]) -> None:
        self._batch = batch

    def __call__(self, tokens: torch.Tensor, _scores: Any, **_others: Any) -> torch.Tensor:
        """For each row."""
        return torch.tensor([work.left for work in self._batch], device=tokens.device)
