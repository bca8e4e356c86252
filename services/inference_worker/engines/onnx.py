"""`onnx_…`: small models on a CPU without torch, by onnxruntime-genai.

One thread works on one answer at a time, token by token, and leaves it for a more urgent one: on a CPU a batch of small models
gains less than it costs in waiting (docs/measurements.md), and the library's own Engine batches continuously only with paged
attention, on GPUs. What prompts begin with in common is read once: a finished answer's memory is wound back to where the next
prompt parts from it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime_genai as og
from llguidance import LLTokenizer

from hearthmind.contracts.inference import Infer
from hearthmind.errors import CannotStart
from hearthmind.models import Model, Onnx
from services.inference_worker.engines import Adapter, CannotServe, Generated
from services.inference_worker.engines.grammar import Grammars
from services.inference_worker.engines.onnx_adapters import convert, takes_adapters
from services.inference_worker.engines.thread import Bench
from services.inference_worker.engines.words import Logits, Writing, as_text, room

READ_AT_ONCE = 128
"""So many tokens of a prompt are read in one call, which holds Python's lock: the worker's loop waits no longer than that."""
SHARED_MIN = 16
"""It is not worth winding back for fewer tokens."""


@dataclass
class Memory:
    """What the model has read, of one adapter."""

    generator: og.Generator
    adapter: str
    tokens: list[int]


@dataclass
class Asked:
    """An answer under way."""

    infer: Infer
    adapter: str
    prompt: list[int]
    writing: Writing
    cached: int = 0
    memory: Memory | None = None


class OnnxEngine:
    """Runs what `genai_config.json` in the model's folder describes."""

    def __init__(self, model: Model, settings: Onnx) -> None:
        self.model = model.name
        self.slots_max = settings.slots
        self.adapters_max = 0
        self.progress = 0
        self._folder = Path(model.path)
        self._settings = settings
        self._bench: Bench[Asked] | None = None
        self._idle: list[Memory] = []
        self._loaded: set[str] = set()

    @property
    def ailment(self) -> str:
        """Why it can't work any more, where it knows."""
        return self._bench.ailment if self._bench else ""

    async def start(self) -> None:
        """Loads the model; raises `CannotStart` with what to do where it can't."""
        if not (self._folder / "genai_config.json").is_file():
            raise CannotStart(
                why=f"{self.model} has no genai_config.json in {self._folder}; export it with "
                "`python -m services.inference_worker.engines.onnx_export FOLDER OUT`, or correct `path` in the models' file"
            )
        bench: Bench[Asked] = Bench(f"engine {self.model}", self._work)
        try:
            await bench.do(self._load_model)
        except (RuntimeError, ValueError) as error:
            await bench.close()
            raise CannotStart(why=f"{self.model} in {self._folder} can't be loaded: {error}") from error
        self._bench = bench

    async def answer(self, infer: Infer, adapter: Adapter | None = None) -> Generated:
        """Answers one request; cancelling it ends it within a token."""
        bench = self._running()
        if adapter is not None and adapter.version not in self._loaded:
            raise CannotServe(why=f"the adapter {adapter.version} is not loaded")
        asked = self._asked(infer, adapter)
        await bench.ask(asked, infer.priority)
        return Generated(
            asked.writing.text,
            tokens_in=len(asked.prompt),
            tokens_cached=asked.cached,
            tokens_out=len(asked.writing.tokens),
            first_token_ms=asked.writing.first_token_ms,
        )

    async def load(self, adapter: Adapter) -> None:
        """Makes an adapter ready, between two tokens."""
        if not self.adapters_max:
            raise CannotServe(
                why=f"{self.model} was exported without adapters, and takes none such as {adapter.version}"
            )
        file = adapter.folder / f"{adapter.sha256}.onnx_adapter"
        await self._running().do(lambda: self._load_adapter(adapter, file))

    async def unload(self, version: str) -> None:
        """Gives back what an adapter holds."""
        await self._running().do(lambda: self._unload_adapter(version))

    async def close(self) -> None:
        """Ends its thread."""
        if self._bench:
            await self._bench.close()
        self._idle.clear()

    def _running(self) -> Bench[Asked]:
        if self._bench is None:
            raise CannotServe(why=f"{self.model} is not started")
        return self._bench

    def _load_model(self) -> None:
        og.disable_telemetry_events()
        config = og.Config(str(self._folder))
        if self._settings.threads:
            session = {"intra_op_num_threads": self._settings.threads}
            config.overlay(json.dumps({"model": {"decoder": {"session_options": session}}}))
        described = json.loads((self._folder / "genai_config.json").read_text())["model"]
        self._context = min(self._settings.context, described["context_length"])
        self._model = og.Model(config)
        self._adapters = og.Adapters(self._model)
        self.adapters_max = self._settings.adapters_max if takes_adapters(self._folder) else 0
        ends = described["eos_token_id"]
        self._ends = frozenset(ends if isinstance(ends, list) else [ends])
        self._load_tokenizer(described["vocab_size"])

    def _load_tokenizer(self, words: int) -> None:
        self._tokenizer = og.Tokenizer(self._model)
        self._template = self._chat_template()
        # A chat template writes the tokens that stand around a prompt itself.
        self._tokenizer.update_options(add_special_tokens="false" if self._template else "true")
        self._guide = LLTokenizer(str(self._folder / "tokenizer.json"), n_vocab=words, eos_token=sorted(self._ends))
        self._grammars = Grammars(self._guide, words)

    def _chat_template(self) -> str:
        file = self._folder / "chat_template.jinja"
        if file.is_file():
            return file.read_text()
        written = json.loads((self._folder / "tokenizer_config.json").read_text()).get("chat_template")
        return written if isinstance(written, str) else ""

    def _asked(self, infer: Infer, adapter: Adapter | None) -> Asked:
        text = as_text(infer, self._templated if self._template else None)
        prompt: list[int] = self._tokenizer.encode(text).tolist()
        tokens_max = room(len(prompt), infer, self._context)
        grammar = self._grammars.obeying(infer.answer_schema) if infer.answer_schema else None
        writing = Writing(infer.sampling, tokens_max, self._ends, self._decode, grammar)
        return Asked(infer, adapter.version if adapter else "", prompt, writing)

    def _templated(self, messages: list[dict[str, str]]) -> str:
        text: str = self._tokenizer.apply_chat_template(json.dumps(messages), template_str=self._template)
        return text

    def _decode(self, tokens: list[int]) -> str:
        # The library's own decoding ends at the first bytes that are no text, as half a character is.
        plain = [token for token in tokens if not self._guide.is_special_token(token)]
        return bytes(self._guide.decode_bytes(plain)).decode(errors="replace")

    def _work(self, bench: Bench[Asked]) -> None:
        """From the thread: goes on with the most urgent answer until it is done, left, or something comes before it."""
        for work in bench.take(1):
            try:
                while not work.left and not work.wanted.writing.done:
                    self._step(work.wanted)
                    if bench.more_urgent(work):
                        bench.give_back(work)
                        return
                self._remember(work.wanted)
                work.end()
            except Exception as error:  # it is the asker's, and the others go on
                work.end(error=error)

    def _step(self, asked: Asked) -> None:
        """Reads a part of the prompt, or writes a token."""
        if asked.memory is None:
            asked.memory = self._recall(asked)
            asked.cached = len(asked.memory.tokens)
        memory = asked.memory
        unread = asked.prompt[len(memory.tokens) : len(memory.tokens) + READ_AT_ONCE]
        if not unread:
            logits: Logits = memory.generator.get_logits()[0, -1]
            token = asked.writing.write(logits)
            if asked.writing.done:
                return
            unread = [token]
        memory.generator.append_tokens(np.array(unread, dtype=np.int32))
        memory.tokens += unread
        self.progress += len(unread)

    def _recall(self, asked: Asked) -> Memory:
        """A memory that has read the beginning of the prompt, wound back to where they part; or an empty one."""
        found = max(self._idle, key=lambda memory: _shared(memory, asked), default=None)
        shared = _shared(found, asked) if found else 0
        if found is None or (shared < SHARED_MIN and len(self._idle) < self._settings.prefixes):
            return self._empty(asked.adapter)
        if not shared:
            found = self._idle[0]  # the one that was of no use for longest
        self._idle.remove(found)
        if found.adapter != asked.adapter:
            return self._empty(asked.adapter)
        found.generator.rewind_to(shared)
        del found.tokens[shared:]
        return found

    def _empty(self, adapter: str) -> Memory:
        params = og.GeneratorParams(self._model)
        params.set_search_options(max_length=self._context)
        generator = og.Generator(self._model, params)
        if adapter:
            generator.set_active_adapter(self._adapters, adapter)
        return Memory(generator, adapter, [])

    def _remember(self, asked: Asked) -> None:
        if asked.memory is not None and self._settings.prefixes:
            self._idle.append(asked.memory)
            del self._idle[: -self._settings.prefixes]

    def _load_adapter(self, adapter: Adapter, file: Path) -> None:
        convert(adapter.folder, file, self._folder)
        self._adapters.load(str(file), adapter.version)
        self._loaded.add(adapter.version)

    def _unload_adapter(self, version: str) -> None:
        self._idle = [memory for memory in self._idle if memory.adapter != version]
        if version in self._loaded:
            self._adapters.unload(version)
            self._loaded.discard(version)


def _shared(memory: Memory, asked: Asked) -> int:
    """How many tokens of the prompt the memory has read; the last one is always read anew, for what comes after it."""
    if memory.adapter != asked.adapter:
        return 0
    most = min(len(memory.tokens), len(asked.prompt) - 1)
    return next((at for at in range(most) if memory.tokens[at] != asked.prompt[at]), most)
