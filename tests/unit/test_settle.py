"""What becomes of a delivery, as a table."""

import pytest

from hearthmind.bus.settle import Acknowledge, Attempt, Dead, HandedBack, Retry, before_handling, settle
from hearthmind.errors import Malformed, Unavailable, UnknownVersion

MALFORMED = Malformed(message="Observation", why="it is no JSON")
NEWER = UnknownVersion(message="Observation", version=2, known=(1,))
AWAY = Unavailable(what="Postgres", why="connection refused")

TABLE = [
    (None, 1, Acknowledge()),
    (None, 99, Acknowledge()),
    (MALFORMED, 1, Dead(str(MALFORMED))),
    (NEWER, 1, Retry(5)),
    (NEWER, 4, Retry(40)),
    (NEWER, 5, Dead(f"after 5 deliveries: {NEWER}")),
    (AWAY, 1, Retry(0.5)),
    (AWAY, 4, Retry(4)),
    (AWAY, 1_000, Retry(10)),
    (KeyError("rank"), 1, Retry(0.2)),
    (KeyError("rank"), 3, Retry(0.8)),
    (KeyError("rank"), 5, Dead("after 5 deliveries: KeyError: 'rank'")),
]


@pytest.mark.parametrize(("error", "delivered", "expected"), TABLE)
def test_settlement(error: BaseException | None, delivered: int, expected: object) -> None:
    assert settle(error, Attempt(delivered, deliveries_max=5)) == expected


def test_a_message_that_ends_every_process_is_not_handled_again() -> None:
    assert before_handling(Attempt(5, deliveries_max=5)) is None
    error = before_handling(Attempt(6, deliveries_max=5))
    assert isinstance(settle(error, Attempt(6, 5)), Dead)


def test_what_was_handed_back_unhandled_is_no_reason_to_give_up() -> None:
    assert before_handling(Attempt(12, deliveries_max=5, handed_back=7)) is None
    assert settle(KeyError("rank"), Attempt(11, 5, handed_back=7)) == Retry(0.2 * 2**3)
    error = before_handling(Attempt(13, deliveries_max=5, handed_back=7))
    assert "delivered 5 times" in str(error)


def test_the_newest_that_were_handed_back_are_remembered() -> None:
    handed_back = HandedBack(kept_max=2)
    for sequence in (1, 2, 1, 3):
        handed_back.add("S", sequence)
    assert [handed_back.times("S", sequence) for sequence in (1, 2, 3)] == [2, 0, 1]
    assert handed_back.times("T", 1) == 0
