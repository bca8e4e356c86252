"""The network: padding says nothing, what is read as one is not mixed up, and what is illegal is hopeless."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="self-play needs torch")

from services.selfplay.model import Network, Shape, shortened, valued  # noqa: E402

SHAPE = Shape(50, 12, 4, d_model=16, layers=2, heads=2, lead=4)
ROWS = torch.tensor([[5, 6, 7, 8, 9, 10, 0, 0, 0, 0, 0, 0], [5, 7, 6, 8, 9, 10, 0, 0, 0, 0, 0, 0]])
LEGAL = torch.tensor([[True, False, True, True]] * 2)


def asked(shape: Shape, rows: Any) -> tuple[Any, Any]:
    torch.manual_seed(3)
    with torch.inference_mode():
        return Network(shape)(rows, LEGAL)


@pytest.mark.parametrize("lead", [1, 4])
def test_padding_says_nothing(lead: int) -> None:
    shape = Shape(50, 12, 4, d_model=16, layers=2, heads=2, lead=lead)
    for whole, short in zip(asked(shape, ROWS), asked(shape, shortened(ROWS)), strict=True):
        assert torch.allclose(whole, short, atol=1e-5)
    assert shortened(ROWS).shape[1] == 6


def test_whose_is_what_is_known_of_tokens_that_are_read_as_one() -> None:
    odds, values = asked(SHAPE, ROWS)
    assert (odds[0, 0] - odds[1, 0]).abs() > 1e-6
    assert (values[0] - values[1]).abs() > 1e-6


def test_illegal_actions_are_hopeless_and_the_others_add_up() -> None:
    odds, _ = asked(SHAPE, ROWS)
    assert (odds.exp()[:, 1] == 0).all()
    assert torch.allclose(odds.exp().sum(1), torch.ones(2), atol=1e-5)


def test_a_value_is_what_is_seen_and_a_part_of_each_guess() -> None:
    worth, outlook = torch.tensor([[1.0, 0.5, 2.0], [3.0, 0.0, 1.0]]), torch.tensor([[10.0, 1.0], [7.0, -4.0]])
    assert valued(worth, outlook).tolist() == [8, -1]
    assert valued(worth[:, :2], outlook).tolist() == [6, 3]
    assert valued(worth[:, :1], outlook).tolist() == [1, 3]
