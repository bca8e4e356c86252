"""`hearthmind selfplay`: the command stays light, and says what to install where something is missing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hearthmind.errors import EXIT_CONFIG

HEAVY = ("torch", "numba", "pyspiel")


def run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=300)


def without(library: str) -> str:
    return f"import sys; sys.modules[{library!r}] = None; from services.command.app import main; main()"


def test_the_command_imports_nothing_heavy() -> None:
    said = run(f"import sys, services.command.app; print([name for name in {HEAVY!r} if name in sys.modules])")
    assert (said.stdout.strip(), said.stderr) == ("[]", "")


@pytest.mark.parametrize("words", ["train", "evaluate x", "play x", "bench"])
def test_what_is_missing_is_named_with_what_installs_it(words: str) -> None:
    said = run(without("torch"), "selfplay", *words.split())
    assert said.returncode == EXIT_CONFIG
    assert re.search("self-play needs the library (torch|numba); `./just models` installs it", said.stderr)
    assert "Traceback" not in said.stderr


def test_its_help_needs_none_of_it() -> None:
    said = run(without("torch"), "selfplay", "train", "--help")
    assert (said.returncode, said.stderr) == (0, "")
    assert "--resume" in said.stdout


def test_a_checkpoint_is_trained_and_evaluated(folder: Path) -> None:
    """The whole way of a person: two commands, for a moment."""
    pytest.importorskip("torch", reason="self-play needs torch")
    pytest.importorskip("numba", reason="the tables of hold'em need numba")
    quick = ["preset=tiny", "steps=4", "evaluation.every=1000", "mixed_precision=false", "actor=fp32", "threads=1"]
    main = "from services.command.app import main; main()"
    trained = run(main, "selfplay", "train", "--games", "64", "--tables", "32", "--folder", str(folder / "run"), *quick)
    assert trained.returncode == 0, trained.stderr
    path = folder / "run" / "final_model.safetensors"
    assert f"kept {path}" in trained.stdout
    measured = run(main, "selfplay", "evaluate", str(path), "--hands", "100")
    assert measured.returncode == 0, measured.stderr
    assert "always_call" in measured.stdout
