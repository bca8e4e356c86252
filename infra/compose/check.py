"""Tries the deployment for real: `just compose-check`. It follows docs/how-to/deploy-with-compose.md from the top to its end, as
a new user would, in a copy of the checkout; then it looks whether the containers are as closed as they should be and telemetry
arrives, takes broker and database away, kills each container while characters play, and takes everything down and up again.
Nothing may be lost.

Where no Docker engine can run it says `skipped: ...` and ends well, or with --strict not.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.compose.closed import containers_are_closed, games_are_kept_apart
from infra.compose.deployment import EVERYTHING, ROOT, Deployment, must
from infra.compose.engine import Engine, Failed, Say, Skipped, engine, need_debootstrap, need_prometheus
from infra.compose.standins import images, is_there, make
from infra.compose.survives import comes_back, gets_over_a_lost_folder, survives_down_and_up, survives_kills
from infra.compose.watched import it_is_watched
from tests.system.pages import steps

PAGE = ROOT / "docs/how-to/deploy-with-compose.md"
TRACED = {"HEARTHMIND_TELEMETRY__SAMPLE_RATIO": "1", "HEARTHMIND_TELEMETRY__LOG_FORMAT": "json"}
NO_GPU = 'could not select device driver "nvidia"'

# ---- what is checked, in this order ------------------------------------------------------------------------------------


def follow_the_page(deployment: Deployment, say: Say) -> None:
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


def gpus_are_asked_for(deployment: Deployment) -> str:
    """The profile `gpu` starts its workers, or ends because this engine has no GPU to give to them. It is tried with the
    image of the other workers, since their own takes 14 GiB."""
    deployment.shell("docker tag hearthmind/inference_worker:check hearthmind/inference_worker_gpu:check")
    said = deployment.shell(
        "HEARTHMIND_GPU0_MODEL=rules_scripted docker compose --profile gpu up --detach inference_worker_gpu0 2>&1 || true"
    )
    if NO_GPU in said:
        deployment.shell("docker compose --profile gpu rm --force --stop inference_worker_gpu0")
        return "the worker on a GPU asks the engine for one, which has none to give: that it works is not tried"
    must(deployment.containers("inference_worker_gpu0"), f"the worker on a GPU did not start:\n{said}")
    deployment.wait_healthy(["inference_worker_gpu0"])
    return "a worker runs on the first GPU"


def an_upgrade_is_taken_back(deployment: Deployment) -> str:
    """The first settings again: the images of before the upgrade, and no telemetry, which the platform does not need."""
    watching = "collector broker_watch prometheus tempo loki grafana"
    deployment.shell(f"docker compose {EVERYTHING} rm --force --stop {watching}")
    deployment.shell("docker compose run --rm -T realm play --npcs 5 --seconds 5; cp .env.example .env")
    deployment.shell("docker compose up --detach")
    deployment.wait_healthy()
    image = deployment.inspect(deployment.containers("decision")[0], "{{.Config.Image}}")
    must(image == "hearthmind/decision:check", f"after going back from an upgrade {image} runs")
    return "the platform works with telemetry gone, and goes back to the images of before the upgrade"


PARTS: Sequence[Callable[[Deployment], str]] = (
    containers_are_closed,
    games_are_kept_apart,
    it_is_watched,
    an_upgrade_is_taken_back,
    comes_back,
    gets_over_a_lost_folder,
    survives_kills,
    survives_down_and_up,
    gpus_are_asked_for,
)


def check(folder: Path, seconds: int, may_install: bool, say: Say) -> None:
    """Everything, from an engine to the last line."""
    with engine(folder / "engine", say, may_install) as found:
        _have_images(found, folder / "standins", say, may_install)
        with TemporaryDirectory(prefix="hearthmind-") as copy:
            deployment = Deployment(found, Path(copy), {"HEARTHMIND_DEMO_SECONDS": str(seconds), **TRACED})
            deployment.arrive()
            try:
                follow_the_page(deployment, say)
                deployment.wait_healthy()
                for part in PARTS:
                    say(f"ok: {part(deployment)}")
            except Failed:
                say(deployment.shell("docker compose ps; docker compose logs --no-color --tail=20 || true"))
                raise
            finally:
                deployment.leave()


def _have_images(found: Engine, folder: Path, say: Say, may_install: bool) -> None:
    """The images of others: those that are there, or that can be pulled, or else stand-ins."""
    missing = [tag for tag in images().values() if not is_there(found, tag)]
    if missing and not all(found.answers("docker", "pull", "--quiet", tag) for tag in missing):
        need_debootstrap(say, may_install)
        need_prometheus(say, may_install)
        make(found, folder, say)
        say("images of others are stand-ins: see the page for what differs from a registry's")


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
    logging.getLogger("hearthmind").addHandler(logging.NullHandler())  # that the broker is away is meant to be so
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
