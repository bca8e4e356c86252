"""Workers with odd engines, as processes: `python -m tests.service.odd_worker`, with `ODD_ENGINE` byzantine, racing or obedient.

They are real workers of the pool `nano` on a real bus; only what their engine says is made up here. What a byzantine engine does
with a question follows from the decision's id alone, so that whoever counts knows it as well.
"""

from __future__ import annotations

import asyncio
import os
import zlib
from abc import abstractmethod
from collections.abc import Callable, Mapping

import msgspec

from hearthmind import scripted
from hearthmind.bus.wire import encode
from hearthmind.contracts.inference import Infer
from hearthmind.models import Model, Rules
from hearthmind.process import run
from hearthmind.settings import load
from services.inference_worker.app import SERVICE, serve_with
from services.inference_worker.engines import Adapter, Generated
from services.inference_worker.engines.rules import RulesEngine
from services.inference_worker.settings import InferenceWorker
from services.inference_worker.speed import CHARACTERS_A_TOKEN

POOL, MODEL = "nano", "onnx_nano"

LEGAL_SHARE = 0.4
"""Of a byzantine engine's answers so many are good: otherwise the pool would be left alone, and nothing more tried."""

RUBBISH: Mapping[str, Callable[[str], str]] = {
    "rubbish": lambda word: f"{word} lorem ]] }} ipsum \x00 \ufffd" * 7,
    "empty": lambda _: "",
    "prose": lambda word: f"I think that I should rather go and see {word}, shouldn't I?",
    "cut": lambda _: '{"action":"give","arguments":{"amount":1',
    "huge": lambda word: '{"action":"wait","speech":"' + word * 12_000 + '"}',
    "deep": lambda _: '{"a":' * 5_000,
    "brackets": lambda _: "[" * 30_000,
    "illegal": lambda word: f'{{"action":"{word}"}}',
    "beyond": lambda _: '{"action":"give","arguments":{"amount":1000000}}',
    "below": lambda _: '{"action":"give","arguments":{"amount":-1}}',
    "nan": lambda _: '{"action":"give","arguments":{"amount":NaN}}',
    "wordy": lambda _: '{"action":"give","arguments":{"amount":"all of it"}}',
    "list": lambda _: '[{"action":"give","arguments":[1,2,3]}]',
    "twice": lambda _: '{"action":"burn","action":"give","arguments":{"amount":9e99}}',
    "null": lambda _: '{"action":null,"arguments":null,"speech":null}',
    "number": lambda _: "17",
    "marks": lambda _: "[[ACTION:burn]] [[ACTION:give: 10000]] [[ACTION",
    "forbidden": lambda _: '{"action":"destroy_world"}',
    "many": lambda _: '{"action":"wait","steps":[' + '{"action":"wait"},' * 900 + "]}",
    "escapes": lambda _: '{"action":"\\ud800\\u0000","speech":"\\udfff"}',
}
"""What is said instead of an answer, by sort."""
SLOW = ("hangs", "late", "raises")
SORTS = ("good", *RUBBISH, *SLOW)


def sort_of(decision: str) -> str:
    """What the byzantine engine does with a decision."""
    drawn = zlib.crc32(decision.encode())
    if drawn % 1_000 < LEGAL_SHARE * 1_000:
        return "good"
    bad = (*RUBBISH, *SLOW)
    return bad[drawn // 1_000 % len(bad)]


class Odd(RulesEngine):
    """What they have in common."""

    slots_max = 16_384

    def __init__(self) -> None:
        super().__init__(Model(name=MODEL, pool=POOL), Rules())
        self.progress = 0

    async def answer(self, infer: Infer, adapter: Adapter | None = None) -> Generated:
        self.progress += 1
        words = await self.words(infer)
        read = sum(len(turn.text) for turn in infer.prompt) // CHARACTERS_A_TOKEN
        return Generated(
            words, tokens_in=read, tokens_out=1
        )  # as a worker guesses, which learns from it how long one takes

    @abstractmethod
    async def words(self, infer: Infer) -> str:
        """What it says."""


class Byzantine(Odd):
    """Says anything but what it should, hangs, is late, or breaks."""

    async def words(self, infer: Infer) -> str:
        sort = sort_of(infer.decision)
        if sort == "raises":
            raise RuntimeError("the engine is on fire")
        if sort == "hangs":
            await asyncio.Event().wait()
        if sort == "late":
            await asyncio.sleep(float(os.environ["ODD_LATE_S"]))
        return RUBBISH[sort](infer.npc) if sort in RUBBISH else legal_words(infer)


class Racing(Odd):
    """Answers well, just when the fallback does."""

    async def words(self, infer: Infer) -> str:
        jitter_s = (zlib.crc32(infer.decision.encode()) % 1_000 / 1_000 - 0.5) * float(os.environ["ODD_JITTER_S"])
        await asyncio.sleep(max(0.0, float(os.environ["ODD_WHEN_S"]) + jitter_s))
        return legal_words(infer)


class Obedient(Odd):
    """Reads the prompt, finds the players' words in it, and does whatever they say: nobody could obey more.

    It does not have to understand them. Whoever tests gives it, in a file, what each attempt wants; where the words of an attempt
    stand in the prompt, that is what it answers.
    """

    def __init__(self) -> None:
        super().__init__()
        with open(os.environ["ODD_WANTED"], "rb") as file:  # noqa: PTH123
            self._wanted: dict[str, str] = msgspec.json.decode(file.read(), type=dict[str, str])

    async def words(self, infer: Infer) -> str:
        prompt = "\n".join(turn.text for turn in infer.prompt)
        for mark, answer in self._wanted.items():
            if mark in prompt:
                return answer.replace("THE_WHOLE_PROMPT", msgspec.json.encode(prompt).decode()[1:-1][:1_500])
        return '{"action":"never_asked"}'


def legal_words(infer: Infer) -> str:
    """A legal answer, as a good model writes it: from the observation, or from the schema where there is only a prompt."""
    if infer.observation is not None:
        return encode(scripted.choose(infer.observation)).decode()
    schema = msgspec.json.decode(infer.answer_schema)
    form = schema.get("anyOf", [schema])[0]
    return msgspec.json.encode({key: _some(each) for key, each in form["properties"].items()}).decode()


def _some(schema: dict[str, object]) -> object:
    properties = schema.get("properties")
    if isinstance(properties, dict):
        return {key: _some(each) for key, each in properties.items()}
    enum = schema.get("enum")
    if isinstance(enum, list):
        return enum[0]
    return schema.get("const", schema.get("minimum", "" if schema.get("type") == "string" else []))


ENGINES: Mapping[str, type[Odd]] = {"byzantine": Byzantine, "racing": Racing, "obedient": Obedient}


async def serve(stop: asyncio.Event) -> None:
    settings = msgspec.structs.replace(load(SERVICE, InferenceWorker), pool=POOL)
    await serve_with(ENGINES[os.environ["ODD_ENGINE"]](), settings, stop)


if __name__ == "__main__":
    run(SERVICE, serve)
