"""`just compose-check` where it can't try anything, and the broker of the deployment on the program of the tests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.compose.standins import BUILDS, images

from .pages import steps

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/how-to/deploy-with-compose.md"


def check(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs the check on a machine where nothing is installed that could run a container."""
    (folder / "bin").mkdir(exist_ok=True)
    environment = {"PATH": str(folder / "bin"), "PYTHONPATH": os.environ.get("PYTHONPATH", ""), "HOME": str(folder)}
    command = [sys.executable, "-m", "infra.compose.check", "--no-install", "--folder", str(folder / "kept"), *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("words", "status"), [((), 0), (("--strict",), 1)])
def test_without_an_engine_it_says_why_it_skips(folder: Path, words: tuple[str, ...], status: int) -> None:
    done = check(folder, *words)
    assert done.returncode == status, done.stderr
    assert done.stdout.startswith("skipped: dockerd is not installed")


def test_the_page_is_made_of_commands_that_can_be_run() -> None:
    found = [step for step in steps(PAGE) if step.language == "sh"]
    assert len(found) > 10
    assert [step.text for step in found if step.not_run] == ["docker compose --profile gpu up --detach\n"]
    assert {step.language for step in steps(PAGE)} == {"sh"}, "nothing else is run by compose-check"


def test_a_command_that_the_page_speaks_of_is_one_that_is_run() -> None:
    """What stands in the text is no command that compose-check would pass over."""
    run = "".join(step.text for step in steps(PAGE)) + "docker compose down\n"  # by `survives_down_and_up`
    spoken_of = re.findall(r"`(docker [^`\n]+)`", re.sub(r"^```.*?^```", "", PAGE.read_text(), flags=re.M | re.S))
    assert spoken_of
    assert [command for command in spoken_of if command not in run] == []


def test_every_image_of_others_has_a_stand_in() -> None:
    assert set(BUILDS) == set(images())


def test_what_answers_in_the_place_of_others_sees_that_something_is_not_mounted(folder: Path) -> None:
    program, nowhere = ROOT / "infra/compose/answers.py", folder / "nowhere.yaml"
    command = [sys.executable, str(program), "0", str(folder), f"-config.file={nowhere}"]
    done = subprocess.run(command, env={}, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert str(nowhere) in done.stderr


# ---- the broker's start -----------------------------------------------------------------------------------------------


def start(folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs start.sh with folders of the test's own and a broker that only says how it was started."""
    script = (ROOT / "infra/images/nats/start.sh").read_text().replace("/data", str(folder))
    (folder / "bin").mkdir()
    fake = folder / "bin" / "nats-server"
    fake.write_text('#!/bin/sh\necho "$FILE_STORE_MAX_BYTES $*"\n')
    fake.chmod(0o755)
    if free_mib := environ.pop("FREE_MIB", ""):
        (folder / "bin" / "df").write_text(f"#!/bin/sh\necho Filesystem; echo x 0 0 $(({free_mib} * 1024)) 0 y\n")
        (folder / "bin" / "df").chmod(0o755)
    environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}", **environ}
    return subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, timeout=30)


def test_the_broker_may_write_what_was_asked_for(folder: Path) -> None:
    done = start(folder, FREE_MIB="100000", HEARTHMIND_NATS_FILES_MIB="8000")
    assert done.stdout == f"{8000 * 1024 * 1024} --config /etc/hearthmind/nats.conf\n", done.stderr


def test_the_broker_leaves_a_tenth_of_a_smaller_volume_free(folder: Path) -> None:
    done = start(folder, FREE_MIB="9000", HEARTHMIND_NATS_FILES_MIB="8192")
    assert done.stdout.startswith(f"{8100 * 1024 * 1024} "), done.stderr


@pytest.mark.parametrize("environ", [{"FREE_MIB": "5000"}, {"FREE_MIB": "90000", "HEARTHMIND_NATS_FILES_MIB": "5000"}])
def test_a_volume_too_small_for_the_streams_is_refused(folder: Path, environ: dict[str, str]) -> None:
    done = start(folder, **environ)
    assert done.returncode == 78
    assert "the streams may grow to 7808 MiB" in done.stderr


def test_the_brokers_configuration_is_one_that_it_takes(folder: Path) -> None:
    from services.command.secret_files import BROKER_USERS, make_secrets

    make_secrets(folder / "run/secrets", ["castle", "tower"])
    (folder / "etc/hearthmind").mkdir(parents=True)
    shutil.copy(ROOT / "infra/images/nats/nats.conf", folder / "etc/hearthmind/nats.conf")
    assert (folder / "run/secrets" / BROKER_USERS).exists()
    program = Path(sys.executable).with_name("nats-server")
    done = subprocess.run(
        [str(program), "-t", "--config", str(folder / "etc/hearthmind/nats.conf")],
        env={"FILE_STORE_MAX_BYTES": "8589934592"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert "configuration file" in done.stderr
    assert "valid" in done.stderr
