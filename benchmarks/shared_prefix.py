"""What it brings that prompts begin alike: the Realm's real prompts against the same prompts with their lines in random order.

    python benchmarks/shared_prefix.py [--engines vllm onnx] [--prompts 16] [--repeats 5]

The questions are strategic ones of a game of the Realm, in the order in which they are asked; the prompts are what the decision
service makes of them. Both engines keep what they have read. The model is an untrained Llama of 90 million parameters, whose
time goes into reading, as a real model's does; its tokenizer is trained on this repository's pages, and needs about as many
tokens as those of usual models.

- `real` against `shuffled`: as they are, or each with the lines of all its turns in an order of its own.
- `world`: before each stands what the Realm tells of its world to a model that does not know it (`examples/realm/templates`).
- Answers of 1 token are reading alone; of 24 tokens they are short answers.

Variants take turns in shuffled order, and each asks questions that were not asked before; ratios are of pairs of the same
questions within a repeat.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.inference_worker import interval
from examples.nano.lessons import HELD_OUT_FROM, lessons
from hearthmind.contracts.inference import Infer, Sampling, Turn
from hearthmind.models import Model, Onnx, Vllm
from hearthmind.prompting import prompt_of, templates_in
from hearthmind.testing.tiny_model import PLAIN_CHAT
from services.inference_worker.engines import Engine
from services.inference_worker.engines.choose import engine_for
from services.inference_worker.engines.kin import MARK, marked
from services.inference_worker.engines.onnx_export import export

HERE = Path(__file__).parent
REALM = HERE.parent / "examples" / "realm" / "templates"
WORDS, HIDDEN, WIDE, LAYERS, HEADS = 8000, 768, 2048, 12, 12
CONTEXT = 2048
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
TEXTS = ("template", "world")
LENGTHS = (1, 24)
Prompt = tuple[Turn, ...]
Found = dict[str, float]
numbers = itertools.count()


# ---- the model ----------------------------------------------------------------------------------------------------------


def a_llama(folder: Path) -> Path:
    """An untrained decoder of 90 million parameters, and a tokenizer for English."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "</s>", "<pad>"]
    trainer = trainers.BpeTrainer(
        vocab_size=WORDS, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    pages = sorted(page for page in (HERE.parent / "docs").rglob("*.md"))
    tokenizer.train_from_iterator((page.read_text() for page in pages), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    fast.chat_template = PLAIN_CHAT
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=HIDDEN,
        intermediate_size=WIDE,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=CONTEXT,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        dtype="float32",
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def an_engine(kind: str, llama: Path) -> Engine:
    """The engine under test."""
    if kind == "vllm":
        settings = Vllm(context=CONTEXT, eager=True, slots=64, dtype="float32", adapters_max=0, cpu_cache_gib=3)
        return engine_for(Model(name="vllm_prefix", path=str(llama), pool="bench", engine=settings))
    exported = llama.with_name("onnx")
    export(llama, exported)
    return engine_for(Model(name="onnx_prefix", path=str(exported), pool="bench", engine=Onnx(context=CONTEXT)))


# ---- the prompts --------------------------------------------------------------------------------------------------------


def real_prompts(text: str) -> Iterator[Prompt]:
    """The strategic questions of one world after the other, as they come up, with the house's templates or the Realm's world."""
    templates = templates_in(str(REALM)) if text == "world" else None
    for seed in itertools.count(HELD_OUT_FROM):
        yield from (prompt_of(lesson.observation, templates=templates) for lesson in lessons(seed))


def shuffled(prompt: Prompt, dice: random.Random) -> Prompt:
    """The same lines, each anywhere in any turn."""
    lines = [line for turn in prompt for line in turn.text.split("\n")]
    dice.shuffle(lines)
    left = iter(lines)
    counts = [turn.text.count("\n") + 1 for turn in prompt]
    texts = ("\n".join(itertools.islice(left, count)) for count in counts)
    return tuple(Turn(turn.role, text) for turn, text in zip(prompt, texts, strict=True))


# ---- measuring ----------------------------------------------------------------------------------------------------------


async def measure(engine: Engine, kin: list[int], prompts: list[Prompt], tokens: int) -> Found:
    """All at once: how long it takes, the processor's time, and what of the prompts had been read before."""
    began_s, cpu_s = time.monotonic(), _cpu_s(kin)
    answers = await asyncio.gather(*(engine.answer(an_infer(prompt, tokens)) for prompt in prompts))
    return {
        "seconds": time.monotonic() - began_s,
        "cpu_s": _cpu_s(kin) - cpu_s,
        "tokens_in": sum(answer.tokens_in for answer in answers) / len(answers),
        "tokens_cached": sum(answer.tokens_cached for answer in answers) / len(answers),
        "first_token_ms": statistics.median(answer.first_token_ms for answer in answers),
        "load": os.getloadavg()[0],
    }


def an_infer(prompt: Prompt, tokens: int) -> Infer:
    """A request as the worker would give it to the engine."""
    return Infer(
        game="realm",
        npc="bench",
        decision=f"d{next(numbers)}",
        attempt=1,
        partition=0,
        tier="strategic",
        priority=3,
        pool="bench",
        model="",
        prompt=prompt,
        sampling=Sampling(tokens_max=tokens, temperature=0.0),
    )


def _cpu_s(kin: list[int]) -> float:
    """What this process and the engine's own have used."""
    fields = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in (os.getpid(), *kin))
    return sum(int(each[11]) + int(each[12]) for each in fields) / TICKS_PER_S


async def compare(kind: str, llama: Path, prompts: int, repeats: int) -> dict[str, list[dict[str, Found]]]:
    """Each text and length, as pairs of real and shuffled."""
    engine = an_engine(kind, llama)
    await engine.start()
    kin = marked(os.environ[MARK]) if MARK in os.environ else []
    sources, found = {text: real_prompts(text) for text in TEXTS}, dict[str, list[dict[str, Found]]]()
    try:
        for repeat in range(-1, repeats):  # the first one warms up
            cases = random.Random(repeat).sample([*itertools.product(TEXTS, LENGTHS)], len(TEXTS) * len(LENGTHS))
            for text, tokens in cases:
                asked = list(itertools.islice(sources[text], prompts))
                dice = random.Random(repeat)
                both = {"real": asked, "shuffled": [shuffled(prompt, dice) for prompt in asked]}
                pair = {
                    order: await measure(engine, kin, both[order], tokens) for order in dice.sample([*both], len(both))
                }
                print(f"{kind}, repeat {repeat + 1}, {text}, answers of {tokens}: {pair}", flush=True)
                if repeat >= 0:
                    found.setdefault(f"{text}, answers of {tokens}", []).append(pair)
    finally:
        await engine.close()
    return found


def lines_of(kind: str, found: dict[str, list[dict[str, Found]]]) -> Iterator[str]:
    """A line for each text and length."""
    for what, pairs in found.items():
        said = [
            f"{word} {statistics.median(values):.2f}x [{low:.2f}, {high:.2f}]"
            for word, key in (("time", "seconds"), ("processor", "cpu_s"))
            for values in [[pair["shuffled"][key] / pair["real"][key] for pair in pairs]]
            for low, high in [interval(values)]
        ]
        real = {key: statistics.median(pair["real"][key] for pair in pairs) for key in pairs[0]["real"]}
        bound = real["tokens_in"] / (real["tokens_in"] - real["tokens_cached"])
        yield (
            f"{kind}, {what}: {', '.join(said)}; {real['tokens_cached']:.0f} of {real['tokens_in']:.0f} tokens had been read, "
            f"so at most {bound:.2f}x"
        )


async def main(arguments: argparse.Namespace) -> None:
    """Runs everything and keeps the result."""
    found: dict[str, Any] = {}
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        llama = a_llama(Path(name) / "llama")
        for kind in arguments.engines:
            found[kind] = await compare(kind, llama, arguments.prompts, arguments.repeats)
            lines += lines_of(kind, found[kind])
    print("\n" + "\n".join(lines))
    facts = {"machine": platform.platform(), "cores": os.cpu_count(), "arguments": vars(arguments)}
    kept = json.dumps({**facts, "lines": lines, "runs": found}, indent=1)
    (HERE / "results" / "shared_prefix.json").write_text(kept + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", choices=("vllm", "onnx"), default=("vllm", "onnx"))
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    uvloop.run(main(parser.parse_args()))
