"""The broker's accounts, their users and what each may do, as the text of nats-server's configuration; derived from `flow.py`."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping

from hearthmind import flow
from hearthmind.flow import Permissions
from hearthmind.ids import check_id

PROVISION = "provision"
"""The user of the provisioning job, who alone may make streams and consumers."""

PLATFORM = "platform"
"""The account of the services and of all streams."""


def users(games: tuple[str, ...]) -> dict[str, Permissions]:
    """Every user of the broker with its permissions."""
    everything = Permissions((">",), (">",))
    found = {PROVISION: everything}
    found |= {part: flow.service_permissions(part) for part in flow.PARTS}
    found |= {flow.game_user(check_id("game", game)): flow.game_permissions(game) for game in games}
    return found


def new_passwords(games: tuple[str, ...], known: Mapping[str, str] | None = None) -> dict[str, str]:
    """A password for every user; those already known stay."""
    known = known or {}
    return {user: known.get(user) or secrets.token_urlsafe(24) for user in users(games)}


def authorization(games: tuple[str, ...], passwords: Mapping[str, str]) -> str:
    """The `accounts` block of the broker's configuration: the platform's, and one for each game.

    Permissions alone would not keep games apart. The broker acknowledges a stored message on whatever reply subject its
    sender named, and asks no permission for that: in one account for all a game could let it write to another game's
    subjects, or over a lease. Out of an account of its own nothing leads but what is imported here.
    """
    own = {flow.game_user(game): flow.game_imports(game) for game in games}
    shared = flow.game_imports("*")
    said = {user: _user(user, passwords[user], may) for user, may in users(games).items()}
    exports = [f"{{ service: {json.dumps(subject)} }}" for subject in shared.publish]
    exports += [f"{{ stream: {json.dumps(subject)} }}" for subject in shared.subscribe]
    blocks = [_account(PLATFORM, [said[user] for user in said if user not in own], "exports", exports)]
    for game, crosses in own.items():
        imports = [f"{{ service: {_of_platform(subject)} }}" for subject in crosses.publish]
        imports += [f"{{ stream: {_of_platform(subject)} }}" for subject in crosses.subscribe]
        blocks.append(_account(game, [said[game]], "imports", imports))
    return "accounts {\n" + "".join(blocks) + "}\n"


def _user(name: str, password: str, may: Permissions) -> str:
    return (
        f"{{ user: {json.dumps(name)}, password: {json.dumps(password)}, permissions: {{\n"
        f"        publish: {{ allow: {json.dumps(may.publish)} }}\n"
        f"        subscribe: {{ allow: {json.dumps(may.subscribe)} }}\n"
        "    } }"
    )


def _account(name: str, users: Iterable[str], crossing: str, subjects: Iterable[str]) -> str:
    jetstream = "    jetstream: enabled\n" if name == PLATFORM else ""
    return (
        f"  {name} {{\n{jetstream}"
        f"    users: [\n{_lines(users)}    ]\n"
        f"    {crossing}: [\n{_lines(subjects)}    ]\n"
        "  }\n"
    )


def _lines(entries: Iterable[str]) -> str:
    return "".join(f"      {entry}\n" for entry in entries)


def _of_platform(subject: str) -> str:
    return f"{{ account: {PLATFORM}, subject: {json.dumps(subject)} }}"
