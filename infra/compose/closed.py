"""Whether containers and games are as closed off as compose.yaml and flow.py want them."""

from __future__ import annotations

import asyncio
import json

import nats
from nats.aio.client import Client as Nats
from nats.errors import Error as NatsError

from infra.compose.deployment import PLATFORM, Deployment, must

PUBLISHED = {"nats": {"4222/tcp"}}
ANOTHERS = ("game.castle.action.guard", "game.castle.outcome.p1", "castle.action.guard")
API = "$JS.API"
DEEDS = (
    *(
        f"{API}.STREAM.{deed}.{stream}"
        for deed in ("DELETE", "PURGE", "INFO")
        for stream in ("ACTION", "EXPERIENCE", "OBSERVATION")
    ),
    *(f"{API}.STREAM.MSG.GET.ACTION", f"{API}.DIRECT.GET.ACTION", f"{API}.STREAM.NAMES", f"{API}.STREAM.LIST"),
    *(f"{API}.CONSUMER.CREATE.ACTION.spy", f"{API}.CONSUMER.DELETE.EXPERIENCE.reward"),
)
"""What would read or destroy what another game has."""
PLATFORMS_OWN = ("$SYS.>", "inference.>", "_INBOX.>", "$JS.EVENT.>")


def containers_are_closed(deployment: Deployment) -> str:
    """What compose.yaml asks for is so in the running containers."""
    words = [path.read_text().strip() for path in (deployment.folder / "secrets").iterdir() if path.suffix != ".conf"]
    for service in PLATFORM:
        for container in deployment.containers(service):
            facts = json.loads(deployment.engine.run("docker", "inspect", container))[0]
            host, said = facts["HostConfig"], json.dumps(facts)
            must(host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"], f"{service} is not closed: {host['CapDrop']}")
            must("no-new-privileges:true" in host["SecurityOpt"], f"{service} may gain privileges")
            must(not any(word in said for word in words), f"a secret stands in the settings of {service}")
            ids = deployment.inside(container, "sh", "-c", "id -u; touch /var/tmp/x 2>&1; true")
            must(not ids.startswith("0\n") and "Read-only" in ids, f"{service} is root or may write: {ids}")
            published = {name for name, bound in (facts["NetworkSettings"]["Ports"] or {}).items() if bound}
            must(published <= PUBLISHED.get(service, set()), f"{service} publishes {published}")
    reach = "import socket; socket.create_connection(('{}', {}), 3)"
    alone = "docker compose run --rm --no-deps -T --entrypoint python realm -c"
    deployment.shell(f'{alone} "{reach.format("nats", 4222)}"')
    for host, port in (("postgres", 5432), ("nats-inside", 8222)):
        refused = deployment.shell(f'{alone} "{reach.format(host, port)}" 2>&1 && echo reached || true')
        must("reached" not in refused, f"a game reaches {host}:{port}")
    return "every container: not root, read-only, no capabilities, no secret in its settings; a game reaches the broker only"


def games_are_kept_apart(deployment: Deployment) -> str:
    """A game that was let in while the broker ran is in, reaches only what is its own, and can be shut out again."""
    address = deployment.address_of("tower")
    denied = asyncio.run(_denied(address))
    (deployment.folder / "secrets/broker_game_tower").unlink()
    deployment.shell('docker compose run --rm --user "$(id -u):$(id -g)" secrets; docker compose kill -s HUP nats')
    must(asyncio.run(_is_shut_out(address)), "the tower was shut out and still comes in")
    return f"a game that was let in hears itself; {denied} ways to what is another's are denied; shut out, it is out"


async def _denied(address: str) -> int:
    """How many things the broker refuses to this game: all that it should."""
    said: list[str] = []

    async def on_error(error: Exception) -> None:
        said.append(str(error).lower())

    nc = await nats.connect(address, error_cb=on_error, inbox_prefix="_INBOX_game_tower")
    try:
        await nc.subscribe("game.tower.action.*")
        await nc.flush()
        must(not said, f"the tower may not listen to itself: {said}")
        for subject in ("game.castle.>", *PLATFORMS_OWN):
            await nc.subscribe(subject)
        for subject in (*ANOTHERS, *DEEDS):
            await nc.publish(subject, b"{}")
        await _told(nc)
    finally:
        await nc.close()
    tried = ("game.castle.>", *PLATFORMS_OWN, *ANOTHERS, *DEEDS)
    allowed = [subject for subject in tried if not any(f'to "{subject.lower()}"' in line for line in said)]
    must(not allowed, f"the tower may: {allowed}")
    return len(tried)


async def _told(nc: Nats) -> None:
    """Waits until the broker has answered all that was sent to it."""
    await nc.flush()
    await asyncio.sleep(0.2)  # errors are told by a task of their own


async def _is_shut_out(address: str) -> bool:
    """Whether the broker, soon after it was told, takes this password no more."""

    async def on_error(_: Exception) -> None:
        """It is raised, too."""

    for _ in range(50):
        try:
            nc = await nats.connect(address, error_cb=on_error, allow_reconnect=False, max_reconnect_attempts=1)
        except NatsError as error:
            return "authorization violation" in str(error).lower()
        await nc.close()
        await asyncio.sleep(0.2)
    return False
