"""The page of the documentation is the table of mistakes, and each of them can be found."""

from __future__ import annotations

import re
from pathlib import Path

import services.command.conformance as conformance
from services.command.conformance.mistakes import GROUPS, MISTAKES
from services.command.conformance.page import check_game_as_markdown

ROOT = Path(__file__).parents[3]
CODE = Path(conformance.__file__).parent
ELSEWHERE = ROOT / "services" / "command" / "check_game.py"


def test_the_page_is_in_step() -> None:
    assert (ROOT / "docs" / "reference" / "check-game.md").read_text() == check_game_as_markdown()


def test_each_mistake_has_one_name_and_says_what_to_do() -> None:
    assert len(MISTAKES) == sum(map(len, GROUPS.values()))
    for mistake in MISTAKES.values():
        assert re.fullmatch(r"[a-z-]+", mistake.name)
        assert mistake.means.endswith(".")
        assert mistake.do.endswith(".")


def test_no_mistake_is_in_the_table_only() -> None:
    code = "".join(path.read_text() for path in (*CODE.glob("*.py"), ELSEWHERE) if path.name != "mistakes.py")
    assert [name for name in MISTAKES if f'"{name}"' not in code] == []
