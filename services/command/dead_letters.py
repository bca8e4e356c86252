"""`hearthmind dead-letters`: what could not be processed, and why.

It asks the database that the settings name, or else that of the platform in the folder, as `doctor` does."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from hearthmind.settings import Store, load
from hearthmind.store.engine import create_engine, transaction
from hearthmind.store.read import dead_letters_of
from services.command.platform import read_connection

BODY_SHOWN_MAX = 200


async def show(folder: Path, most: int, console: Console) -> None:
    """Prints the newest dead letters."""
    store, running = load("store", Store), read_connection(folder)
    if running and store == Store():
        store = Store(url=running.database_url)
    engine = create_engine(store.url, connections_max=1)
    try:
        async with transaction(engine) as connection:
            letters = await dead_letters_of(connection, most)
    finally:
        await engine.dispose()
    console.print(f"{len(letters)} dead letters, the newest first")
    for letter in letters:
        body = letter.body[:BODY_SHOWN_MAX].decode(errors="replace")
        console.print(Text(f"\n{letter.died_at:%Y-%m-%d %H:%M:%S}  {letter.stream}  {letter.subject}", style="bold"))
        console.print(Text(f"  {letter.reason}\n  {body}"))
