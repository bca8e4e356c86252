"""A deployment to try things on: a copy of the checkout, with the containers of a project of its own."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.compose.engine import Engine, Failed
from tests.system.pages import Step, filled_in, missing

ROOT = Path(__file__).parents[2]
PLATFORM = ("nats", "postgres", "provisioner", "decision", "inference_worker", "reward")
EVERYTHING = "--profile demo --profile tools --profile obs --profile gpu"
HEALTHY_WITHIN_S = 90.0


class Deployment:
    """What is typed in its folder concerns its own containers only, so that no other deployment of this machine is touched."""

    def __init__(self, engine: Engine, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self.project = f"hearthmind-check-{secrets.token_hex(3)}"
        self.engine = Engine({**engine.environment, "COMPOSE_PROJECT_NAME": self.project, **settings})
        self.engine.environment |= {"COMPOSE_ANSI": "never", "COLUMNS": "200"}
        self.said = ""

    def arrive(self) -> None:
        """Copies what a fresh clone would have, and the packages of the Node example where they are. Only the tag of images
        is another, so that nobody's are replaced."""
        listed = self.engine.run("git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z").split("\0")
        for name in filter(None, listed):
            if (ROOT / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.folder / name)
        example = self.folder / ".env.example"
        example.write_text(example.read_text().replace("HEARTHMIND_TAG=latest", "HEARTHMIND_TAG=check"))
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
        must(not absent, f"{step}: the page shows {absent!r}, which was not printed there:\n{output}")
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

    def address_of(self, game: str) -> str:
        """The address that the page had made for a game."""
        return filled_in(f"nats://game_{game}:…@127.0.0.1:4222", self.said)

    # ---- containers ----------------------------------------------------------------------------------------------------

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers."""
        return self.shell(f"docker compose ps -q {service}").split()

    def inspect(self, container: str, what: str) -> str:
        """One fact about a container."""
        return self.engine.run("docker", "inspect", "--format", what, container).strip()

    def inside(self, container: str, *command: str) -> str:
        """What a command says in a container."""
        return self.engine.run("docker", "exec", container, *command)

    def is_healthy(self, service: str) -> bool:
        """Whether all of its containers say so."""
        states = [self.inspect(each, "{{.State.Status}} {{.State.Health.Status}}") for each in self.containers(service)]
        return bool(states) and all(state == "running healthy" for state in states)

    def wait_healthy(self, services: Sequence[str] = PLATFORM) -> None:
        """Waits until they are."""
        give_up_s = time.monotonic() + HEALTHY_WITHIN_S
        while not all(map(self.is_healthy, services)):
            if time.monotonic() > give_up_s:
                ill = [each for each in services if not self.is_healthy(each)]
                logs = self.shell("docker compose logs --tail=15 " + " ".join(ill))
                raise Failed(f"{', '.join(ill)} not healthy:\n{logs}")
            time.sleep(0.5)

    def sql(self, query: str) -> str:
        """What the database says."""
        psql = "docker compose exec -T postgres psql --username owner --dbname hearthmind --no-align --tuples-only"
        return self.shell(f'{psql} --command "{query}"').strip()

    def leave(self) -> None:
        """Takes away what belongs to this project."""
        self.shell(f"docker compose {EVERYTHING} down --volumes --remove-orphans || true")


def must(holds: object, otherwise: str) -> None:
    """Ends the check where something does not hold."""
    if not holds:
        raise Failed(otherwise)
