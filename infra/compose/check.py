"""Tries the deployment for real: `just compose-check`. It follows docs/how-to/deploy-with-compose.md from the top to its end, as
a new user would, in a copy of the checkout; then it looks whether the containers are as closed as they should be, kills each
one while characters play, and takes everything down and up again. Nothing may be lost.

Where no Docker engine can run it says `skipped: ...` and ends well, or with --strict not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import nats

from infra.compose.engine import Engine, Failed, Skipped, engine, need_debootstrap
from infra.compose.standins import base_images, make
from tests.system.pages import Step, filled_in, missing, steps

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/how-to/deploy-with-compose.md"
PLATFORM = ("nats", "postgres", "provisioner", "decision", "inference_worker", "reward")
HEALTHY_WITHIN_S = 90.0
KILL_EVERY_S = 4.0
KILLS_S = 120
KILLS_NPCS = 30
"""Few enough that what a broker that waits for the disk has missed is caught up with on two cores."""


class Deployment:
    """A copy of the checkout with a project of its own, so that no other deployment of this machine is touched."""

    def __init__(self, engine: Engine, folder: Path, seconds: int) -> None:
        self.folder = folder
        self.project = f"hearthmind-check-{secrets.token_hex(3)}"
        self.engine = Engine(
            {**engine.environment, "COMPOSE_PROJECT_NAME": self.project, "HEARTHMIND_DEMO_SECONDS": str(seconds)}
        )
        self.engine.environment |= {"HEARTHMIND_TAG": "check", "COMPOSE_ANSI": "never", "COLUMNS": "200"}
        self.said = ""

    def arrive(self) -> None:
        """Copies what a fresh clone would have, and the packages of the Node example where they are."""
        listed = self.engine.run("git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z").split("\0")
        for name in filter(None, listed):
            if (ROOT / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.folder / name)
        if (modules := ROOT / "examples/node/node_modules").is_dir():
            (self.folder / "examples/node/node_modules").symlink_to(modules)

    def follow(self, step: Step) -> str:
        """Does one step of the page, again and again where the page says that it takes a moment."""
        command = filled_in(step.text, self.said)
        give_up_s = time.monotonic() + (HEALTHY_WITHIN_S if step.is_patient else 0)
        while True:
            output = self.shell(command, f"{step}")
            absent = missing(step.prints, output)
            if not absent or time.monotonic() >= give_up_s:
                break
            time.sleep(1)
        self.said += output
        if absent:
            raise Failed(f"{step}: the page shows {absent!r}, which was not printed there:\n{output}")
        return output

    def shell(self, command: str, what: str = "") -> str:
        """Types a command in the folder; returns what it said on both outputs."""
        done = subprocess.run(
            ["sh", "-ec", command],
            cwd=self.folder,
            env=self.engine.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=1800,
            check=False,
        )
        if done.returncode:
            tail = "\n".join(done.stdout.splitlines()[-40:])
            raise Failed(f"{what} `{command.strip()}` ended with {done.returncode}:\n{tail}")
        return done.stdout

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers."""
        return self.shell(f"docker compose ps -q {service}").split()

    def inspect(self, container: str, what: str) -> str:
        """One fact about a container."""
        return self.engine.run("docker", "inspect", "--format", what, container).strip()

    def is_healthy(self, service: str) -> bool:
        """Whether all of its containers say so."""
        states = [self.inspect(each, "{{.State.Status}} {{.State.Health.Status}}") for each in self.containers(service)]
        return bool(states) and all(state == "running healthy" for state in states)

    def wait_healthy(self, *services: str) -> None:
        """Waits until they are."""
        give_up_s = time.monotonic() + HEALTHY_WITHIN_S
        while not all(map(self.is_healthy, services)):
            if time.monotonic() > give_up_s:
                ill = [each for each in services if not self.is_healthy(each)]
                raise Failed(
                    f"{', '.join(ill)} not healthy:\n{self.shell('docker compose logs --tail=15 ' + ' '.join(ill))}"
                )
            time.sleep(0.5)

    def sql(self, query: str) -> str:
        """What the database says."""
        psql = "docker compose exec -T postgres psql --username owner --dbname hearthmind --no-align --tuples-only"
        return self.shell(f'{psql} --command "{query}"').strip()

    def leave(self) -> None:
        """Takes away what belongs to this project."""
        self.shell("docker compose --profile demo --profile tools down --volumes --remove-orphans || true")


