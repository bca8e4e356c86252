"""Whether the deployment gets over what happens to it: a broker or a database that was away, kills, `down` and `up`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence

from hearthmind.client import Client, LegalAction, connect
from infra.compose.deployment import HEALTHY_WITHIN_S, PLATFORM, Deployment, must
from infra.compose.engine import Failed

AWAY_S = 8.0
BACK_WITHIN_S = 30.0
"""Generous: the goal is 5 s, and what it took is said."""
LOOK_EVERY_S = 0.05
KILL_EVERY_S = 4.0
KILLS_S = 120
KILLS_NPCS = 30
"""Few enough that what a broker that waits for the disk has missed is caught up with on two cores."""


# ---- away and back ----------------------------------------------------------------------------------------------------


def comes_back(deployment: Deployment) -> str:
    """After NATS or Postgres were away, everything works by itself: an answer by a worker, its outcome stored."""
    took = [asyncio.run(_back(deployment, service)) for service in ("nats", "postgres")]
    return f"away for {AWAY_S:.0f} s, then an answer through all services, its outcome stored: {'; '.join(took)}"


async def _back(deployment: Deployment, service: str) -> str:
    container = deployment.containers(service)[0]
    async with connect(deployment.address_of("castle"), game="castle") as mind:
        await _work(mind, f"before {service} was taken away")
        await asyncio.to_thread(deployment.shell, f"docker compose kill {service}")
        await asyncio.sleep(AWAY_S)
        await asyncio.to_thread(deployment.shell, f"docker compose start {service}")
        began_s = time.monotonic()
        answers = asyncio.create_task(asyncio.to_thread(_answers, deployment, container))
        works_s = await _work(mind, f"after {service} was back")
        return f"{service} {works_s - began_s:.1f} s after its start, {works_s - await answers:.1f} s after it answered"


async def _work(mind: Client, when: str) -> float:
    """When everything works."""
    began_s = time.monotonic()
    while not await _works(mind):
        must(time.monotonic() - began_s < BACK_WITHIN_S, f"{when} nothing works within {BACK_WITHIN_S:g} s")
    return time.monotonic()


async def _works(mind: Client) -> bool:
    """Whether the whole loop works: decision and worker answer, and reward stores."""
    choices = [LegalAction(name="defend"), LegalAction(name="flee")]  # with one there would be nothing to ask a worker
    decision = await mind.observe(npc="guard", kind="combat", legal_actions=choices, answer_within_s=1)
    if decision.source != "model":
        await asyncio.sleep(LOOK_EVERY_S)
        return False
    await mind.report(decision, success=True)
    return await mind.wait_stored(BACK_WITHIN_S)


def _answers(deployment: Deployment, container: str) -> float:
    """When the container's own health check says yes for the first time."""
    check = json.loads(deployment.inspect(container, "{{json .Config.Healthcheck.Test}}"))[1:]
    give_up_s = time.monotonic() + BACK_WITHIN_S
    while not deployment.engine.answers("docker", "exec", container, *check) and time.monotonic() < give_up_s:
        time.sleep(LOOK_EVERY_S)
    return time.monotonic()


def gets_over_a_lost_folder(deployment: Deployment) -> str:
    """The broker's files are deleted under it: it is ended, started again, and its streams are made anew."""
    return asyncio.run(_without_its_folder(deployment))


async def _without_its_folder(deployment: Deployment) -> str:
    container = deployment.containers("nats")[0]
    began = "{{.State.StartedAt}}"
    first, gone_s = deployment.inspect(container, began), time.monotonic()
    async with connect(deployment.address_of("castle"), game="castle") as mind:
        deployment.inside(container, "rm", "-rf", "/data/jetstream")
        while await asyncio.to_thread(deployment.inspect, container, began) == first:
            must(time.monotonic() - gone_s < BACK_WITHIN_S, "the broker goes on without its folder")
        ended_s = time.monotonic()
        works_s = await _work(mind, "after the broker's folder was deleted")
    took = f"started again after {ended_s - gone_s:.1f} s, everything works {works_s - ended_s:.1f} s later"
    return f"the broker's folder deleted while it runs: {took}"


