"""Ids and subjects."""

from hypothesis import given
from hypothesis import strategies as st

from hearthmind import ids
from hearthmind.errors import BadId


@given(st.text())
def test_an_id_is_a_part_of_a_subject_or_is_refused(text: str) -> None:
    try:
        ids.check_id("npc", text)
    except BadId as error:
        assert "npc" in str(error)  # noqa: PT017
    else:
        assert 1 <= len(text) <= 64
        assert text.isascii()
        assert not set(text) & set(".*> \t\r\n\0\u2028")


def test_new_ids_are_valid_and_unique_and_sort_by_time() -> None:
    made = [ids.new_decision_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(ids.check_id("decision", each) for each in made)
    times = [each[:9] for each in made]
    assert times == sorted(times)


def test_the_game_is_part_of_every_message_id() -> None:
    assert ids.message_id("realm", "p1", "d1") != ids.message_id("chess", "p1", "d1")
