"""What is let in as an adapter, and what is not."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearthmind import adapters
from hearthmind.adapters import BadAdapter, InForce, base_hash, check, describe, read_weights, split_version

PLACE = "base_model.model.model.layers.0.self_attn.q_proj"


def safetensors(tensors: dict[str, tuple[str, tuple[int, ...], bytes]]) -> bytes:
    """A safetensors file, written by hand."""
    table, body = {}, b""
    for key, (dtype, shape, data) in tensors.items():
        table[key] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    header = json.dumps({"__metadata__": {"format": "pt"}, **table}).encode()
    return len(header).to_bytes(8, "little") + header + body


def matrix(rows: int, columns: int, value: float = 0.5) -> tuple[str, tuple[int, ...], bytes]:
    return "F32", (rows, columns), struct.pack("<f", value) * (rows * columns)


def pair(rank: int = 4, place: str = PLACE) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {f"{place}.lora_A.weight": matrix(rank, 16), f"{place}.lora_B.weight": matrix(16, rank)}


GOOD = safetensors(pair() | pair(8, PLACE.replace("q_proj", "v_proj")))


def test_a_good_one_says_what_it_changes() -> None:
    weights = read_weights(GOOD, "raider")
    assert (weights.rank, weights.modules) == (8, ("q_proj", "v_proj"))


NOT_A_NUMBER = {
    "F32": struct.pack("<f", float("nan")),
    "F16": struct.pack("<e", float("inf")),
    "BF16": struct.pack("<f", float("-inf"))[2:],
}


@pytest.mark.parametrize("dtype", NOT_A_NUMBER)
def test_a_single_number_that_is_not_finite_is_enough(dtype: str) -> None:
    zeros = bytes(len(NOT_A_NUMBER[dtype]) * 15)
    tensors = {
        f"{PLACE}.lora_A.weight": (dtype, (1, 16), zeros + NOT_A_NUMBER[dtype]),
        f"{PLACE}.lora_B.weight": matrix(16, 1),
    }
    with pytest.raises(BadAdapter, match="not finite"):
        read_weights(safetensors(tensors), "raider")


BAD = {
    "not a safetensors file": b"\x80\x02}q\x00.",
    "speaks of": GOOD + b"\0",
    "not where its header says": safetensors({f"{PLACE}.lora_A.weight": ("F32", (4, 16), bytes(8))}),
    "of one rank": safetensors({f"{PLACE}.lora_A.weight": matrix(4, 16), f"{PLACE}.lora_B.weight": matrix(16, 8)}),
    "needs a lora_A and a lora_B": safetensors({f"{PLACE}.lora_A.weight": matrix(4, 16)}),
    "is not a LoRA matrix": safetensors(pair() | {"model.embed_tokens.weight": matrix(2, 2)}),
    "is I64": safetensors({f"{PLACE}.lora_A.weight": ("I64", (1, 1), bytes(8))}),
    "its rank is 0": safetensors({}),
    "its rank is 512": safetensors(pair(512)),
    "header can't be read": (9).to_bytes(8, "little") + b'{"a":[1]}' + bytes(8),
}


@pytest.mark.parametrize("why", BAD)
def test_what_is_wrong_is_named(why: str) -> None:
    with pytest.raises(BadAdapter, match=why):
        read_weights(BAD[why], "raider")


@given(st.data())
def test_damage_is_never_let_in(data: st.DataObject) -> None:
    manifest, weights = _described()
    at = data.draw(st.integers(0, len(weights) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != weights[at]))
    damaged = weights[:at] + bytes([other]) + weights[at + 1 :]
    cut = weights[: data.draw(st.integers(0, len(weights) - 1))]
    for bad in (damaged, cut):
        with pytest.raises(BadAdapter):
            check(manifest, bad, manifest.base_sha256)


@given(st.binary(max_size=400))
def test_rubbish_is_refused_and_nothing_worse(rubbish: bytes) -> None:
    header = len(rubbish).to_bytes(8, "little") + rubbish
    for data in (rubbish, header, header + bytes(64)):
        with pytest.raises(BadAdapter):
            read_weights(data, "raider")


def _described() -> tuple[adapters.Manifest, bytes]:
    weights = read_weights(GOOD, "raider")
    config = json.dumps({"peft_type": "LORA", "r": 8})
    sha256 = hashlib.sha256(GOOD).hexdigest()
    return adapters.Manifest(
        name="raider",
        version=1,
        sha256=sha256,
        size_bytes=len(GOOD),
        base="tiny",
        base_sha256="b" * 64,
        rank=weights.rank,
        modules=weights.modules,
        config=config,
    ), GOOD


def test_an_adapter_of_another_base_is_refused() -> None:
    manifest, weights = _described()
    with pytest.raises(BadAdapter, match="another base"):
        check(manifest, weights, "c" * 64)


def test_a_folder_is_described_as_it_is_checked(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    with pytest.raises(BadAdapter, match="no safetensors weights"):
        base_hash(base)
    (base / "model.safetensors").write_bytes(b"weights")
    (base / "config.json").write_text("{}")
    with pytest.raises(BadAdapter, match=r"no adapter_model\.safetensors"):
        describe(tmp_path / "none", "raider", 3, base_hash(base))
    (tmp_path / adapters.WEIGHTS).write_bytes(GOOD)
    (tmp_path / adapters.CONFIG).write_text('{"peft_type": "LOHA"}')
    with pytest.raises(BadAdapter, match="of the type 'LOHA'"):
        describe(tmp_path, "raider", 3, base_hash(base))
    (tmp_path / adapters.CONFIG).write_text('{"peft_type": "LORA", "r": 8, "base_model_name_or_path": "tiny"}')
    manifest, weights = describe(tmp_path, "raider", 3, base_hash(base), score=0.7)
    assert (manifest.full_name, manifest.base, manifest.rank) == ("raider@3", "tiny", 8)
    check(manifest, weights, base_hash(base))
    before = base_hash(base)
    (base / "config.json").write_text('{"hidden_size": 8}')
    assert base_hash(base) != before


@given(st.lists(st.integers(1, 5), max_size=20))
def test_rolling_back_undoes_the_latest_change(versions: list[int]) -> None:
    now = InForce(1)
    for version in versions:
        then = now.promoted(version)
        assert then.version == version
        assert version not in then.before
        if version != now.version:
            back = then.rolled_back()
            assert back is not None
            assert back.version == now.version
        now = then
    assert InForce(1).rolled_back() is None


@given(st.floats(0.05, 0.95), st.floats(0, 0.05))
def test_a_trial_has_its_share_and_ends_with_whatever_comes_next(share: float, more: float) -> None:
    def on_trial(now: InForce) -> set[str]:
        return {npc for npc in map(str, range(2_000)) if now.of("castle", npc) == 2}

    now = InForce(1, (7,)).tried(2, share)
    tried = on_trial(now)
    assert abs(len(tried) / 2_000 - share) < 0.06
    assert tried <= on_trial(InForce(1).tried(2, share + more)), "a larger share takes nobody out"
    assert now.rolled_back() == InForce(1, (7,))
    assert now.promoted(2) == InForce(2, (1, 7))
    assert now.promoted(1) == InForce(1, (7,))
    assert not on_trial(InForce(1))


@pytest.mark.parametrize(
    "wanted,split",
    {
        "raider@3": ("raider", 3),
        "raider": ("raider", None),
        "raider@0": ("raider@0", None),
        "a b@1": ("a b@1", None),
    }.items(),
)
def test_a_version_is_a_name_and_a_number(wanted: str, split: tuple[str, int | None]) -> None:
    assert split_version(wanted) == split
