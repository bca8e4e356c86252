"""The reference pages that are made from the code; `python -m services.command.reference` writes them."""

from __future__ import annotations

from pathlib import Path

from services.command import asyncapi
from services.command.conformance.page import check_game_as_markdown
from services.command.pages.commands import commands_as_markdown
from services.command.pages.flow import flow_as_markdown
from services.command.pages.messages import messages_as_markdown
from services.command.pages.metrics import metrics_as_markdown
from services.command.pages.settings import settings_as_markdown

ROOT = Path(__file__).parents[2]


def pages() -> dict[Path, str]:
    """Each page with its text."""
    made = {
        "docs/FLOW.md": flow_as_markdown(),
        "docs/reference/messages.md": messages_as_markdown(),
        "docs/reference/settings.md": settings_as_markdown(),
        "docs/reference/commands.md": commands_as_markdown(),
        "docs/reference/metrics.md": metrics_as_markdown(),
        "docs/reference/check-game.md": check_game_as_markdown(),
        **asyncapi.pages(),
    }
    return {ROOT / path: text for path, text in made.items()}


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
