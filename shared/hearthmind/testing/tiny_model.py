"""Small untrained models for tests of engines: a Llama of 2.6 M parameters, a T5, LoRA adapters, an export to ONNX.

Each is made from its recipe and a seed, and kept in a folder whose name says both, so that tests make it once. The weights
are drawn wider than for training: the best token is then best by far, and engines that round differently agree on it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

TEXT = "The village of the tribe has wood, clay, iron and wheat; a raid comes at night. Build, trade, attack or wait? "
"""What a tokenizer is trained on where a test brings no text."""

RECIPE = 4
"""Counted up when a recipe below changes, so that nobody meets an old model."""
WORDS, HIDDEN, LAYERS, HEADS, KEYS = 1000, 192, 4, 6, 2
"""No layer is as wide as there are words: the export to ONNX would take it for the last one."""
START, END, PAD = "<s>", "</s>", "<pad>"
PLAIN_CHAT = (
    "{% for message in messages %}<{{ message['role'] }}> {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)


def tiny_llama(text: str = TEXT, *, seed: int = 0, chat: bool = False, root: Path | None = None) -> Path:
    """The folder of a decoder in the layout of transformers; `chat` gives its tokenizer a chat template."""

    def make(folder: Path) -> None:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        words = _tokenizer(text, folder, chat)
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=words,
            hidden_size=HIDDEN,
            intermediate_size=512,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=KEYS,
            max_position_embeddings=4096,
            initializer_range=0.2,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=2,
            dtype="float32",
        )
        LlamaForCausalLM(config).save_pretrained(folder)

    return _kept("llama", (text, seed, chat), make, root)


def tiny_t5(text: str = TEXT, *, seed: int = 0, root: Path | None = None) -> Path:
    """The folder of an encoder-decoder, as flan-t5 is one."""

    def make(folder: Path) -> None:
        import torch
        from transformers import T5Config, T5ForConditionalGeneration

        words = _tokenizer(text, folder, chat=False)
        torch.manual_seed(seed)
        config = T5Config(
            vocab_size=words,
            d_model=64,
            d_kv=32,
            d_ff=128,
            num_layers=2,
            num_heads=2,
            initializer_factor=3.0,
            decoder_start_token_id=2,
            eos_token_id=1,
            pad_token_id=2,
            dtype="float32",
        )
        T5ForConditionalGeneration(config).save_pretrained(folder)

    return _kept("t5", (text, seed), make, root)


def tiny_adapter(*, seed: int, rank: int = 4, root: Path | None = None) -> Path:
    """The folder of a LoRA adapter for `tiny_llama`, in the layout of peft; another seed says other words."""

    def make(folder: Path) -> None:
        import numpy as np
        from safetensors.numpy import save_file

        drawn = np.random.default_rng(seed)
        widths = {"q_proj": HIDDEN, "v_proj": HIDDEN // HEADS * KEYS}
        weights = {}
        for layer in range(LAYERS):
            for module, width in widths.items():
                name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
                weights[f"{name}.lora_A.weight"] = drawn.normal(0, 0.2, (rank, HIDDEN)).astype(np.float32)
                weights[f"{name}.lora_B.weight"] = drawn.normal(0, 0.2, (width, rank)).astype(np.float32)
        save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        config: dict[str, object] = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": "tiny",
            "bias": "none",
        }
        config |= {"r": rank, "lora_alpha": 2 * rank, "lora_dropout": 0.0, "target_modules": sorted(widths)}
        (folder / "adapter_config.json").write_text(json.dumps(config))

    return _kept("lora", (seed, rank), make, root)


def tiny_onnx(source: Path, *, adapters: bool = True, root: Path | None = None) -> Path:
    """The folder of a decoder's export to ONNX; `adapters` leaves room for LoRA."""

    def make(folder: Path) -> None:
        command = [sys.executable, "-m", "services.inference_worker.engines.onnx_export", str(source), str(folder)]
        done = subprocess.run(
            [*command, *(["--adapters"] if adapters else [])], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"the export failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")

    return _kept("onnx", (source.name, adapters), make, root)


def _tokenizer(text: str, folder: Path, chat: bool) -> int:
    """Trains a byte-level tokenizer on the text, so that it can write any text; its number of words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=WORDS, special_tokens=[START, END, PAD], initial_alphabet=alphabet, show_progress=False
    )
    numbers = " ".join(str(number * number) for number in range(3000))  # words enough for a vocabulary without gaps
    tokenizer.train_from_iterator([*[text] * 500, numbers], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{START} $A", special_tokens=[(START, 0)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=START, eos_token=END, pad_token=PAD)
    if chat:
        fast.chat_template = PLAIN_CHAT
    fast.save_pretrained(folder)
    return len(fast)


def _kept(kind: str, recipe: tuple[Any, ...], make: Callable[[Path], None], root: Path | None) -> Path:
    """The folder of what the recipe makes; two processes that make it at once end with the same one."""
    name = hashlib.sha256(repr((RECIPE, recipe)).encode()).hexdigest()[:16]
    root = root or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hearthmind" / "tiny"
    folder = root / f"{kind}-{name}"
    if folder.exists():
        return folder
    root.mkdir(parents=True, exist_ok=True)
    begun = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=root))
    try:
        make(begun)
        begun.rename(folder)
    except OSError:
        if not folder.exists():  # otherwise another process was faster
            raise
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return folder
