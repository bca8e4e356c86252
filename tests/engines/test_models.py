"""The models' file: every mistake is named at once with its line, and the file that comes with the checkout has none."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from hearthmind.models import (
    DECLARED,
    BadModels,
    Litellm,
    Onnx,
    Policy,
    UnknownModel,
    Vllm,
    declared,
    model_named,
    read_models,
)
from services.inference_worker.engines.choose import PARTS

WRONG = """\
models:
  vlm_x: {}
  vllm_a:
    pth: x
    engine: {gpu_memory_share: 1.5, contxt: 3, dtype: 7}
  vllm_b: {description: without a path}
  litellm_a: {}
  litellm_b:
    engine:
      providers:
        - {model: x, url: "ftp://x", key_env: sk-secret}
        - {url: "http://127.0.0.1:1/v1"}
  onnx_nano: {path: ./x}
  onnx_nano: {path: ./y}
  policy_a: {path: ./agent.safetensors}
  policy_b: {engine: {agent: poker}}
  rules_scripted: 7
modles: 3
"""
NAMED = [
    (2, "is it vllm_…?"),
    (4, "nobody knows 'pth'; is it path?"),
    (5, "vllm_a.engine.dtype: Expected `str`"),
    (5, "vllm_a.engine.gpu_memory_share: Expected `float` <= 1.0"),
    (5, "nobody knows 'contxt'; is it context?"),
    (6, "vllm_b lacks path"),
    (7, "litellm_a lacks engine"),
    (11, "key_env: Expected"),
    (11, "url: Expected"),
    (12, "providers[1] lacks model"),
    (14, "onnx_nano stands on line 13 already"),
    (15, "policy_a lacks engine, and in it what it can't do without: agent"),
    (16, "policy_b lacks path: the file of a checkpoint"),
    (17, "rules_scripted has to be keys"),
    (18, "nobody knows 'modles'"),
]


def test_every_mistake_is_named_with_its_line(folder: Path) -> None:
    file = folder / "models.yaml"
    file.write_text(WRONG)
    with pytest.raises(BadModels) as caught:
        read_models(file)
    said = str(caught.value).splitlines()
    assert len(said) == 1 + len(NAMED)
    for (line, what), text in zip(NAMED, said[1:], strict=True):
        assert f":{line}: " in text
        assert what in text
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["models: [", "models:\n  - x", "- x", "7", "\t"])
def test_what_is_no_such_file_is_refused(folder: Path, text: str) -> None:
    file = folder / "models.yaml"
    file.write_text(text)
    with pytest.raises(BadModels, match="a mistake"):
        read_models(file)


def test_a_file_says_what_it_means(folder: Path) -> None:
    file = folder / "models.yaml"
    file.write_text(
        "models:\n"
        "  vllm_big: {path: some/model, pool: big, role: wars, engine: {device: '1', context: 2048}}\n"
        "  onnx_here: {path: ./here}\n"
        "  litellm_far: {engine: {providers: [{model: m, url: 'http://127.0.0.1:1/v1', key_env: A_KEY}]}}\n"
        "  policy_seat: {path: ./agent.safetensors, pool: casino, engine: {agent: poker}}\n"
    )
    models = read_models(file)
    assert models["vllm_big"].engine == Vllm(device="1", context=2048)
    assert models["vllm_big"].path == "some/model"
    assert models["onnx_here"].path == str(folder / "here")
    assert (models["onnx_here"].pool, models["onnx_here"].engine) == ("onnx_here", Onnx())
    assert isinstance(models["litellm_far"].engine, Litellm)
    assert models["policy_seat"].engine == Policy(agent="poker")
    assert models["policy_seat"].path == str(folder / "agent.safetensors")


def test_a_name_that_nobody_declared_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownModel, match="is it 'onnx_nano'"):
        model_named("onnx_nana", DECLARED)
    assert declared(DECLARED)["rules_scripted"].pool == "rules"


def test_the_examples_in_our_own_file_are_right(folder: Path) -> None:
    entries = re.sub(
        r"^  # ((?: {2})*[-a-z_]+:(?: .*)?|(?: {2})+- .*)$", r"  \1", DECLARED.read_text(), flags=re.MULTILINE
    )
    file = folder / "models.yaml"
    file.write_text(entries)
    models = read_models(file)
    names = "vllm_mistral vllm_mixtral vllm_social hf_flan litellm_ollama litellm_hosted policy_poker"
    assert set(names.split()) < set(models)


def test_each_engine_has_a_module_and_choosing_imports_just_that() -> None:
    names = {f"services.inference_worker.engines.{part}" for part, _ in PARTS.values()}
    assert all(find_spec(name) for name in names)
    look = "import sys; from services.inference_worker.engines.choose import engine_for; "
    look += "from hearthmind.models import model_named; "
    look += f"engine_for(model_named('rules_scripted')); print(sorted({names!r} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "['services.inference_worker.engines.rules']"
