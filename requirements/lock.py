"""Writes the hashed requirement lists from our pyproject.toml files; names no index and no host."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib

ROOT = pathlib.Path(__file__).parents[1]
OURS = {
    "hearthmind": ROOT / "shared/pyproject.toml",
    "board": ROOT / "examples/board/pyproject.toml",
    "realm": ROOT / "examples/realm/pyproject.toml",
    "village": ROOT / "examples/village/pyproject.toml",
    "": ROOT / "pyproject.toml",
}


def requirements_of(name: str, extras: tuple[str, ...]) -> set[str]:
    """The outside requirements of one of our distributions with these extras, ours followed through."""
    project = tomllib.loads(OURS[name].read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    found: set[str] = set()
    for requirement in wanted:
        own = re.fullmatch(r"(hearthmind|board|realm|village)(?:\[([a-z,]+)\])?", requirement)
        if own:
            found |= requirements_of(own[1], tuple((own[2] or "").split(",")) if own[2] else ())
        else:
            found.add(requirement)
    return found


def lock(target: str, wanted: set[str], constraint: pathlib.Path | None = None) -> pathlib.Path:
    """Resolves the wanted requirements into one hashed list."""
    path = ROOT / "requirements" / target
    with tempfile.NamedTemporaryFile("w", suffix=".in", delete=False) as source:
        source.write("\n".join(sorted(wanted)) + "\n")
    links = os.environ.get("PIP_FIND_LINKS", "").split()
    command = ["uv", "pip", "compile", source.name, "--output-file", str(path), "--universal", "--generate-hashes"]
    command += ["--python-version", "3.11", "--no-header", "--no-annotate", "--no-emit-index-url"]
    command += ["--no-emit-find-links", "--quiet", *(part for link in links for part in ("--find-links", link))]
    if constraint:
        command += ["--constraint", str(constraint)]
    subprocess.run(command, check=True)
    pathlib.Path(source.name).unlink()
    return path


if __name__ == "__main__":
    run = requirements_of("", ()) | requirements_of("realm", ())
    run_list = lock("run.txt", run)
    lock("dev.txt", run | requirements_of("", ("dev",)), constraint=run_list)
    sys.stdout.write("requirements/run.txt and requirements/dev.txt are up to date\n")
