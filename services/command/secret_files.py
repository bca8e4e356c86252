"""The secrets of a deployment: one folder with a file for each password, and the broker's users made from them.

The folder is its owner's alone. The files in it can be read by whoever gets one of them mounted, since a container's user is
nobody of this machine. What is there stays; a file that was deleted is made anew, and with it that one password.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

from hearthmind.bus.accounts import authorization, new_passwords
from hearthmind.flow import game_user
from hearthmind.ids import check_id
from hearthmind.store.grants import GRANTS

BROKER_USERS = "broker_users.conf"
BROKER, STORE = "broker_", "store_"
OWNER = "owner"
"""The database's owner, as whom it is made and migrated."""
GRAFANA = "grafana_admin"


def make_secrets(folder: Path, games: Iterable[str]) -> dict[str, str]:
    """Makes what is missing for these games and those that are there; returns the password of each game's user."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    start = BROKER + game_user("")
    known = [path.name.removeprefix(start) for path in sorted(folder.glob(f"{start}*"))]
    wanted = tuple(dict.fromkeys((*known, *(check_id("game", game) for game in games))))
    passwords = new_passwords(wanted, _read(folder, BROKER))
    for user, password in passwords.items():
        _write(folder / f"{BROKER}{user}", password)
    for role in (OWNER, *GRANTS):
        _write(folder / f"{STORE}{role}", _read(folder, STORE).get(role) or secrets.token_urlsafe(24))
    _write(folder / GRAFANA, _said(folder / GRAFANA) or secrets.token_urlsafe(24))
    _write(folder / BROKER_USERS, authorization(wanted, passwords))
    return {game: passwords[game_user(game)] for game in wanted}


def store_passwords(folder: Path) -> dict[str, str]:
    """The password of each role of the database, as the folder has them."""
    return {role: (folder / f"{STORE}{role}").read_text().strip() for role in GRANTS}


def _read(folder: Path, kind: str) -> Mapping[str, str]:
    return {path.name.removeprefix(kind): _said(path) for path in folder.glob(f"{kind}*") if path.name != BROKER_USERS}


def _said(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def _write(path: Path, text: str) -> None:
    """Writes it into the file that is there: a container has that one mounted, and would go on to see it after a swap."""
    if _said(path) != text.strip():
        path.touch(mode=0o644)
        path.chmod(0o644)
        path.write_text(f"{text.rstrip()}\n")
