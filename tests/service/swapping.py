"""Versions of an adapter that come into force while requests run all the time, on a whole platform with nano on vLLM.

The law: no request fails; each is answered with the very weights that its reply names; never with a version that was not yet in
force, nor with one whose successor had answered somebody before the request was asked; and a version always says the same.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from unittest.mock import patch

import numpy as np
from safetensors.numpy import save_file

from examples.nano.lessons import HELD_OUT_FROM, lessons
from hearthmind import prompts
from hearthmind.adapters import CONFIG, WEIGHTS, InForce, split_version
from hearthmind.contracts.inference import Inferred, Sampling, Turn
from hearthmind.embedded import postgres
from hearthmind.flow import PROMPTS
from hearthmind.settings import Flow
from hearthmind.testing.waiting import until
from services.command import adapters as command
from services.command.platform import Options, Platform

NANO = Path(__file__).parents[2] / "examples" / "nano" / "model"
NAME, OF_DECISIONS = "monk", "raider"
"""The adapter that is swapped, and the one that decisions are made with."""
POOL, MODEL = "nano", "vllm_nano"
MODELS = f"""
models:
  {MODEL}: {{path: {NANO}, pool: {POOL}, engine: {{dtype: float32, eager: true, context: 1024, adapters_max: 4}}}}
