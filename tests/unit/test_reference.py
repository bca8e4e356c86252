"""The pages that are made from the code: in step with it, and nothing left unsaid."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from services.command import reference
from services.command.app import app
from services.command.doctor import SECTIONS
from services.command.pages.fields import meanings

PAGES = reference.pages()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pages_are_in_step(page: Path) -> None:
    assert page.read_text() == PAGES[page], "run ./just reference, and look at what changed"


@pytest.mark.parametrize(("section", "kind"), SECTIONS.items())
def test_every_setting_says_what_it_means(section: str, kind: type[msgspec.Struct]) -> None:
    assert set(kind.__struct_fields__) == set(meanings(kind)), f"a docstring is missing below a field of {section}"


def test_every_command_is_there() -> None:
    page = PAGES[reference.ROOT / "docs/reference/commands.md"]
    for command in app.registered_commands:
        assert command.callback
        assert f"## hearthmind {(command.name or command.callback.__name__).replace('_', '-')}\n" in page
    assert "`./just docs`" in page


class Field(msgspec.Struct):
    """What a field has grown."""

    wheat: Annotated[int, msgspec.Meta(ge=0)] = 0
    """In sacks,
    full ones.
    """
    weeds: int = 0
    is_fallow: bool = False
    """Whether it rests."""


class WalledField(Field):
    """A field with something around it."""

    is_fallow: bool = True
    """Whether it rests behind its wall."""


def test_meanings_are_inherited_and_may_be_said_anew() -> None:
    assert meanings(WalledField) == {"wheat": "In sacks, full ones.", "is_fallow": "Whether it rests behind its wall."}
