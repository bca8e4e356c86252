"""What may be answered twice, how the engine's speed is guessed, and when the watchdog barks."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearthmind.contracts.inference import Infer, Sampling, Turn
from services.inference_worker.cache import TEXT_MAX, Answers, Kept, key_of
from services.inference_worker.engines import Generated
from services.inference_worker.speed import SEEN_FOR_S, SEEN_MAX, SEEN_MIN, Speed
from services.inference_worker.watchdog import LOOK_EVERY_S, Watchdog


def an_infer(**changes: object) -> Infer:
    fields: dict[str, object] = {
        "game": "realm",
        "npc": "p1",
        "decision": "d1",
        "attempt": 1,
        "partition": 0,
        "tier": "social",
        "priority": 5,
        "pool": "nano",
        "model": "onnx_nano",
        "prompt": (Turn("user", "Fortify?"),),
    }
    return Infer(**{**fields, **changes})  # type: ignore[arg-type]


# ---- the response cache -------------------------------------------------------------------------------------------------


def test_who_asks_and_how_urgently_does_not_change_the_answer() -> None:
    same = an_infer(npc="p2", decision="d2", attempt=2, partition=7, tier="critical", priority=0, asker="somebody")
    assert key_of(an_infer(), "onnx_nano", "") == key_of(same, "onnx_nano", "") != b""


DIFFERENT: list[dict[str, object]] = [
    {"game": "chess"},
    {"prompt": (Turn("user", "Fortify!"),)},
    {"prompt": (Turn("system", "Fortify?"),)},
    {"prompt": (Turn("user", "Forti"), Turn("user", "fy?"))},
    {"answer_schema": "{}"},
    {"sampling": Sampling(seed=1)},
    {"sampling": Sampling(temperature=0)},
    {"sampling": Sampling(stop=("!",))},
]


def test_whatever_changes_the_answer_changes_the_key() -> None:
    keys = [key_of(an_infer(**changes), "onnx_nano", "") for changes in DIFFERENT]
    keys += [key_of(an_infer(), "onnx_nano", "greta@1"), key_of(an_infer(), "onnx_nano", "greta@2")]
    keys += [key_of(an_infer(), "vllm_nano", ""), key_of(an_infer(), "onnx_nano", "")]
    assert len(set(keys)) == len(keys)


def test_what_is_drawn_anew_or_answers_facts_has_no_key() -> None:
    assert key_of(an_infer(varied=True), "onnx_nano", "") == b""
    assert key_of(an_infer(prompt=()), "onnx_nano", "") == b""
    assert key_of(an_infer(), "rules_scripted", "") == key_of(an_infer(), "policy_7", "") == b""


class Elsewhere:
    """The shared part, on this side of the bus."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        return self.kept.get(key)

    async def put(self, key: str, value: bytes) -> None:
        self.kept[key] = value


@pytest.mark.parametrize(
    ("text", "schema", "is_kept"),
    [
        ("yes", "", True),
        ('{"action":"wait"}', "{}", True),
        ('{"action":"wa', "{}", False),
        ("x" * (TEXT_MAX + 1), "", False),
    ],
)
async def test_what_would_do_harm_a_second_time_is_not_kept(text: str, schema: str, is_kept: bool) -> None:
    shared = Elsewhere()
    answers, infer = Answers(shared, 10), an_infer(answer_schema=schema)
    key = key_of(infer, "onnx_nano", "")
    await answers.keep(infer, key, Generated(text, tokens_in=5, tokens_out=2), "ab12")
    expected = Kept(text, "ab12", 5, 2) if is_kept else None
    assert answers.here(key) == expected
    assert await Answers(shared, 10).elsewhere(key) == expected
    assert await Answers(shared, 0).elsewhere(key) is None


async def test_what_another_version_left_in_the_shared_cache_is_passed_over() -> None:
    shared = Elsewhere()
    for odd in (b"!", b"[]", msgspec.json.encode({"text": 7})):
        shared.kept[b"key".hex()] = odd
        assert await Answers(shared, 10).elsewhere(b"key") is None


