"""Adapters that are swapped while requests run, on a whole platform with vLLM: nobody fails, and each reply says who spoke."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import nats
import pytest
from nats.aio.msg import Msg

from examples.nano.lessons import HELD_OUT_FROM, lessons
from hearthmind.adapters import split_version
from hearthmind.bus.accounts import PROVISION
from hearthmind.bus.wire import decode
from hearthmind.client import Decision, connect
from hearthmind.contracts.action import MODEL
from hearthmind.contracts.decision import DecisionMade
from hearthmind.flow import game_user
from hearthmind.testing.waiting import until
from services.command.platform import Platform
from tests.engines.behaviour import needs
from tests.service.swapping import NANO, OF_DECISIONS, an_adapter, platform_with_adapters, swapping

pytestmark = [needs("vllm"), pytest.mark.filterwarnings("default")]  # those of vLLM's own imports are not ours to mend

SWAPS = 50


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    async with platform_with_adapters(tmp_path_factory.mktemp("swaps")) as platform:
        yield platform


async def hearthmind(platform: Platform, *arguments: object) -> str:
    """What the command says, as its user runs it."""
    command = (
        sys.executable,
        "-m",
        "services.command",
        "adapters",
        *map(str, arguments),
        "--folder",
        str(platform.folder),
    )
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT)
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


async def test_fifty_swaps_in_a_row_fail_no_request(platform: Platform, folder: Path) -> None:
    async with swapping(platform, folder) as swaps:
        async with swaps.asked_all_the_time():
            for number in range(1, SWAPS + 1):
                await swaps.swap(number)
        assert swaps.broken() == []
        assert len(swaps.spells) == SWAPS + 1
        assert {each.version for each in swaps.spells} <= {each.answer.adapter for each in swaps.replies}
        assert len({each.answer.text for each in swaps.replies}) > 5, "the versions should differ in what they say"


async def test_a_decision_names_the_version_that_the_command_put_in_force(platform: Platform, folder: Path) -> None:
    details: dict[str, DecisionMade] = {}

    async def on_detail(msg: Msg) -> None:
        detail = decode(msg.data, DecisionMade)
        details[detail.decision] = detail

    questions = (lesson.observation for lesson in lessons(HELD_OUT_FROM))
    operator = await nats.connect(platform.connection.url_of(PROVISION), inbox_prefix=b"_INBOX_provision")
    await operator.subscribe("mind.decision.realm.*", cb=on_detail)
    await operator.flush()
    async with connect(platform.connection.url_of(game_user("realm")), game="realm") as game:

        async def decided() -> Decision:
            seen = next(questions)
            return await game.observe(
                npc=seen.npc,
                kind=seen.kind,
                state=msgspec.json.decode(seen.state),
                legal_actions=seen.legal_actions,
                answer_within_s=30,
            )

        async def by(version: str, sha256: str) -> None:
            """Waits until a decision is made with that version."""
            found: list[Decision] = []

            async def made_with_it() -> bool:
                found[:] = [await decided()]
                return (found[0].source, found[0].chosen.adapter) == (MODEL, version)

            await until(made_with_it)
            await until(lambda: found[0].id in details)
            assert details[found[0].id].adapter_sha256 == sha256

        published = []
        for seed in (101, 102):
            made = an_adapter(folder, seed, loudness=0.01)
            said = await hearthmind(platform, "publish", made, "--name", OF_DECISIONS, "--base", NANO)
            published.append(said.split()[:2])
        (first, first_sha256), (second, second_sha256) = published
        assert [split_version(version) for version in (first, second)] == [(OF_DECISIONS, 1), (OF_DECISIONS, 2)]
        none = await decided()
        assert "no version of it is in force" in none.chosen.why
        await hearthmind(platform, "promote", first)
        await by(first, first_sha256)
        await hearthmind(platform, "promote", second)
        await by(second, second_sha256)
        await hearthmind(platform, "rollback", OF_DECISIONS)
        await by(first, first_sha256)
    await operator.close()
