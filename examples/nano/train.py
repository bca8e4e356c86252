"""Trains nano from nothing, in one go from the top of this page to its end: lessons, tokenizer, network, training, files.

    python -m examples.nano.train [--lessons 16000] [--steps 800] [--work dist/nano] [--out examples/nano/model]

It can be stopped at any time; the same command goes on from its last checkpoint in the work folder and ends with the same
numbers. On two cores it takes about 15 minutes. Lengths: B lessons in a batch, T tokens, D width, H heads, V words.
"""

# ruff: noqa: D102 (what `forward` does, its class says)
# mypy: disallow-subclassing-any=False, disallow-untyped-decorators=False
from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait spinning make a busy machine ten times slower

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn

from examples.nano.lessons import HELD_OUT_FROM, Lesson, lessons

HERE = Path(__file__).parent

# ---- what it is --------------------------------------------------------------------------------------------------------

VOCABULARY = 2_048
D, LAYERS, H, FEED = 192, 6, 6, 512
CONTEXT = 2_048
ROPE_THETA, NORM_EPSILON = 10_000.0, 1e-5
PAD, END, SYSTEM, USER, ASSISTANT = range(5)
SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
CHAT = (
    "{% for turn in messages %}<|{{ turn['role'] }}|>{{ turn['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

# ---- how it learns -----------------------------------------------------------------------------------------------------

BATCH = 16
RATE, RATE_ADAM = 0.02, 0.003
WARM_UP, COOL_DOWN = 50, 0.6  # steps, and the last share of them
MIXED = 8  # steps whose lessons are put in the order of their length
CLIP = 1.0
CHECK_EVERY = 100
HELD_OUT = 256
LINES = 4  # of the question that are said again

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--lessons", type=int, default=16_000)
parser.add_argument("--steps", type=int, default=800)
parser.add_argument("--stop-after", type=int, default=None, help="stop at this step as if it had been interrupted")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--begin-with", type=Path, default=None, help="a nano that was trained before, on other templates")
parser.add_argument("--work", type=Path, default=HERE.parent.parent / "dist" / "nano")
parser.add_argument("--out", type=Path, default=HERE / "model")


# ---- 1. lessons --------------------------------------------------------------------------------------------------------
# A world a seed, worlds side by side in two processes, always in the same order.

Text = tuple[str, str]
"""A prompt with its chat marks, and the answer."""


def as_text(lesson: Lesson) -> Text:
    """A lesson as it is kept."""
    return "".join(f"<|{role}|>{text}<|end|>" for role, text in lesson.turns) + "<|assistant|>", lesson.text


def world_of(seed: int) -> list[Text]:
    """All lessons of one world."""
    return [as_text(lesson) for lesson in lessons(seed)]


def collect(first_seed: int, count: int, kept: Path) -> list[Text]:
    """So many lessons, played once and then kept in a file."""
    found: list[Text] = []
    if kept.exists():
        found = [tuple(json.loads(line)) for line in kept.open(encoding="utf-8")]
        if len(found) == count:
            return found
        found.clear()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        for start in range(first_seed, first_seed + 100_000, 8):
            for world in pool.map(world_of, range(start, start + 8)):
                found += world
            print(f"\rlessons {min(len(found), count):>6,} of {count:,}", end="", flush=True)
            if len(found) >= count:
                break
    print()
    kept.write_text("".join(json.dumps(lesson) + "\n" for lesson in found[:count]), encoding="utf-8")
    return found[:count]


# ---- 2. tokenizer ------------------------------------------------------------------------------------------------------
# Each digit is a token, so that numbers can be read and copied; what always stands together in a line becomes one.


def learn_tokens(texts: Sequence[Text]) -> Tokenizer:
    """The words of these lessons."""
    tokenizer = Tokenizer(models.BPE())
    lines_and_digits = pre_tokenizers.Split(Regex(r"0+|[1-9]|\n|[^0-9\n]+"), "isolated")
    bytes_as_letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([lines_and_digits, bytes_as_letters])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=20,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    parts = (part for prompt, answer in texts for part in (*_without_marks(prompt), answer))
    tokenizer.train_from_iterator(parts, trainer)
    return tokenizer


def _without_marks(prompt: str) -> list[str]:
    for mark in SPECIAL:
        prompt = prompt.replace(mark, "\0")
    return [part for part in prompt.split("\0") if part]


# ---- 3. network --------------------------------------------------------------------------------------------------------
# A Llama, with the names that transformers gives its parts, so that its weights are read everywhere.


class Norm(nn.Module):
    """Brings each token to the same size."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(D))

    def forward(self, x: Tensor) -> Tensor:  # [B, T, D]
        return F.rms_norm(x, (D,), self.weight, NORM_EPSILON)


class Attention(nn.Module):
    """Each token looks at those before it."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(D, D, bias=False) for _ in range(4))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:  # [B, T, D]
        b, t, _ = x.shape
        q, k, v = (p(x).view(b, t, H, D // H).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        q, k = turned(q, cos, sin), turned(k, cos, sin)  # [B, H, T, D/H]
        past = torch.full((t, t), -math.inf, dtype=q.dtype).triu(1)  # nobody looks ahead
        q, k, v = (x.reshape(b * H, t, D // H) for x in (q, k, v))
        # Written out: for rows as short as these, the library's own attention takes three times as long on a CPU.
        looks = torch.baddbmm(past.expand(b * H, t, t), q, k.mT, alpha=(D // H) ** -0.5).softmax(dim=-1)  # [B H, T, T]
        seen = torch.bmm(looks.to(v.dtype), v).view(b, H, t, D // H)
        return self.o_proj(seen.transpose(1, 2).reshape(b, t, D))


class FeedForward(nn.Module):
    """Each token thinks for itself."""

    def __init__(self) -> None:
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(D, FEED, bias=False), nn.Linear(D, FEED, bias=False)
        self.down_proj = nn.Linear(FEED, D, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # [B, T, D]
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """Look, then think."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = Norm(), Norm()
        self.self_attn, self.mlp = Attention(), FeedForward()

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:  # [B, T, D]
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Nano(nn.Module):
    """Tokens in; out comes what would be said next, in the wanted places only."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(words, D)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = Norm()
        angle = torch.outer(torch.arange(CONTEXT), ROPE_THETA ** -(torch.arange(0, D // H, 2) / (D // H)))
        angle = torch.cat([angle, angle], dim=1)  # [CONTEXT, D/H]
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                last = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * LAYERS) if last else 0.02)

    def forward(self, tokens: Tensor, wanted: Tensor) -> Tensor:  # [B, T] and [B, T] of bool → [wanted, V]
        x = self.embed_tokens(tokens)
        t = tokens.shape[1]
        for layer in self.layers:
            x = layer(x, self.cos[:t], self.sin[:t])
        return self.norm(x[wanted]) @ self.embed_tokens.weight.T


@torch.no_grad()
def take_over(network: Nano, tokenizer: Tokenizer, before: Path) -> int:
    """The layers of a network that was trained before, and the words that both know; how many these are."""
    weights = {name.removeprefix("model."): weight for name, weight in load_file(before / "model.safetensors").items()}
    words = weights.pop("embed_tokens.weight")
    network.load_state_dict(weights, strict=False)
    known = Tokenizer.from_file(str(before / "tokenizer.json")).get_vocab()
    both = [(place, known[word]) for word, place in sorted(tokenizer.get_vocab().items()) if word in known]
    for place, there in both:
        network.embed_tokens.weight[place] = words[there].float()
    return len(both)


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:  # [B, H, T, D/H]
    """Queries or keys turned by their place, so that they tell how far apart they are."""
    first, second = x.chunk(2, dim=-1)
    return x * cos.to(x.dtype) + torch.cat([-second, first], dim=-1) * sin.to(x.dtype)


# ---- 4. training -------------------------------------------------------------------------------------------------------
# Two things are learned from each lesson: its answer, said after the prompt, and to read, by saying some lines of the question
# again, in any order, of each just what comes after its first token. Which lessons and lines are in a step depends on the step
# alone, so a run that was interrupted goes on as if nothing had happened.


class Encoded(NamedTuple):
    """A lesson as tokens."""

    prompt: list[int]
    answer: list[int]  # with its end
    lines: list[list[int]]  # of the question, where there is something to read


def encode(tokenizer: Tokenizer, texts: Sequence[Text]) -> list[Encoded]:
    """Lessons as tokens."""
    prompts = tokenizer.encode_batch([prompt for prompt, _ in texts])
    answers = tokenizer.encode_batch([answer for _, answer in texts])
    line_end = tokenizer.encode("\n").ids[0]
    return [
        Encoded(prompt.ids, [*answer.ids, END], lines_of(prompt.ids, line_end))
        for prompt, answer in zip(prompts, answers, strict=True)
    ]


def lines_of(prompt: list[int], line_end: int) -> list[list[int]]:
    """Those lines of the question that have more than a token, each with its end."""
    question = prompt[prompt.index(USER) + 1 :]
    ends = [place for place, token in enumerate(question) if token == line_end]
    lines = [
        question[start:end] for start, end in zip([0, *(e + 1 for e in ends)], [e + 1 for e in ends], strict=False)
    ]
    return [line for line in lines if len(line) > 2]


def batch_of(encoded: Sequence[Encoded], dice: np.random.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens [B, T], where the next one is to be said [B, T], and these next ones [said]; reading, if there are dice."""
    rows = []
    for prompt, answer, lines in encoded:
        row, is_said = [*prompt, *answer], [False] * len(prompt) + [True] * len(answer)
        if dice:
            again = [lines[place] for place in dice.permutation(len(lines))[:LINES]]
            row += [USER, *(token for line in again for token in line)]
            is_said += [False, *(place > 0 for line in again for place in range(len(line)))]
        rows.append((row, is_said))
    longest = max(len(row) for row, _ in rows)
    tokens = np.array([row + [PAD] * (longest - len(row)) for row, _ in rows])
    said = np.array([is_said + [False] * (longest - len(is_said)) for _, is_said in rows])
    return torch.from_numpy(tokens[:, :-1]), torch.from_numpy(said[:, 1:]), torch.from_numpy(tokens[said])


def drawn(encoded: Sequence[Encoded], step: int, seed: int) -> list[Encoded]:
    """The lessons of a step; each comes once in a round, among those of about its length, so that rows waste little."""
    a_round = len(encoded) // BATCH
    order = np.random.default_rng([seed, step // a_round]).permutation(len(encoded))
    steps = np.arange(step % a_round // MIXED * MIXED, min((step % a_round // MIXED + 1) * MIXED, a_round))
    among = sorted(
        order[steps[0] * BATCH : (steps[-1] + 1) * BATCH].tolist(), key=lambda place: len(encoded[place].prompt)
    )
    turn = np.random.default_rng([seed, step // a_round, int(steps[0])]).permutation(len(steps))[
        step % a_round - steps[0]
    ]
    return [encoded[place] for place in among[turn * BATCH : (turn + 1) * BATCH]]


def rate_at(step: int, steps: int) -> float:
    """The share of the full rate: up, flat, and down to nothing."""
    return min((step + 1) / WARM_UP, (steps - step) / (COOL_DOWN * steps), 1.0)


def loss_of(network: Nano, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The mean loss of a token, and which tokens would have been said."""
    tokens, wanted, said = batch
    with torch.autocast("cpu", torch.bfloat16):
        words = network(tokens, wanted)  # [said, V]
    return F.cross_entropy(words.float(), said), words.argmax(dim=1) == said


@torch.no_grad()
def examined(network: Nano, encoded: Sequence[Encoded]) -> dict[str, float]:
    """On lessons it never saw: the loss, and how many answers begin as the teacher's, or are the same word for word."""
    losses, begun, right = [], 0, 0
    for start in range(0, len(encoded), BATCH):
        some = encoded[start : start + BATCH]
        loss, hits = loss_of(network, batch_of(some))
        losses.append(loss.item())
        for part in hits.split([len(lesson.answer) for lesson in some]):
            begun, right = begun + bool(part[0]), right + bool(part.all())
    return {"held_out": sum(losses) / len(losses), "begun": begun / len(encoded), "word_for_word": right / len(encoded)}


def train(
    network: Nano, encoded: list[Encoded], held_out: list[Encoded], options: argparse.Namespace
) -> list[dict[str, float]]:
    """The curve: a point for each step."""
    inner = [weight for name, weight in network.named_parameters() if weight.dim() == 2 and "embed" not in name]
    rest = [weight for name, weight in network.named_parameters() if weight.dim() != 2 or "embed" in name]
    muon = torch.optim.Muon(inner, lr=RATE, weight_decay=0.0)
    adam = torch.optim.AdamW(rest, lr=RATE_ADAM, betas=(0.9, 0.95), weight_decay=0.0)
    checkpoint = options.work / "checkpoint.pt"
    step, curve, spent_s = 0, [], 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(saved["network"])
        muon.load_state_dict(saved["muon"])
        adam.load_state_dict(saved["adam"])
        step, curve, spent_s = saved["step"], saved["curve"], saved["spent_s"]
        print(f"goes on from step {step}")
    begun_s = time.monotonic() - spent_s
    while step < min(options.steps, options.stop_after or options.steps):
        dice = np.random.default_rng([options.seed, step])
        loss, _ = loss_of(network, batch_of(drawn(encoded, step, options.seed), dice))
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        for optimizer, rate in ((muon, RATE), (adam, RATE_ADAM)):
            optimizer.param_groups[0]["lr"] = rate * rate_at(step, options.steps)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        step += 1
        spent_s = time.monotonic() - begun_s
        point = {"step": step, "seconds": spent_s, "loss": loss.item()}
        if step % CHECK_EVERY == 0 or step == options.steps:
            point |= examined(network, held_out)
        curve.append(point)
        if step % 10 == 0:
            print(told(point, options.steps), flush=True)
        if step % CHECK_EVERY == 0 or step == (options.stop_after or options.steps):
            state = {"network": network.state_dict(), "muon": muon.state_dict(), "adam": adam.state_dict()}
            torch.save({**state, "step": step, "curve": curve, "spent_s": spent_s}, checkpoint.with_suffix(".new"))
            checkpoint.with_suffix(".new").replace(checkpoint)
    return curve


def told(point: dict[str, float], steps: int) -> str:
    """A point in words."""
    left_s = point["seconds"] / point["step"] * (steps - point["step"])
    line = f"step {point['step']:>5.0f} of {steps}  loss {point['loss']:.4f}  {left_s / 60:.1f} min left"
    if "word_for_word" in point:
        line += f"  held out: loss {point['held_out']:.4f}, {point['begun']:.1%} begin as the teacher's"
        line += f", {point['word_for_word']:.1%} are the same word for word"
    return line


# ---- 5. files ----------------------------------------------------------------------------------------------------------


def save(network: Nano, tokenizer: Tokenizer, out: Path) -> None:
    """A folder in the layout of transformers."""
    out.mkdir(parents=True, exist_ok=True)
    weights = {f"model.{name}": weight.to(torch.bfloat16) for name, weight in network.state_dict().items()}
    save_file(weights, out / "model.safetensors", {"format": "pt"})
    tokenizer.save(str(out / "tokenizer.json"))
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": network.embed_tokens.num_embeddings,
        "hidden_size": D,
        "intermediate_size": FEED,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": H,
        "num_key_value_heads": H,
        "head_dim": D // H,
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": NORM_EPSILON,
        "rope_theta": ROPE_THETA,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": SYSTEM,
        "eos_token_id": END,
        "pad_token_id": PAD,
        "dtype": "bfloat16",
    }
    generation = {"bos_token_id": SYSTEM, "eos_token_id": END, "pad_token_id": PAD, "do_sample": False}
    reader = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": SPECIAL[END],
        "pad_token": SPECIAL[PAD],
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
    }
    for name, what in (("config", config), ("generation_config", generation), ("tokenizer_config", reader)):
        (out / f"{name}.json").write_text(json.dumps(what, indent=2) + "\n", encoding="utf-8")
    (out / "chat_template.jinja").write_text(CHAT, encoding="utf-8")


def draw(curve: Sequence[dict[str, float]], picture: Path) -> None:
    """The curve as a picture."""
    import matplotlib.pyplot as plt

    figure, left = plt.subplots(figsize=(7, 3.5), layout="constrained")
    checks = [point for point in curve if "word_for_word" in point]
    left.semilogy([p["step"] for p in curve], [p["loss"] for p in curve], color="0.8", label="loss of a step")
    left.semilogy([p["step"] for p in checks], [p["held_out"] for p in checks], color="C0", label="loss, held out")
    left.set_xlabel("step")
    left.set_ylabel("loss of a token")
    right = left.twinx()
    right.plot(
        [p["step"] for p in checks], [100 * p["begun"] for p in checks], color="C1", label="begin as the teacher's"
    )
    right.plot([p["step"] for p in checks], [100 * p["word_for_word"] for p in checks], "C1--", label="word for word")
    right.set_ylabel("answers, held out, %", color="C1")
    right.set_ylim(0, 103)
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    figure.savefig(picture, dpi=110)


def main(options: argparse.Namespace) -> list[dict[str, float]]:
    """All of it; the curve."""
    options.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    texts = collect(0, options.lessons, options.work / "lessons.jsonl")
    unseen = collect(HELD_OUT_FROM, HELD_OUT, options.work / "held_out.jsonl")
    tokenizer = learn_tokens(texts)
    encoded, held_out = encode(tokenizer, texts), encode(tokenizer, unseen)
    network = Nano(VOCABULARY)
    tokens = np.mean([len(lesson.prompt) for lesson in encoded]), np.mean([len(lesson.answer) for lesson in encoded])
    print(
        f"{sum(weight.numel() for weight in network.parameters()):,} parameters, {tokenizer.get_vocab_size()} words in use"
    )
    print(f"a lesson has {tokens[0]:.0f} tokens of prompt and {tokens[1]:.0f} of answer")
    if options.begin_with:
        print(f"begins with {options.begin_with}, {take_over(network, tokenizer, options.begin_with)} words of it")
    curve = train(network, encoded, held_out, options)
    if curve and curve[-1]["step"] == options.steps:
        save(network, tokenizer, options.out)
        draw(curve, options.out.parent / "curves.png")
        (options.work / "curve.json").write_text(json.dumps(curve))
    return curve


if __name__ == "__main__":
    main(parser.parse_args())