async def test_the_cache_is_bounded() -> None:
    answers = Answers(Elsewhere(), 50)
    for number in range(1_000):
        await answers.keep(an_infer(), b"%d" % number, Generated("yes"), "")
    assert sum(answers.here(b"%d" % number) is not None for number in range(1_000)) <= 100


# ---- the engine's speed -------------------------------------------------------------------------------------------------

seen = st.lists(
    st.tuples(st.integers(1, 64), st.floats(0, 100), st.integers(0, 2_000), st.integers(0, 500)), max_size=200
)


@given(seen, st.integers(1, 64), st.integers(0, 10_000))
def test_a_guess_lies_within_what_was_seen(
    seen: list[tuple[int, float, int, int]], running: int, characters: int
) -> None:
    speed = Speed()
    for beside, took_s, tokens_in, tokens_out in seen:
        speed.finished(beside, 0, took_s, tokens_in, tokens_out)
    infer = an_infer(prompt=(Turn("user", "x" * characters),))
    guess_s = speed.guess_s(infer, running, 1)
    alike = [each for each in seen if each[0].bit_length() == running.bit_length()]
    if len(alike) < SEEN_MIN:
        assert guess_s == 0
    else:
        worst = max(took_s / (1 + tokens_out + tokens_in / 16) for _, took_s, tokens_in, tokens_out in alike)
        work = 1 + max(tokens_out for *_, tokens_out in seen) + characters / 64
        assert 0 <= guess_s <= worst * work + 1e-6
    assert speed.guess_s(infer, running, SEEN_FOR_S + 1) == 0
    assert all(len(paces) <= SEEN_MAX for paces in speed._paces.values())


def test_a_guess_grows_with_the_prompt_and_with_the_load() -> None:
    speed = Speed()
    for _ in range(SEEN_MIN):
        speed.finished(2, 0, 1.0, 100, 20)
        speed.finished(32, 0, 4.0, 100, 20)
    short, long = an_infer(), an_infer(prompt=(Turn("user", "x" * 4_000),))
    assert speed.guess_s(short, 2, 1) < speed.guess_s(long, 2, 1) < speed.guess_s(long, 32, 1)
    assert speed.usual_s == 4.0


def test_an_engine_that_never_finishes_is_a_lesson_too() -> None:
    speed, infer = Speed(), an_infer()
    for _ in range(SEEN_MIN):
        speed.broke_off(infer, 2, 0, 5.0)
    assert speed.guess_s(infer, 2, 1) == pytest.approx(5.0)
    speed.broke_off(infer, 2, 0, 0.001)
    assert speed.guess_s(infer, 2, 1) == pytest.approx(5.0), "what failed at once says nothing about speed"


# ---- the watchdog -------------------------------------------------------------------------------------------------------


def test_the_watchdog_barks_only_at_an_engine_that_stands_still_while_something_runs() -> None:
    dog = Watchdog(still_after_s=3 * LOOK_EVERY_S)
    for progress in range(20):
        assert not dog.looked(progress, 0, running=1, ailment="")
    for ended in range(20):
        assert not dog.looked(20, ended, running=1, ailment="")
    for _ in range(20):
        assert not dog.looked(20, 20, running=0, ailment="")
    said = [dog.looked(20, 20, running=2, ailment="") for _ in range(4)]
    assert [bool(each) for each in said] == [False, False, True, True]
    assert said[-1] == "the engine has 2 requests and has not got on for 2 s"


def test_an_ailment_is_said_at_once_and_no_watchdog_sleeps() -> None:
    assert Watchdog(60).looked(0, 0, running=0, ailment="CUDA error") == "the engine says: CUDA error"
    asleep = Watchdog(still_after_s=0)
    assert not any(asleep.looked(0, 0, running=1, ailment="") for _ in range(1_000))
