"""The broker's users and what each may do, as the text of nats-server's configuration; derived from `flow.py`."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping

from hearthmind import flow
from hearthmind.flow import Permissions
from hearthmind.ids import check_id

PROVISION = "provision"
"""The user of the provisioning job, who alone may make streams and consumers."""


def users(games: tuple[str, ...]) -> dict[str, Permissions]:
    """Every user of the broker with its permissions."""
    everything = Permissions((">",), (">",))
    found = {PROVISION: everything}
    found |= {service: flow.service_permissions(service) for service in flow.SERVICES}
    found |= {flow.game_user(check_id("game", game)): flow.game_permissions(game) for game in games}
    return found


def new_passwords(games: tuple[str, ...], known: Mapping[str, str] | None = None) -> dict[str, str]:
    """A password for every user; those already known stay."""
    known = known or {}
    return {user: known.get(user) or secrets.token_urlsafe(24) for user in users(games)}


def authorization(games: tuple[str, ...], passwords: Mapping[str, str]) -> str:
    """The `authorization` block of the broker's configuration."""
    entries = [
        f"    {{ user: {json.dumps(user)}, password: {json.dumps(passwords[user])}, permissions: {{\n"
        f"        publish: {{ allow: {json.dumps(may.publish)} }}\n"
        f"        subscribe: {{ allow: {json.dumps(may.subscribe)} }}\n"
        "    } }"
        for user, may in users(games).items()
    ]
    return "authorization {\n  users: [\n" + "\n".join(entries) + "\n  ]\n}\n"
