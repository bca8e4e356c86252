"""`./just` on machines where something is missing: it says what to do, and leaves nothing half-made that it would trust."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("just", "pyproject.toml", "shared/pyproject.toml", "examples/realm/pyproject.toml", "requirements/dev.txt")
TOOLS = ("sh", "cat", "sed", "cksum", "dirname", "mktemp", "rm", "tail", "grep", "env")


@pytest.fixture
def checkout(folder: Path) -> Path:
    """What the script needs of a checkout, and a PATH with the system's tools but without any Python."""
    for name in NEEDED:
        (folder / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "project" / name)
    (folder / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found
        (folder / "bin" / tool).symlink_to(found)
    return folder


def just(checkout: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": str(checkout / "bin"), "HOME": str(checkout), "PIP_CONFIG_FILE": os.devnull, **environ}
    return subprocess.run([str(checkout / "project" / "just")], env=env, capture_output=True, text=True, timeout=300)


def a_python(checkout: Path, script: str) -> None:
    python = checkout / "bin" / "python3"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)


def test_no_python_is_named(checkout: Path) -> None:
    run = just(checkout)
    assert run.returncode == 1
    assert "needs Python 3.11 or newer" in run.stderr
    assert "apt-get install python3" in run.stderr


def test_a_python_that_is_too_old_is_named(checkout: Path) -> None:
    a_python(checkout, 'case "$*" in --version) echo Python 3.9.2;; *) exit 1;; esac')
    run = just(checkout)
    assert run.returncode == 1
    assert "found: Python 3.9.2" in run.stderr


def test_a_missing_pip_is_named(checkout: Path) -> None:
    a_python(checkout, 'case "$*" in *pip*) exit 1;; esac')
    run = just(checkout)
    assert run.returncode == 1
    assert "apt-get install python3-pip" in run.stderr


def test_a_missing_network_is_named_and_the_next_try_starts_afresh(checkout: Path) -> None:
    base = Path(sys.base_prefix) / "bin" / "python3"
    without = {"PYTHON": str(base), "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    for _ in range(2):
        run = just(checkout, **without, PIP_NO_CACHE_DIR="1", PIP_FIND_LINKS="")
        assert run.returncode == 1
        assert "no network" in run.stderr
        assert "Setting up" in run.stderr
