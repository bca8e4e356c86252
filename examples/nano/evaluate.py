"""What nano says on worlds that it never saw, through transformers and through onnxruntime-genai, and how fast the latter is.

    python -m examples.nano.evaluate [--lessons 1000] [--model examples/nano/model] [--only onnx]

Temperature 0; through onnxruntime-genai once as workers ask it, held to the answer's schema, and once without anything that
holds it, as through transformers. An answer is valid if it obeys the schema and is legal; it agrees if its
action is the teacher's, who has no dice, so that every question counts. Of each kind half of the questions are nobody's in
particular; the rest have a persona, and genes among them that move the teacher.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import count, islice
from pathlib import Path

import jsonschema
import msgspec
from llguidance import LLTokenizer

from examples.nano.lessons import HELD_OUT_FROM, Lesson, lessons
from hearthmind.contracts.inference import Answer
from hearthmind.legal import problem
from hearthmind.persona import NEUTRAL
from hearthmind.prompting import answer_schema
from services.inference_worker.engines.grammar import Grammars

HERE = Path(__file__).parent
EXAMINED_FROM = HELD_OUT_FROM + 1_000
"""Seeds beyond those that training looked at to draw its curve."""
A_WORLD = 25
TOKENS_MAX = 96
END = 1
BATCHES = (1, 8, 32)

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--lessons", type=int, default=1_000)
parser.add_argument("--model", type=Path, default=HERE / "model")
parser.add_argument("--only", choices=("transformers", "onnx"))
parser.add_argument("--json", type=Path, help="write the figures there too")

Texts = list[str]


def grammars_of(folder: Path) -> Grammars:
    """What holds answers to their schemas, by the model's own words."""
    words = json.loads((folder / "config.json").read_text())["vocab_size"]
    tokenizer = LLTokenizer((folder / "tokenizer.json").read_text(), n_vocab=words, eos_token=END)
    return Grammars(tokenizer, words)


def held_out(wanted: int) -> list[Lesson]:
    """Questions from as many unseen worlds as it takes, a few of each."""

    def some(seed: int) -> list[Lesson]:
        found = list(lessons(seed))
        return random.Random(seed).sample(found, min(A_WORLD, len(found)))

    return list(islice((lesson for seed in count(EXAMINED_FROM) for lesson in some(seed)), wanted))


def read(lesson: Lesson, text: str) -> Answer | None:
    """The answer, where it is valid."""
    schema = jsonschema.Draft202012Validator(json.loads(answer_schema(lesson.observation)))
    try:
        if not schema.is_valid(json.loads(text)):
            return None
        answer = msgspec.json.decode(text, type=Answer)
    except ValueError:
        return None
    return None if problem(lesson.observation, answer.action, answer.arguments) else answer


def figures(asked: Sequence[Lesson], texts: Sequence[str]) -> dict[str, float]:
    """The shares that count, of all questions."""
    answers = [read(lesson, text) for lesson, text in zip(asked, texts, strict=True)]
    taught = Counter(lesson.answer.action for lesson in asked)
    agreed: Counter[str] = Counter()
    so = same = off = argued = 0.0
    for lesson, answer in zip(asked, answers, strict=True):
        if answer is not None:
            agreed[lesson.answer.action] += answer.action == lesson.answer.action
            argued += (answer.action, answer.arguments) == (lesson.answer.action, lesson.answer.arguments)
            so += stands_there(lesson, answer)
            same += answer.reasoning == lesson.answer.reasoning
            off += abs((answer.confidence or 0) - (lesson.answer.confidence or 0))
    return {
        "valid": sum(answer is not None for answer in answers) / len(asked),
        "questions": len(asked),
        "agreement": agreed.total() / len(asked),
        "always the most frequent": max(taught.values()) / len(asked),
        **{f"agreement where {action}": agreed[action] / number for action, number in taught.most_common()},
        "the arguments as well": argued / len(asked),
        "names and numbers stand there": so / len(asked),
        "reasoning is the teacher's": same / len(asked),
        "word for word": sum(lesson.text == text for lesson, text in zip(asked, texts, strict=True)) / len(asked),
        "confidence off by": off / len(asked),
    }


def groups(asked: Sequence[Lesson]) -> dict[str, list[int]]:
    """Which questions belong together: by their kind, and by whether genes move the teacher."""
    found: dict[str, list[int]] = {}
    for place, lesson in enumerate(asked):
        kind = lesson.observation.kind
        is_moved = lesson.mind.persona.behaviour != NEUTRAL
        for name in (kind, f"{kind}, moved by genes" if is_moved else f"{kind}, as the game likes"):
            found.setdefault(name, []).append(place)
    return dict(sorted(found.items()))


def stands_there(lesson: Lesson, answer: Answer) -> bool:
    """Whether every name and number that it gives as a reason stands in the question."""
    shown = " ".join(text for _, text in lesson.turns)
    return all(
        re.search(rf"(?<![\w.]){re.escape(fact)}(?![\w]|\.\d)", shown)
        for fact in re.findall(r"\w*\d+(?:\.\d+)?", answer.reasoning)
    )