# ---- what is checked, in this order ------------------------------------------------------------------------------------


def follow_the_page(deployment: Deployment, say: Callable[[str], None]) -> None:
    """Every command of the page, from the top to its end."""
    has_node = shutil.which("node") and (deployment.folder / "examples/node/node_modules").is_dir()
    for step in steps(PAGE):
        if step.language != "sh":
            continue
        if step.not_run or ("node " in step.text and not has_node):
            say(f"passed over: {step.text.splitlines()[0]} ({step.not_run or 'Node or its packages are not here'})")
            continue
        began_s = time.monotonic()
        deployment.follow(step)
        say(f"{step.text.splitlines()[0]}  ({time.monotonic() - began_s:.0f} s)")


def containers_are_closed(deployment: Deployment) -> str:
    """What compose.yaml asks for is so in the running containers."""
    words = [path.read_text().strip() for path in (deployment.folder / "secrets").iterdir() if path.suffix != ".conf"]
    for service in PLATFORM:
        for container in deployment.containers(service):
            facts = json.loads(deployment.engine.run("docker", "inspect", container))[0]
            host, said = facts["HostConfig"], json.dumps(facts)
            _must(host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"], f"{service} is not closed: {host['CapDrop']}")
            _must("no-new-privileges:true" in host["SecurityOpt"], f"{service} may gain privileges")
            _must(not any(word in said for word in words), f"a secret stands in the settings of {service}")
            ids = deployment.shell(
                f"docker exec {container} id -u; docker exec {container} sh -c 'touch /var/tmp/x 2>&1; true'"
            )
            _must(not ids.startswith("0\n") and "Read-only" in ids, f"{service} is root or may write: {ids}")
            published = {name for name, bound in (facts["NetworkSettings"]["Ports"] or {}).items() if bound}
            _must(published <= ({"4222/tcp"} if service == "nats" else set()), f"{service} publishes {published}")
    reach = "import socket; socket.create_connection(('{}', {}), 3)"
    alone = "docker compose run --rm --no-deps -T --entrypoint python realm -c"
    deployment.shell(f'{alone} "{reach.format("nats", 4222)}"')
    for host, port in (("postgres", 5432), ("nats-inside", 8222)):
        refused = deployment.shell(f'{alone} "{reach.format(host, port)}" 2>&1 && echo reached || true')
        _must("reached" not in refused, f"a game reaches {host}:{port}")
    return "every container: not root, read-only, no capabilities, no secret in its settings; a game reaches the broker only"


def games_are_kept_apart(deployment: Deployment) -> str:
    """The game that was let in while the broker ran is in, and hears nothing of another."""
    address = filled_in("nats://game_tower:…@127.0.0.1:4222", deployment.said)
    denied = asyncio.run(_denied(address, "game.castle.>"))
    _must(denied, "the tower may listen to the castle")
    return "the game that was let in while the broker ran is in, and another game's subjects are denied to it"


async def _denied(address: str, subject: str) -> bool:
    """Whether the broker refuses to let this user listen there."""
    refused = asyncio.Event()

    async def on_error(error: Exception) -> None:
        if "permissions violation" in str(error).lower():
            refused.set()

    nc = await nats.connect(address, error_cb=on_error, inbox_prefix="_INBOX_game_tower")
    await nc.subscribe("game.tower.action.*")
    await nc.flush()
    _must(not refused.is_set(), "the tower may not listen to itself")
    await nc.subscribe(subject)
    await nc.flush()
    try:
        await asyncio.wait_for(refused.wait(), 5)
    except TimeoutError:
        return False
    finally:
        await nc.close()
    return True


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
    back = []
    _wait_until_it_plays(deployment, game)
    for service in PLATFORM:
        time.sleep(KILL_EVERY_S)
        if game.poll() is not None:
            raise Failed(f"the game ended before {service} was killed:\n{''.join(game.communicate())[-3000:]}")
        back.append(f"{service} {_kill(deployment, service):.0f} s")
    said, errors = game.communicate(timeout=600)
    _must(game.returncode == 0, f"the game that was played during the kills:\n{said[-500:]}\n{errors[-3000:]}")
    played = json.loads(said.splitlines()[-1])
    stored, wanted = _experiences_of(deployment, played["episode"]), f"{played['outcomes']}|{played['outcomes']}"
    _must(stored == wanted, f"{wanted} outcomes and decisions, of which Postgres has {stored}")
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
        _must(game.poll() is None and time.monotonic() < give_up_s, "the game that was to be played did not start")
        time.sleep(0.2)


def _kill(deployment: Deployment, service: str) -> float:
    """Kills a container's process from outside, as a crash would; returns how long it took to be healthy again."""
    container = deployment.containers(service)[0]
    pid = deployment.inspect(container, "{{.State.Pid}}")
    os.kill(int(pid), signal.SIGKILL)
    began_s = time.monotonic()
    while deployment.inspect(container, "{{.State.Pid}}") in (pid, "0"):
        _must(time.monotonic() - began_s < HEALTHY_WITHIN_S, f"{service} was not started again")
        time.sleep(0.1)
    deployment.wait_healthy(service)
    return time.monotonic() - began_s


def survives_down_and_up(deployment: Deployment) -> str:
    """What was stored is there after `down` and `up`, and the game goes on."""
    count = "SELECT (SELECT count(*) FROM experiences), (SELECT count(*) FROM decisions), (SELECT count(*) FROM dead_letters)"
    before = deployment.sql(count)
    deployment.shell("docker compose down")
    deployment.shell("docker compose up --detach")
    deployment.wait_healthy(*PLATFORM)
    _must(deployment.sql(count) == before, f"{before} before, {deployment.sql(count)} after down and up")
    deployment.shell("docker compose run --rm -T realm play --npcs 20 --seconds 3")
    return f"down and up again: experiences|decisions|dead letters {before} as before, and a game goes on"


def _experiences_of(deployment: Deployment, episode: str) -> str:
    return deployment.sql(  # the episode is one that we have just read
        f"SELECT count(*), count(DISTINCT decision) FROM experiences WHERE game = 'realm' AND episode = '{episode}'"  # noqa: S608
    )


def _must(holds: object, otherwise: str) -> None:
    if not holds:
        raise Failed(otherwise)


def check(folder: Path, seconds: int, may_install: bool, say: Callable[[str], None]) -> None:
    """Everything, from an engine to the last line."""
    with engine(folder / "engine", say, may_install) as found:
        missing_images = [tag for tag in base_images().values() if not found.answers("docker", "image", "inspect", tag)]
        if missing_images and not all(found.answers("docker", "pull", "--quiet", tag) for tag in missing_images):
            need_debootstrap(say, may_install)
            make(found, folder / "standins", say)
            say("base images are stand-ins: see the page for what differs from a registry's")
        with TemporaryDirectory(prefix="hearthmind-") as copy:
            deployment = Deployment(found, Path(copy), seconds)
            deployment.arrive()
            try:
                follow_the_page(deployment, say)
                deployment.shell("docker compose up --detach --scale decision=1 --scale inference_worker=1")
                deployment.wait_healthy(*PLATFORM)
                for part in (containers_are_closed, games_are_kept_apart, survives_kills, survives_down_and_up):
                    say(f"ok: {part(deployment)}")
            except Failed:
                say(deployment.shell("docker compose ps; docker compose logs --no-color --tail=20 || true"))
                raise
            finally:
                deployment.leave()


def say(line: str) -> None:
    """Tells it at once, also where the output is a file."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> int:
    """0 where everything held or nothing could be tried, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="compose-check", description=__doc__.split("\n\n")[0])
    parser.add_argument("--strict", action="store_true", help="fail where no engine can run")
    parser.add_argument("--no-install", action="store_true", help="install nothing")
    parser.add_argument("--seconds", type=int, default=60, help="how long the Realm is played each time")
    parser.add_argument("--folder", type=Path, default=ROOT / ".hearthmind/compose-check", help="what is used again")
    asked = parser.parse_args(arguments)
    try:
        check(asked.folder.resolve(), asked.seconds, not asked.no_install, say)
    except Skipped as reason:
        say(f"skipped: {reason}")
        return 1 if asked.strict else 0
    except Failed as failure:
        say(f"FAILED: {failure}")
        return 1
    say("the deployment holds")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