"""
RANK = 4
AT_ONCE = 8
TOKENS = 12


def an_adapter(folder: Path, seed: int, loudness: float = 0.5) -> Path:
    """The folder of a LoRA adapter for nano as peft writes them, drawn by chance; a loud one changes every word."""
    described = json.loads((NANO / "config.json").read_text())
    width, drawn, weights = described["hidden_size"], np.random.default_rng(seed), {}
    for layer in range(described["num_hidden_layers"]):
        for module in ("q_proj", "v_proj"):
            place = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            weights[f"{place}.lora_A.weight"] = drawn.normal(0, loudness, (RANK, width)).astype(np.float32)
            weights[f"{place}.lora_B.weight"] = drawn.normal(0, loudness, (width, RANK)).astype(np.float32)
    made = folder / f"adapter-{seed}"
    made.mkdir(parents=True)
    save_file(weights, made / WEIGHTS, metadata={"format": "pt"})
    config: dict[str, object] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "nano",
        "bias": "none",
    }
    config |= {"r": RANK, "lora_alpha": RANK, "lora_dropout": 0.0, "target_modules": ["q_proj", "v_proj"]}
    (made / CONFIG).write_text(json.dumps(config))
    return made


@asynccontextmanager
async def platform_with_adapters(folder: Path) -> AsyncIterator[Platform]:
    """All services as processes; whoever is asked answers with the adapter that is in force."""
    (folder / "models.yaml").write_text(MODELS)
    flow = Flow(partitions=2, pools=(POOL,))
    triage = (f"*={MODEL}:{OF_DECISIONS}",)
    options = Options(folder / "up", flow=flow, sync_interval="1m", durable=False, triage=triage)
    with patch.dict(os.environ, {"HEARTHMIND_MODELS__PATH": str(folder / "models.yaml")}):
        try:
            async with Platform(options, say=lambda _: None) as platform:
                yield platform
        finally:
            postgres.remove(folder / "up" / "postgres")


@dataclass
class Spell:
    """A time for which a version was in force."""

    version: str
    sha256: str
    began_s: float
    """Just before it was put in force; before that it may answer nobody."""
    stored_s: float = math.inf
    heard_s: float = math.inf
    """When it first answered somebody; from then on its predecessor may answer nobody who asks."""


@dataclass
class Reply:
    """An answer, and between which moments it was given."""

    asked_s: float
    answered_s: float
    answer: Inferred


@dataclass
class Swapping:
    """Whoever asks, whoever swaps, and what came of it."""

    platform: Platform
    folder: Path
    asking: prompts.Prompts
    spells: list[Spell] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    _hashes: dict[str, str] = field(default_factory=dict)

    # ---- who asks --------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def asked_all_the_time(self) -> AsyncIterator[None]:
        """So many ask at once until the block ends, each anew as soon as it has its answer."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._ask(stop))
            try:
                yield
            finally:
                stop.set()

    async def _ask(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            asked_s = time.monotonic()
            answer = await self._answer()
            reply = Reply(asked_s, time.monotonic(), answer)
            self.replies.append(reply)
            now = self.spells[-1]
            if answer.adapter == now.version and asked_s >= now.began_s:
                now.heard_s = min(now.heard_s, reply.answered_s)

    async def _answer(self) -> Inferred:
        sampling = Sampling(tokens_max=TOKENS, temperature=0.0)
        (answer,) = await self.asking.ask_all([_QUESTION], adapter=NAME, varied=True, sampling=sampling)
        return answer

    # ---- who swaps -------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Puts the first version in force and waits until it answers: a moment before, workers know of none by that name."""
        await self._publish(0)
        await until(self._answers, within_s=300)

    async def _answers(self) -> bool:
        return not (await self._answer()).failed

    async def swap(self, number: int) -> None:
        """Puts another version in force and waits until it answers: mostly a new one, now and then an earlier one."""
        await (self._publish, self._publish, self._roll_back, self._promote, self._publish)[number % 5](number)
        now = self.spells[-1]
        await until(lambda: now.heard_s < math.inf, within_s=300)

    async def _publish(self, number: int) -> None:
        made = await asyncio.to_thread(an_adapter, self.folder, number)
        manifest = await command.publish_at(self._up, made, NAME, NANO, None, "a test", promoted=False)
        self._hashes[manifest.full_name] = manifest.sha256
        await self._in_force(manifest.full_name, lambda: command.promote_at(self._up, manifest.full_name))

    async def _roll_back(self, _number: int) -> None:
        before = next(each.version for each in reversed(self.spells) if each.version != self.spells[-1].version)
        await self._in_force(before, lambda: command.roll_back_at(self._up, NAME))

    async def _promote(self, _number: int) -> None:
        newest = max(self._hashes, key=lambda version: split_version(version)[1] or 0)
        await self._in_force(newest, lambda: command.promote_at(self._up, newest))

    async def _in_force(self, version: str, put: Callable[[], Awaitable[InForce]]) -> None:
        spell = Spell(version, self._hashes[version], time.monotonic())
        self.spells.append(spell)
        now = await put()
        assert now.version == split_version(version)[1]
        spell.stored_s = time.monotonic()

    @property
    def _up(self) -> Path:
        return self.platform.folder

    # ---- what came of it -------------------------------------------------------------------------------------------

    def broken(self) -> list[str]:
        """Which promises were not kept."""
        failed = [each.answer.failed for each in self.replies if each.answer.failed]
        wrong = [each for each in self.replies if not each.answer.failed and not self._was_in_force(each)]
        said: dict[str, set[str]] = {}
        for each in self.replies:
            said.setdefault(each.answer.adapter, set()).add(each.answer.text)
        fickle = [version for version, texts in said.items() if len(texts) > 1]
        return [
            *([f"{len(failed)} requests failed: {failed[:3]}"] if failed else []),
            *([f"{len(wrong)} were answered with what was not in force: {wrong[:3]}"] if wrong else []),
            *([f"{fickle} said several things: {[said[each] for each in fickle[:3]]}"] if fickle else []),
        ]

    def _was_in_force(self, reply: Reply) -> bool:
        followers = [*self.spells[1:], None]
        return any(
            (reply.answer.adapter, reply.answer.adapter_sha256) == (spell.version, spell.sha256)
            and spell.began_s <= reply.answered_s
            and (follower is None or follower.heard_s >= reply.asked_s)
            for spell, follower in zip(self.spells, followers, strict=True)
        )

    def swaps_s(self) -> list[float]:
        """How long after it was stored each version but the first had its first answer."""
        return [each.heard_s - each.stored_s for each in self.spells[1:]]


@asynccontextmanager
async def swapping(platform: Platform, folder: Path) -> AsyncIterator[Swapping]:
    """Connects whoever asks; the first version is in force."""
    async with prompts.connect(platform.connection.url_of(PROMPTS), game="realm", pool=POOL) as asking:
        found = Swapping(platform, folder, asking)
        await found.begin()
        yield found


_QUESTION = [Turn(role, text) for role, text in next(islice(lessons(HELD_OUT_FROM), 1)).turns]