# ---- kills --------------------------------------------------------------------------------------------------------------


def survives_kills(deployment: Deployment) -> str:
    """Each container is killed once while the Realm is played; the demo's own conditions hold, and Postgres agrees."""
    play = f"play --game realm --npcs {KILLS_NPCS} --seconds {KILLS_S} --json"
    game = subprocess.Popen(
        ["sh", "-c", f"docker compose run --rm -T realm {play}"],
        cwd=deployment.folder,
        env=deployment.engine.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_until_it_plays(deployment, game)
    back = _kill_each(deployment, game)
    said, errors = game.communicate(timeout=600)
    must(game.returncode == 0, f"the game that was played during the kills:\n{said[-500:]}\n{errors[-3000:]}")
    played = json.loads(said.splitlines()[-1])
    stored, wanted = _experiences_of(deployment, played["episode"]), f"{played['outcomes']}|{played['outcomes']}"
    must(stored == wanted, f"{wanted} outcomes and decisions, of which Postgres has {stored}")
    return (
        f"each container killed while {played['observations']:,} decisions were made ({played['by_source']}), healthy again after"
        f" {', '.join(back)}; {played['outcomes']:,} outcomes, each stored once"
    )


def _wait_until_it_plays(deployment: Deployment, game: subprocess.Popen[str]) -> None:
    """Compose starts a game only while all that it depends on is healthy."""
    label = "label=com.docker.compose"
    project, service = f"{label}.project={deployment.project}", f"{label}.service=realm"
    give_up_s = time.monotonic() + HEALTHY_WITHIN_S
    while not deployment.engine.run("docker", "ps", "-q", "--filter", project, "--filter", service).strip():
        must(game.poll() is None and time.monotonic() < give_up_s, "the game that was to be played did not start")
        time.sleep(0.2)


def _kill_each(deployment: Deployment, game: subprocess.Popen[str]) -> Sequence[str]:
    """Kills one container of each service; returns how long each took to be healthy again."""
    back = []
    for service in PLATFORM:
        time.sleep(KILL_EVERY_S)
        if game.poll() is not None:
            raise Failed(f"the game ended before {service} was killed:\n{''.join(game.communicate())[-3000:]}")
        back.append(f"{service} {_kill(deployment, service):.0f} s")
    return back


def _kill(deployment: Deployment, service: str) -> float:
    """Kills a container's process from outside, as a crash would."""
    container = deployment.containers(service)[0]
    pid = deployment.inspect(container, "{{.State.Pid}}")
    os.kill(int(pid), signal.SIGKILL)
    began_s = time.monotonic()
    while deployment.inspect(container, "{{.State.Pid}}") in (pid, "0"):
        must(time.monotonic() - began_s < HEALTHY_WITHIN_S, f"{service} was not started again")
        time.sleep(0.1)
    deployment.wait_healthy([service])
    return time.monotonic() - began_s


def _experiences_of(deployment: Deployment, episode: str) -> str:
    return deployment.sql(  # the episode is one that we have just read
        f"SELECT count(*), count(DISTINCT decision) FROM experiences WHERE game = 'realm' AND episode = '{episode}'"  # noqa: S608
    )


# ---- down and up --------------------------------------------------------------------------------------------------------


def survives_down_and_up(deployment: Deployment) -> str:
    """What was stored is there after `down` and `up`, and the game goes on."""
    count = "SELECT (SELECT count(*) FROM experiences), (SELECT count(*) FROM decisions), (SELECT count(*) FROM dead_letters)"
    before = deployment.sql(count)
    deployment.shell("docker compose down")
    deployment.shell("docker compose up --detach")
    deployment.wait_healthy()
    must(deployment.sql(count) == before, f"{before} before, {deployment.sql(count)} after down and up")
    deployment.shell("docker compose run --rm -T realm play --npcs 20 --seconds 3")
    return f"down and up again: experiences|decisions|dead letters {before} as before, and a game goes on"
