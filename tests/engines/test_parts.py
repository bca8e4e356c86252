"""The engines' parts that need no model: drawing tokens, the breaker, ending processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearthmind.contracts.inference import Sampling, Turn
from hearthmind.contracts.observation import Observation
from hearthmind.prompting.answers import answer_schema
from hearthmind.testing.observations import observations
from hearthmind.testing.waiting import until
from services.inference_worker.engines import CannotServe
from services.inference_worker.engines.breaker import Breaker, Window
from services.inference_worker.engines.kin import marked
from services.inference_worker.engines.words import Writing, as_text, draw
from tests.engines.behaviour import ask, needs

LOGITS = st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=50).map(
    lambda each: np.array(each, dtype=np.float32)
)


@given(LOGITS, st.floats(0.01, 2), st.floats(0.01, 1), st.integers(0, 100))
def test_a_drawn_token_is_one_of_the_best(logits: np.ndarray, temperature: float, top_p: float, seed: int) -> None:
    sampling = Sampling(temperature=temperature, top_p=top_p)
    token = draw(logits, sampling, np.random.default_rng(seed))
    shares = np.exp((logits - logits.max()).astype(np.float64) / temperature)
    shares /= shares.sum()
    assert shares[shares > shares[token]].sum() <= top_p + 1e-6
    assert token == draw(logits, sampling, np.random.default_rng(seed))


@given(LOGITS)
def test_at_temperature_0_it_is_the_best(logits: np.ndarray) -> None:
    assert draw(logits, Sampling(temperature=0), np.random.default_rng(1)) == int(logits.argmax())


def test_what_is_drawn_follows_the_shares() -> None:
    logits, drawn = np.log(np.array([0.5, 0.3, 0.2], dtype=np.float32)), np.random.default_rng(7)
    counts = np.bincount([draw(logits, Sampling(temperature=1, top_p=0.8), drawn) for _ in range(4000)], minlength=3)
    assert counts[2] == 0
    assert counts[0] / counts[1] == pytest.approx(0.5 / 0.3, rel=0.1)


def test_an_answer_ends_at_its_end_at_its_limit_and_before_a_stop() -> None:
    def written(sampling: Sampling, *tokens: int) -> Writing:
        writing = Writing(sampling, 4, frozenset({0}), lambda said: "".join("_abcd"[token] for token in said))
        for token in tokens:
            assert not writing.done
            writing.write(np.eye(5, dtype=np.float32)[token])
        assert writing.done
        return writing

    greedy = Sampling(temperature=0)
    assert written(greedy, 1, 2, 0).text == "ab"
    assert written(greedy, 1, 2, 3, 4).text == "abcd"
    assert written(Sampling(temperature=0, stop=("bc", "d")), 1, 2, 3).text == "a"


@needs("llguidance")
@given(observations())
def test_every_schema_that_a_decision_asks_with_can_be_followed(observation: Observation) -> None:
    from services.inference_worker.engines.grammar import grammar_of

    assert grammar_of(answer_schema(observation))


def test_a_prompt_is_joined_or_goes_through_the_models_template() -> None:
    infer = msgspec.structs.replace(ask(), prompt=(Turn("system", "A"), Turn("user", "B")))
    assert as_text(infer, None) == "A\n\nB"
    assert as_text(infer, lambda messages: f"{messages}") == (
        "[{'role': 'system', 'content': 'A'}, {'role': 'user', 'content': 'B'}]"
    )

    def refuses(messages: list[dict[str, str]]) -> str:
        raise ValueError("system role not supported")

    with pytest.raises(CannotServe, match="system role not supported"):
        as_text(infer, refuses)


@given(
    st.lists(st.tuples(st.sampled_from(["asks", "answers", "fails", "leaves", "busy"]), st.floats(0, 30)), max_size=60)
)
def test_a_breaker_lets_nobody_through_that_it_should_not(story: list[tuple[str, float]]) -> None:
    breaker, now_s, out, row, opened_s = Breaker(3, 10.0, Window(5), Window(0)), 0.0, 0, 0, -100.0
    sent: list[float] = []
    for what, after_s in story:
        now_s += after_s
        if what == "asks" and breaker.wait_s(now_s) == 0:
            assert row < 3 or (now_s >= opened_s + 10 and not out)
            assert sum(at_s > now_s - 60 for at_s in sent) < 5
            breaker.asks(now_s)
            sent.append(now_s)
            out += 1
        elif what != "asks" and out:
            out -= 1
            if what == "answers":
                breaker.answered(10, now_s)
                row = 0
            elif what == "fails":
                breaker.failed(now_s)
                row += 1
                opened_s = now_s
            elif what == "leaves":
                breaker.left()
            else:
                breaker.told_to_wait(1.0, now_s)
    wait_s = breaker.wait_s(now_s + 120)
    assert wait_s == 0 or breaker.probing


def test_tokens_are_limited_by_the_minute() -> None:
    window = Window(100)
    window.use(60, 0.0)
    assert window.wait_s(1.0) == 0
    window.use(60, 10.0)
    assert window.wait_s(11.0) == pytest.approx(49.0)
    assert window.wait_s(60.0) == 0


async def test_a_killed_process_takes_its_kin_with_it(folder: Path) -> None:
    script = folder / "parent.py"
    script.write_text(
        "import subprocess, sys, time\n"
        "from services.inference_worker.engines.kin import Kin\n"
        "kin = Kin()\n"
        'nested = \'import subprocess, sys; subprocess.run([sys.executable, "-c", "import time; time.sleep(999)"])\'\n'
        "subprocess.Popen([sys.executable, '-c', nested])\n"
        "print(kin.mark, flush=True)\n"
        "time.sleep(999)\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, script, stdout=subprocess.PIPE)
    assert process.stdout is not None
    mark = (await process.stdout.readline()).decode().strip()
    await until(lambda: len(marked(mark)) == 2)
    process.kill()
    await process.wait()
    await until(lambda: not marked(mark))
