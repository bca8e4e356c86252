"""The journal: what was added is there after a crash, until it is confirmed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hearthmind import journal as module
from hearthmind.journal import Journal, JournalFull


def reopened(path: Path) -> dict[str, bytes]:
    return {entry.id: bytes(entry.body) for entry in Journal(path).pending()}


def test_a_crash_loses_nothing_and_a_torn_line_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "realm.jsonl"
    journal = Journal(path)
    journal.add("d1", "game.realm.outcome.p1", b'{"success":true}')
    journal.add("d2", "game.realm.outcome.p1", b'{"success":false}')
    assert journal.confirm("d1")
    assert not journal.confirm("d1")
    with path.open("ab") as file:
        file.write(b'{"id":"d3","subject":"game.re')
    assert reopened(path) == {"d2": b'{"success":false}'}


def test_a_damaged_file_is_kept_for_people(tmp_path: Path) -> None:
    path = tmp_path / "realm.jsonl"
    Journal(path).add("d1", "s", b"{}")
    path.write_bytes(b"???\n" + path.read_bytes())
    assert set(reopened(path)) == {"d1"}
    assert path.with_suffix(".damaged").read_bytes().startswith(b"???")


def test_an_empty_journal_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "realm.jsonl"
    journal = Journal(path)
    journal.add("d1", "s", b"{}")
    journal.confirm("d1")
    journal.close()
    assert not path.exists()


def test_it_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PENDING_MAX", 2)
    journal = Journal()
    journal.add("d1", "s", b"{}")
    journal.add("d2", "s", b"{}")
    with pytest.raises(JournalFull, match="reward service"):
        journal.add("d3", "s", b"{}")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(("add", "confirm", "crash")), st.integers(0, 9)), max_size=60))
def test_the_file_agrees_with_the_memory(tmp_path: Path, steps: list[tuple[str, int]]) -> None:
    path = tmp_path / "journal.jsonl"
    path.unlink(missing_ok=True)
    journal, expected = Journal(path), set[str]()
    for step, number in steps:
        name = f"d{number}"
        if step == "add" and name not in expected:
            journal.add(name, "s", b"{}")
            expected.add(name)
        elif step == "confirm":
            assert journal.confirm(name) == (name in expected)
            expected.discard(name)
        elif step == "crash":
            journal = Journal(path)
        assert {entry.id for entry in journal.pending()} == expected
    assert set(reopened(path)) == expected


def test_it_is_written_anew_when_most_is_confirmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REWRITE_AFTER_LINES", 10)
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for number in range(100):
        journal.add(f"d{number}", "s", b"{}")
        journal.confirm(f"d{number}")
    assert path.read_bytes().count(b"\n") < 20
