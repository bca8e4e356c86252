"""The examples in plain Node and plain Python, without our library, against the platform as it runs."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hearthmind.embedded import postgres
from hearthmind.flow import game_user
from hearthmind.settings import Flow
from hearthmind.store.engine import create_engine, transaction
from hearthmind.store.read import record_of
from services.command.platform import Options, Platform

EXAMPLES = Path(__file__).parents[2] / "examples"
NODE = EXAMPLES / "node"
LINES_BELOW = 30


def without_node() -> str:
    """Why nothing can be run in Node here; empty where it can."""
    if not shutil.which("node"):
        return "there is no Node: install nodejs and npm, then `npm ci` in examples/node"
    return "" if (NODE / "node_modules").is_dir() else "the NATS client for Node is missing: `npm ci` in examples/node"


needs_node = pytest.mark.skipif(bool(without_node()), reason=without_node())
GUARDS = (
    pytest.param((sys.executable, str(EXAMPLES / "python" / "guard.py")), id="python"),
    pytest.param(("node", str(NODE / "guard.js")), id="node", marks=needs_node),
)

SPY_IN_PYTHON = """
import asyncio, sys
import nats

async def main(user, address):
    async def refused(error): print("refused:", error, flush=True)
    async def heard(message): print("heard:", message.subject, flush=True)
    nc = await nats.connect(address, inbox_prefix=f"_INBOX_{user}", error_cb=refused)
    for subject in ("game.castle.action.*", "game.castle.stored"):
        await nc.subscribe(subject, cb=heard)
    await nc.flush()
    print("listening", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await nc.drain()

asyncio.run(main(*sys.argv[1:]))
"""
SPY_IN_NODE = """
import { connect } from "@nats-io/transport-node";

const [user, address] = process.argv.slice(1);
const { password: pass, host } = new URL(address);
const nc = await connect({ servers: host, user, pass, inboxPrefix: `_INBOX_${user}` });
const callback = (error, message) => console.log(error ? `refused: ${error.message}` : `heard: ${message.subject}`);
for (const subject of ["game.castle.action.*", "game.castle.stored"]) nc.subscribe(subject, { callback });
await nc.flush();
console.log("listening");
for await (const line of process.stdin) break;
await nc.drain();
"""
SPIES = (
    pytest.param((sys.executable, "-c", SPY_IN_PYTHON), id="python"),
    pytest.param(("node", "--input-type=module", "-e", SPY_IN_NODE), id="node", marks=needs_node),
)


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    """The services as processes, and two games that may connect."""
    folder = tmp_path_factory.mktemp("platform")
    options = Options(folder=folder, flow=Flow(games=("castle", "tower")), sync_interval="1m", durable=False)
    said: list[str] = []
    async with Platform(options, say=said.append) as platform:
        yield platform
    postgres.remove(folder / "postgres")


async def started(argv: tuple[str, ...]) -> Process:
    return await asyncio.create_subprocess_exec(*argv, cwd=NODE, stdin=PIPE, stdout=PIPE, stderr=STDOUT)


async def played(guard: tuple[str, ...], platform: Platform) -> tuple[str, str]:
    """Plays the guard to its end; returns the decision and what was done."""
    process = await started((*guard, platform.connection.url_of(game_user("castle"))))
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said.decode()
    found = re.match(r"([\w-]+): (.*)\n", said.decode())
    assert found, said.decode()
    return found[1], found[2]


async def kept_of(platform: Platform, decision: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The decision's one outcome and its one experience, as they are in the database."""
    engine = create_engine(platform.connection.database_url, connections_max=1)
    try:
        async with transaction(engine) as connection:
            record = await record_of(connection, decision)
    finally:
        await engine.dispose()
    (outcome,), (experience,) = record.outcomes, record.experiences
    return msgspec.json.decode(outcome), msgspec.json.decode(experience)


@pytest.mark.parametrize("path", [EXAMPLES / "python" / "guard.py", NODE / "guard.js"], ids=lambda path: path.name)
def test_an_example_is_short(path: Path) -> None:
    lines = [line.strip() for line in path.read_text().splitlines()]
    assert len([line for line in lines if line and not line.startswith(("//", "#", '"""'))]) < LINES_BELOW


def test_the_lock_pins_hashes_and_names_no_host() -> None:
    lock = (NODE / "package-lock.json").read_text()
    assert "://" not in lock
    assert lock.count('"integrity"') == lock.count('"node_modules/')


@pytest.mark.parametrize("guard", GUARDS)
async def test_the_guard_does_what_the_platform_says_and_it_is_stored(
    guard: tuple[str, ...], platform: Platform
) -> None:
    decision, done = await played(guard, platform)
    assert re.fullmatch(r'walk \{"to": ?"gate"\} by rules', done)
    outcome, experience = await kept_of(platform, decision)
    assert (outcome["action"], outcome["arguments"], outcome["executed_by"]) == ("walk", {"to": "gate"}, "platform")
    assert (outcome["success"], outcome["facts"]) == (True, {"seen": 2})
    assert (experience["game"], experience["npc"], experience["source"]) == ("castle", "guard", "rules")


@pytest.mark.parametrize("guard", GUARDS)
async def test_without_an_answer_the_guard_falls_back_and_that_is_stored_too(
    guard: tuple[str, ...], platform: Platform
) -> None:
    pid = platform.supervisor.pid("decision")
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        decision, done = await played(guard, platform)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert done == "wait {} by client"
    outcome, experience = await kept_of(platform, decision)
    assert (outcome["action"], outcome["executed_by"]) == ("wait", "client")
    assert outcome["observation"]["type"] == "observation"
    assert outcome["legal_actions"], "what it might have done is kept, too"
    assert experience["source"] == "client"


@pytest.mark.parametrize("user", ["game_castle", "game_tower"])
@pytest.mark.parametrize("spy", SPIES)
async def test_a_game_hears_its_own_actions_and_no_others(spy: tuple[str, ...], user: str, platform: Platform) -> None:
    process = await started((*spy, user, platform.connection.url_of(user)))
    assert process.stdout
    assert process.stdin
    said = [await asyncio.wait_for(process.stdout.readuntil(b"listening\n"), 60)]
    await played((sys.executable, str(EXAMPLES / "python" / "guard.py")), platform)
    said += await asyncio.wait_for(process.communicate(b"that is all\n"), 60)
    text = b"".join(part for part in said if part).decode()
    heard, refused = re.findall(r"heard: (\S+)", text), re.findall(r"refused: .*?(game\.castle\.[\w.*]+)", text)
    if user == "game_castle":
        assert (set(heard), refused) == ({"game.castle.action.guard", "game.castle.stored"}, [])
    else:
        assert (heard, set(refused)) == ([], {"game.castle.action.*", "game.castle.stored"})
