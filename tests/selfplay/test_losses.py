"""PPO's arithmetic, done by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="self-play needs torch")

from services.selfplay.losses import Batch, Weights, advantages, ppo_loss, value_losses  # noqa: E402


def near(number: float) -> Any:
    return pytest.approx(number, rel=1e-5, abs=1e-6)


def batch(old: list[float], advantage: list[float], **more: object) -> Batch:
    """Decisions for the first action of two; `old` is how likely it was."""
    count = len(old)
    given: dict[str, object] = {
        "action": torch.zeros(count, dtype=torch.int64),
        "log_probability": torch.tensor(old).log(),
        "value": torch.zeros(count),
        "advantage": torch.tensor(advantage),
        "gain": torch.zeros(count),
        "weight": torch.ones(count),
    }
    return Batch(**{**given, **more})  # type: ignore[arg-type]


def likely(first: list[float]) -> Any:
    return torch.tensor([[p, 1 - p] for p in first]).log()


def test_the_policy_s_loss_is_clipped_where_it_would_gain_from_going_further() -> None:
    # ratios 1.5 and 0.5; good: min(1.5, 1.2) = 1.2, min(0.5, 0.8) = 0.5; bad: min(-1.5, -1.2) = -1.5, min(-0.5, -0.8) = -0.8
    weights = Weights(clip=0.2, entropy=0, value=0)
    now = likely([0.75, 0.25, 0.75, 0.25])
    loss, parts = ppo_loss(now, torch.zeros(4), batch([0.5] * 4, [1.0, 1.0, -1.0, -1.0]), weights, 1)
    assert float(loss) == near(-(1.2 + 0.5 - 1.5 - 0.8) / 4)
    assert float(parts.clipped) == 1


def test_what_is_clipped_teaches_nothing() -> None:
    logits = torch.tensor([[1.0, 0.0]], requires_grad=True)
    now = torch.log_softmax(logits, -1)
    loss, _ = ppo_loss(now, torch.zeros(1), batch([0.5], [1.0]), Weights(entropy=0, value=0), 1)
    torch.autograd.backward(loss)
    assert logits.grad is not None
    assert float(logits.grad.abs().sum()) == 0


def test_the_gradient_at_the_old_play_is_the_policy_gradient() -> None:
    # d log p(first) / d logits = (1 - p, -p) with p = 1/2
    logits = torch.zeros((1, 2), requires_grad=True)
    loss, _ = ppo_loss(
        torch.log_softmax(logits, -1), torch.zeros(1), batch([0.5], [3.0]), Weights(entropy=0, value=0), 1
    )
    torch.autograd.backward(loss)
    assert logits.grad is not None
    assert logits.grad.tolist() == [[pytest.approx(-1.5), pytest.approx(1.5)]]


def test_entropy_is_that_of_the_legal_actions() -> None:
    now = torch.log_softmax(torch.tensor([[0.0, 0.0, -1e9]]), -1)
    loss, parts = ppo_loss(now, torch.zeros(1), batch([0.5], [0.0]), Weights(entropy=0.1, value=0), 1)
    assert float(parts.entropy) == near(math.log(2))
    assert float(loss) == near(-0.1 * math.log(2))


def test_below_its_floor_entropy_is_pulled_up() -> None:
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    weights = Weights(entropy=0, value=0, entropy_floor=0.5, floor=2.0)
    loss, _ = ppo_loss(likely([0.9]), torch.zeros(1), batch([0.9], [0.0]), weights, 1)
    assert float(loss) == near(2 * (0.5 - entropy))
    above, _ = ppo_loss(likely([0.5]), torch.zeros(1), batch([0.5], [0.0]), weights, 1)
    assert float(above) == near(0)


def test_the_magnet_is_the_divergence_from_the_reference() -> None:
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    weights = Weights(entropy=0, value=0, magnet=0.3)
    loss, parts = ppo_loss(likely([0.75]), torch.zeros(1), batch([0.75], [0.0], reference=likely([0.5])), weights, 1)
    assert float(parts.magnet) == near(expected)
    assert float(loss) == near(0.3 * expected)


def test_kl_is_estimated_from_the_ratios() -> None:
    _, parts = ppo_loss(likely([0.75]), torch.zeros(1), batch([0.5], [0.0]), Weights(), 1)
    assert float(parts.kl) == near(1.5 - 1 - math.log(1.5))


def test_the_value_s_loss_counts_in_its_unit_and_takes_the_worse_of_both() -> None:
    now, before, gain = torch.tensor([10.0]), torch.tensor([0.0]), torch.tensor([20.0])
    assert float(value_losses(now, before, gain, 0)) == pytest.approx(0.5 * 100)
    assert float(value_losses(now, before, gain, 4)) == pytest.approx(0.5 * 256)
    loss, parts = ppo_loss(likely([0.5]), now, batch([0.5], [0.0], gain=gain), Weights(entropy=0, value=0.5), 10)
    assert float(parts.value) == pytest.approx(0.5)
    assert float(loss) == pytest.approx(0.25)


def test_a_decision_counts_as_much_as_its_weight() -> None:
    weighed = batch([0.5, 0.5], [1.0, 3.0], weight=torch.tensor([0.5, 1.5]))
    loss, _ = ppo_loss(likely([0.5, 0.5]), torch.zeros(2), weighed, Weights(entropy=0, value=0), 1)
    assert float(loss) == near(-(0.5 * 1 + 1.5 * 3) / 2)


def test_advantages_of_two_seats_that_share_a_table() -> None:
    # seats 0, 1, 0, then the hand ends; discount 1/2, lambda 1/2, all by hand
    judged = advantages(
        np.array([[1.0], [2.0], [3.0]], np.float32),
        np.array([[0], [1], [0]], np.int8),
        np.array([[False], [False], [True]]),
        np.array([[[0, 0]], [[0, 0]], [[8, -8]]], np.float32),
        discount=0.5,
        trace=0.5,
    )
    last = 8 - 3
    first = (0.5 * 3 - 1) + 0.5 * 0.5 * last
    assert judged.advantage[:, 0].tolist() == pytest.approx([first, -8 - 2, last])
    assert judged.known.all()


def test_what_a_hand_brings_is_not_known_before_its_end() -> None:
    judged = advantages(
        np.array([[1.0], [1.0], [1.0], [1.0]], np.float32),
        np.array([[0], [1], [0], [0]], np.int8),
        np.array([[True], [False], [False], [False]]),
        np.array([[[5, -5]], [[0, 0]], [[0, 0]], [[0, 0]]], np.float32),
        discount=1.0,
        trace=1.0,
    )
    assert judged.known[:, 0].tolist() == [True, False, True, False]
    assert judged.advantage[0, 0] == pytest.approx(4)  # the hand that ended, and nothing of the next one
    assert judged.advantage[2, 0] == pytest.approx(0)  # what it was worth at the next decision, less what it was


@given(st.data())
def test_with_lambda_and_discount_1_every_decision_gains_what_the_hand_brought(data: st.DataObject) -> None:
    steps, tables, seats = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 3)), data.draw(st.integers(2, 4))
    dice = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    values = dice.normal(size=(steps, tables)).astype(np.float32)
    actors = dice.integers(0, seats, (steps, tables)).astype(np.int8)
    finished = dice.random((steps, tables)) < 0.3
    payoffs = dice.normal(size=(steps, tables, seats)).astype(np.float32) * finished[..., None]
    judged = advantages(values, actors, finished, payoffs, 1.0, 1.0)
    for table in range(tables):
        for step in range(steps):
            ends = np.flatnonzero(finished[step:, table])
            if len(ends):
                brought = payoffs[step + ends[0], table, actors[step, table]]
                assert judged.known[step, table]
                assert judged.advantage[step, table] + values[step, table] == pytest.approx(brought, abs=1e-4)
