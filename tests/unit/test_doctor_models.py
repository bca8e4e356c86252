"""What the doctor says of models, GPUs, keys and `.env`, by what it sees."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from hearthmind.models import Litellm, Model, Provider, Vllm, declared
from services.command.doctor import SECTIONS
from services.command.doctor_models import (
    Card,
    Torch,
    cards,
    finding_of,
    keys_of,
    look_at_models,
    look_at_vllm,
    memory_for,
    torch_finding,
)
from services.command.env_file import mistakes_in, names_in
from services.command.finding import OK, WARNING, WRONG
from services.inference_worker.engines.files import files_of, path_of

ROOT = Path(__file__).parents[2]
GIB = 2**30
BIG = Card("H100", (9, 0), 79 * GIB, 80 * GIB)


def vllm(folder: Path | str, **settings: object) -> Model:
    return Model(name="vllm_x", pool="x", path=str(folder), engine=Vllm(**settings))  # type: ignore[arg-type]


def kept(folder: Path, weights_gib: float = 1.0) -> Path:
    """A model's folder; its weights are a hole."""
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_text("{}")
    with (folder / "model.safetensors").open("wb") as file:
        file.truncate(int(weights_gib * GIB))
    return folder


@pytest.mark.parametrize("removed", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_model_without_a_file_says_how_to_fetch_it(removed: str, folder: Path) -> None:
    model = vllm(kept(folder))
    assert finding_of(model, "").state == OK
    (folder / removed).unlink()
    asked = finding_of(model, "HEARTHMIND_DECISION__TRIAGE")
    assert asked.state == WARNING
    assert "`hearthmind models fetch vllm_x` brings it" in asked.says
    assert asked.says.startswith("HEARTHMIND_DECISION__TRIAGE names it")
    idle = finding_of(model, "")
    assert (idle.state, "no setting asks for it" in idle.says) == (OK, True)


def test_an_engine_gets_the_folder_of_what_was_fetched_and_else_the_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    model = vllm("tribe/large")
    snapshot = folder / "models--tribe--large" / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("c0ffee")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    kept(snapshot)
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    (snapshot / "model-1.safetensors").touch()
    assert files_of(model).missing == ("model-2.safetensors",)
    assert path_of(model) == "tribe/large"
    (snapshot / "model-2.safetensors").touch()
    assert path_of(model) == str(snapshot)


def test_cuda_as_torch_sees_it() -> None:
    assert torch_finding(Torch("2.13", "13.0", True, (BIG,))).says == "2.13 sees 1 GPU"
    missing = torch_finding(Torch("2.13", "13.0", False))
    assert (missing.state, "NVIDIA's driver" in missing.says) == (WRONG, True)
    light = torch_finding(Torch("2.13+cpu", "", False))
    assert (light.state, "./just models gpu" in light.says) == (OK, True)


def test_a_card_that_vllm_does_not_support_has_another_way() -> None:
    seen = list(cards(Torch("2.13", "13.0", True, (BIG, Card("Tesla P40", (6, 1), 20 * GIB, 24 * GIB)))))
    assert [each.state for each in seen] == [OK, WARNING]
    assert "vLLM needs 7.0: let Ollama or llama.cpp use it" in seen[1].says


@pytest.mark.parametrize(
    ("weights_gib", "settings", "free_gib", "state", "says"),
    [
        (14, {}, 23, OK, "weights of 14.0 GiB"),
        (27, {}, 23, WARNING, "4 bit"),
        (27, {"tensor_parallel": 2}, 23, OK, "weights of 13.5 GiB"),
        (27, {"quantisation": "bitsandbytes"}, 23, OK, "weights of 8.1 GiB"),
        (14, {}, 20, WARNING, "`gpu_memory_share` (0.85) and `context` (2048)"),
        (14, {"device": "1"}, 23, OK, "of 80.0 GiB"),
    ],
)
def test_memory_against_declared_models(
    weights_gib: float, settings: Mapping[str, object], free_gib: float, state: str, says: str, folder: Path
) -> None:
    small = Card("RTX", (8, 6), int(free_gib * GIB), 24 * GIB)
    seen = (small, BIG) if "device" in settings else (small,)
    (found,) = memory_for(vllm(kept(folder, weights_gib), **settings), seen)
    assert found.state == state
    assert says in found.says


def test_a_key_is_looked_for_and_not_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    providers = (Provider(model="gpt", key_env="TRIBE_KEY"), Provider(model="local", url="http://127.0.0.1:1/v1"))
    model = Model(name="litellm_far", pool="far", engine=Litellm(providers=providers))
    monkeypatch.delenv("TRIBE_KEY", raising=False)
    assert [each.state for each in keys_of(model, "")] == [WARNING]
    (asked,) = keys_of(model, "HEARTHMIND_INFERENCE_WORKER__MODEL")
    assert (asked.state, "TRIBE_KEY is not set; set it, or TRIBE_KEY_FILE" in asked.says) == (WRONG, True)
    monkeypatch.setenv("TRIBE_KEY_FILE", str(folder / "key"))
    assert [each.state for each in keys_of(model, "")] == [WRONG]
    (folder / "key").write_text("hush")
    (found,) = keys_of(model, "")
    assert (found.state, "hush" in found.says) == (OK, False)


def test_every_model_that_comes_with_the_checkout_is_looked_at(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    monkeypatch.setattr("services.command.doctor_models.find_spec", lambda name: None)
    found = list(look_at_models({"vllm_strategic": "HEARTHMIND_DECISION__TRIAGE"}))
    named = {each.what.removeprefix("model ") for each in found if each.what.startswith("model ")}
    assert named == set(declared()) - {"rules_scripted"}
    (missing,) = [each for each in found if each.what == "model vllm_strategic"]
    assert "config.json is missing" in missing.says
    assert {each.what: each.state for each in found if each.what in {"torch", "vllm"}} == {
        "torch": WARNING,
        "vllm": WARNING,
    }


def test_a_vllm_that_can_not_be_imported_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "vllm.py").write_text("raise ImportError('libcuda.so.1: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr("services.command.doctor_models.find_spec", lambda name: sys.implementation)
    (found,) = look_at_vllm(True)
    assert (found.state, "libcuda.so.1" in found.says) == (WRONG, True)
    assert list(look_at_vllm(False)) == []


ENV = [
    ("HEARTHMIND_TAG=latest\n# a comment\n\nHEARTHMIND_FLOW__PARTITIONS=8\n", []),
    ("HEARTHMIND_TAG = latest", ["line 1: this is no NAME=value"]),
    (
        "\nHEARTHMIND_FLOW__PARTITONS=8",
        ["line 2: nobody reads HEARTHMIND_FLOW__PARTITONS; is it HEARTHMIND_FLOW__PARTITIONS?"],
    ),
    ("HEARTHMIND_FLOW__PARTITIONS=many", ["The setting HEARTHMIND_FLOW__PARTITIONS is not usable"]),
    ("HEARTHMIND_TAG=1\nHEARTHMIND_TAG=2", ["line 2: HEARTHMIND_TAG stands in line 1, too"]),
    ("HEARTHMIND_TAG='1", ["begins with a quote that does not end"]),
    ("HEARTHMIND_TAG=1 # the first", ["has a comment behind it"]),
    ("HF_TOKEN=hf_hush", ["HF_TOKEN is a secret"]),
]


@pytest.mark.parametrize(("text", "says"), ENV)
def test_the_form_of_an_env_file(text: str, says: list[str], folder: Path) -> None:
    file = folder / ".env"
    file.write_text(text)
    found = [f"line {line}: {what}" for line, what in mistakes_in(file, names_in(ROOT / "compose.yaml"), SECTIONS)]
    assert len(found) == len(says)
    assert all(words in line for line, words in zip(found, says, strict=True))
    assert "hush" not in str(found)


def test_our_own_example_has_no_mistake() -> None:
    assert list(mistakes_in(ROOT / ".env.example", names_in(ROOT / "compose.yaml"), SECTIONS)) == []