def by_transformers(folder: Path, asked: Sequence[Lesson]) -> Texts:
    """Batches, in 32 bits."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    texts: Texts = []
    for start in range(0, len(asked), BATCHES[-1]):
        messages = [chat(lesson) for lesson in asked[start : start + BATCHES[-1]]]
        given = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        said = model.generate(**given, max_new_tokens=TOKENS_MAX, do_sample=False)
        texts += tokenizer.batch_decode(said[:, given["input_ids"].shape[1] :], skip_special_tokens=True)
    return texts


class Onnx:
    """onnxruntime-genai in one thread, as a worker runs it; some prompts of the same length at a time."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime_genai as og

        self._og = og
        og.disable_telemetry_events()
        config = og.Config(str(folder))
        config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": 1}}}}))
        self._model = og.Model(config)
        self._tokenizer = og.Tokenizer(self._model)

    def tokens(self, lesson: Lesson) -> list[int]:
        """The prompt as the model reads it."""
        text = self._tokenizer.apply_chat_template(json.dumps(chat(lesson)), add_generation_prompt=True)
        return [int(token) for token in self._tokenizer.encode(text)]

    def answers(self, prompts: Sequence[list[int]]) -> tuple[Texts, int]:
        """The answers to prompts of one length, and how many tokens they have in all."""
        start = len(prompts[0])
        params = self._og.GeneratorParams(self._model)
        params.set_search_options(do_sample=False, max_length=start + TOKENS_MAX, batch_size=len(prompts))
        generator = self._og.Generator(self._model, params)
        generator.append_tokens([token for prompt in prompts for token in prompt])
        while not generator.is_done():
            generator.generate_next_token()
        said = [[int(token) for token in generator.get_sequence(row)[start:]] for row in range(len(prompts))]
        return [self._tokenizer.decode(answer) for answer in said], sum(map(len, said))

    def held(self, lesson: Lesson, grammars: Grammars) -> str:
        """The answer as a worker gets it: of each next token only those count with which the schema can still be obeyed."""
        prompt, obeying = self.tokens(lesson), grammars.obeying(answer_schema(lesson.observation))
        params = self._og.GeneratorParams(self._model)
        params.set_search_options(do_sample=False, max_length=len(prompt) + TOKENS_MAX)
        generator = self._og.Generator(self._model, params)
        generator.append_tokens(prompt)
        said: list[int] = []
        while len(said) < TOKENS_MAX - 1:
            said.append(int(obeying.allow(generator.get_logits()[0, -1]).argmax()))
            if obeying.said(said[-1]):
                break
            generator.append_tokens(said[-1:])
        return str(self._tokenizer.decode(said))

    def rate(self, prompts: Sequence[list[int]]) -> tuple[float, float]:
        """Milliseconds until a batch is answered, and tokens written in a second, the best of five."""
        best_s, written = min(timed(lambda: self.answers(prompts)) for _ in range(5))
        return 1_000 * best_s, written / best_s


def timed(work: Callable[[], tuple[Texts, int]]) -> tuple[float, int]:
    """Seconds, and the tokens written."""
    begun_s = time.perf_counter()
    _, written = work()
    return time.perf_counter() - begun_s, written


def chat(lesson: Lesson) -> list[dict[str, str]]:
    """The prompt in the form that chat templates take."""
    return [{"role": role, "content": text} for role, text in lesson.turns]


def alike(prompts: Iterable[list[int]], wanted: int) -> list[list[int]]:
    """So many prompts of the most frequent length, some of them twice where there are too few."""
    all_of_them = list(prompts)
    (length, _), *_ = Counter(map(len, all_of_them)).most_common()
    same = [prompt for prompt in all_of_them if len(prompt) == length]
    return [same[number % len(same)] for number in range(wanted)]


def main() -> None:
    """Print the figures."""
    options = parser.parse_args()
    asked = held_out(options.lessons)
    said: dict[str, Texts] = {}
    found: dict[str, dict[str, float]] = {}
    if options.only != "onnx":
        said["transformers"] = by_transformers(options.model, asked)
    if options.only != "transformers":
        runtime = Onnx(options.model / "onnx")
        prompts = [runtime.tokens(lesson) for lesson in asked]
        grammars = grammars_of(options.model)
        said["onnx, held to the schema"] = [runtime.held(lesson, grammars) for lesson in asked]
        said["onnx"] = [runtime.answers([prompt])[0][0] for prompt in prompts]
        found["speed"] = {"tokens in a prompt": sum(map(len, prompts)) / len(prompts)}
        for batch in BATCHES:
            batch_ms, tokens_per_s = runtime.rate(alike(prompts, batch))
            found["speed"] |= {f"batch {batch}: ms": batch_ms, f"batch {batch}: tokens/s": tokens_per_s}
    by_group = {
        f"{name}, {group}": figures([asked[place] for place in places], [texts[place] for place in places])
        for name, texts in said.items()
        for group, places in groups(asked).items()
    }
    found = by_group | found
    if "transformers" in said and "onnx" in said:
        pairs = zip(said["transformers"], said["onnx"], strict=True)
        found["transformers and onnx"] = {"different answers": sum(one != other for one, other in pairs)}
    for name, those in found.items():
        print(f"\n{name}")
        for figure, value in those.items():
            print(f"  {figure:<32} {value:>10.4g}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
