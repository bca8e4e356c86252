"""The kept model answers real questions of worlds it never saw, and its training can be interrupted."""

from __future__ import annotations

import json
from argparse import Namespace
from itertools import islice
from pathlib import Path

import pytest

from examples.nano.lessons import HELD_OUT_FROM, lessons

MODEL = Path(__file__).parents[2] / "examples" / "nano" / "model"
KEPT_MAX_BYTES = 13_500_000
WEIGHTS_MAX_BYTES = 8_000_000


def test_what_is_kept_is_small() -> None:
    assert (MODEL / "model.safetensors").stat().st_size <= WEIGHTS_MAX_BYTES
    assert sum(path.stat().st_size for path in MODEL.rglob("*") if path.is_file()) <= KEPT_MAX_BYTES


def test_it_answers_held_out_questions_validly_and_mostly_as_its_teacher() -> None:
    pytest.importorskip("onnxruntime_genai", reason="onnxruntime-genai is not installed: it comes with the onnx engine")
    from examples.nano.evaluate import EXAMINED_FROM, Onnx, figures, grammars_of

    runtime = Onnx(MODEL / "onnx")
    worlds = range(EXAMINED_FROM, EXAMINED_FROM + 6)
    asked = [lesson for seed in worlds for lesson in islice(lessons(seed), 0, 120, 6)]
    grammars = grammars_of(MODEL)
    texts = [runtime.held(lesson, grammars) for lesson in asked]
    for kind in ("strategic", "combat"):
        mine = [place for place, lesson in enumerate(asked) if lesson.observation.kind == kind]
        found = figures([asked[place] for place in mine], [texts[place] for place in mine])
        assert len(mine) >= 30
        assert found["valid"] == 1.0
        assert found["agreement"] >= 0.8  # of some 50; the card has the figure of hundreds


def test_its_weights_are_the_same_for_transformers() -> None:
    pytest.importorskip("onnxruntime_genai", reason="onnxruntime-genai is not installed: it comes with the onnx engine")
    pytest.importorskip("transformers", reason="transformers is not installed: it comes with the hf engine")
    from examples.nano.evaluate import EXAMINED_FROM, Onnx, by_transformers

    runtime = Onnx(MODEL / "onnx")
    asked = list(islice(lessons(EXAMINED_FROM), 0, 80, 10))
    assert by_transformers(MODEL, asked) == [runtime.answers([runtime.tokens(lesson)])[0][0] for lesson in asked]


def test_a_training_that_was_interrupted_ends_with_the_same_numbers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="torch is not installed: training needs it")
    from examples.nano import train

    monkeypatch.setattr(train, "BATCH", 4)
    monkeypatch.setattr(train, "HELD_OUT", 4)

    def trained(name: str, *stops: int | None) -> tuple[list[float], bytes]:
        work = folder / name
        write_lessons(work / "lessons.jsonl", seed=0, number=24)
        write_lessons(work / "held_out.jsonl", seed=HELD_OUT_FROM, number=4)
        curve: list[dict[str, float]] = []
        for stop in stops:
            out = work / "out" / "model"
            options = Namespace(lessons=24, steps=6, stop_after=stop, seed=1, begin_with=None, work=work, out=out)
            curve = train.main(options)
        return [point["loss"] for point in curve], (work / "out" / "model" / "model.safetensors").read_bytes()

    losses, weights = trained("at_once", None)
    again, reached = trained("with_a_break", 3, None)
    assert losses == again
    assert losses[-1] < losses[0]
    assert weights == reached


def write_lessons(path: Path, *, seed: int, number: int) -> None:
    """As training keeps them, so that it needs not play whole worlds."""
    from examples.nano.train import as_text

    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(as_text(lesson)) + "\n" for lesson in islice(lessons(seed), number)))
