"""A Docker engine to try the deployment on: the one that runs, or one that is started for the time, and ended after it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

UP_WITHIN_S = 60.0
DOWN_WITHIN_S = 60.0
PACKAGES = {"dockerd": "docker.io", "docker": "docker.io", "debootstrap": "debootstrap"}
SHIM = """#!/bin/sh
# `docker compose` where only the older docker-compose is installed.
[ "$1" != compose ] || { shift; exec docker-compose "$@"; }
exec DOCKER "$@"
"""

Say = Callable[[str], None]


class Skipped(Exception):
    """Why the deployment can't be tried here."""


class Failed(Exception):
    """What did not go as it should."""


class Engine:
    """Where commands go: the environment in which `docker` and `docker compose` work."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)

    def run(self, *command: str, within_s: float = 600, **more: object) -> str:
        """Runs a command to its end and returns what it printed."""
        done = subprocess.run(  # type: ignore[call-overload]
            command, env=self.environment, text=True, capture_output=True, timeout=within_s, check=False, **more
        )
        if done.returncode:
            said = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
            raise Failed(f"{' '.join(command)} ended with {done.returncode}:\n{said}")
        return str(done.stdout)

    def answers(self, *command: str) -> bool:
        """Whether the command is there and ends well."""
        try:
            self.run(*command, within_s=30)
        except (Failed, OSError, subprocess.TimeoutExpired):
            return False
        return True


@contextmanager
def engine(folder: Path, say: Say, may_install: bool) -> Iterator[Engine]:
    """An engine that answers; raises `Skipped` where none can be had."""
    folder.mkdir(parents=True, exist_ok=True)
    found = Engine(os.environ)
    if shutil.which("docker") and found.answers("docker", "info"):
        say("uses the Docker engine that runs")
        _with_compose(found, folder, say, may_install)
        yield found
        return
    _need("dockerd", say, may_install)
    run = Path(mkdtemp(prefix="hearthmind-engine-"))  # short, as the paths of sockets have to be
    started = Engine({**os.environ, "DOCKER_HOST": f"unix://{run}/docker.sock"})
    with (folder / "dockerd.log").open("wb") as log:
        daemon = subprocess.Popen(_dockerd(folder, run), stdout=log, stderr=log, start_new_session=True)
    try:
        _wait(lambda: daemon.poll() is not None or started.answers("docker", "info"), UP_WITHIN_S)
        if daemon.poll() is not None or not started.answers("docker", "info"):
            tail = "\n".join((folder / "dockerd.log").read_text(errors="replace").splitlines()[-3:])
            raise Skipped(f"a Docker engine can't run here: {tail}")
        say("started a Docker engine for this")
        _with_compose(started, folder, say, may_install)
        yield started
    finally:
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(DOWN_WITHIN_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
        shutil.rmtree(run, ignore_errors=True)


def _dockerd(folder: Path, run: Path) -> Sequence[str]:
    """Everything of its own, so that no other engine of this machine is in its way."""
    return (
        *("dockerd", "--host", f"unix://{run}/docker.sock"),
        *("--data-root", str(folder / "data"), "--exec-root", str(run / "exec")),
        *("--pidfile", str(run / "docker.pid")),
    )


def _with_compose(engine: Engine, folder: Path, say: Say, may_install: bool) -> None:
    """Makes `docker compose` work: as the plugin of today, or with the docker-compose of an older Debian behind it."""
    if not engine.answers("docker", "compose", "version"):
        _need("docker-compose", say, may_install)
    if not engine.answers("docker", "compose", "version"):
        shim = folder / "bin" / "docker"
        shim.parent.mkdir(exist_ok=True)
        shim.write_text(SHIM.replace("DOCKER", str(shutil.which("docker"))))
        shim.chmod(0o755)
        engine.environment["PATH"] = f"{shim.parent}:{engine.environment['PATH']}"
    say(engine.run("docker", "compose", "version").splitlines()[0])


def _need(program: str, say: Say, may_install: bool) -> None:
    """Makes sure of a program, by Debian's package where that may be installed."""
    if shutil.which(program):
        return
    package = PACKAGES.get(program, program)
    if not may_install:
        raise Skipped(f"{program} is not installed, and nothing is to be (--no-install)")
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Skipped(f"{program} is not installed, and only root of a Debian can install it here ({package})")
    say(f"installs {package}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # started is only what we start
    for words in (["update"], ["install", "-y", "--no-install-recommends", package]):
        done = subprocess.run(["apt-get", *words], env=quiet, capture_output=True, text=True, check=False)
        if done.returncode and words != ["update"]:
            raise Skipped(f"{package} can't be installed: {done.stderr.strip().splitlines()[-1:]}")


def need_debootstrap(say: Say, may_install: bool) -> None:
    """Makes sure of what the stand-ins are made with."""
    if os.geteuid() != 0:
        raise Skipped("the stand-ins for base images are made with debootstrap, which only root can run")
    _need("debootstrap", say, may_install)


def need_prometheus(say: Say, may_install: bool) -> None:
    """Makes sure of the Prometheus that stands in for its image."""
    _need("prometheus", say, may_install)


def _wait(holds: Callable[[], bool], within_s: float) -> None:
    give_up_s = time.monotonic() + within_s
    while not holds() and time.monotonic() < give_up_s:
        time.sleep(0.2)
