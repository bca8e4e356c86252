"""What is legal, as a table."""

import pytest

from hearthmind.contracts.observation import Choice, LegalAction, Real, Whole
from hearthmind.contracts.wire import Fact
from hearthmind.legal import problem
from hearthmind.testing.observations import an_observation

MOVE = LegalAction(
    name="move",
    parameters={
        "to": Choice(enum=("north", "south")),
        "steps": Whole(minimum=1, maximum=3),
        "speed": Real(minimum=0, maximum=1),
    },
)
GOOD: dict[str, Fact] = {"to": "north", "steps": 2, "speed": 0.5}

TABLE: list[tuple[str, dict[str, Fact], str | None]] = [
    ("move", GOOD, None),
    ("move", {**GOOD, "speed": 1}, None),
    ("move", {**GOOD, "steps": 3}, None),
    ("fly", GOOD, "'fly' is not among the legal actions"),
    ("move", {**GOOD, "to": "up"}, "'up' is not one of north, south"),
    ("move", {**GOOD, "to": 1}, "1 is not one of"),
    ("move", {**GOOD, "steps": 4}, "4 is not between 1 and 3"),
    ("move", {**GOOD, "steps": 0}, "0 is not between"),
    ("move", {**GOOD, "steps": 1.5}, "1.5 is not a whole number"),
    ("move", {**GOOD, "steps": True}, "True is not a number"),
    ("move", {**GOOD, "steps": "2"}, "'2' is not a number"),
    ("move", {**GOOD, "speed": float("nan")}, "nan is not between"),
    ("move", {**GOOD, "loudly": True}, "no parameter 'loudly'"),
    ("move", {"to": "north"}, "needs steps, speed"),
]


@pytest.mark.parametrize(("action", "arguments", "expected"), TABLE)
def test_legal(action: str, arguments: dict[str, Fact], expected: str | None) -> None:
    found = problem(an_observation(legal_actions=(MOVE,)), action, arguments)
    assert found == expected if expected is None else expected in str(found)
