"""What a game says, for tests: messages as they come from the bus."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hearthmind.bus.wire import encode
from hearthmind.contracts.observation import Event, Observation
from hearthmind.contracts.outcome import PLATFORM
from hearthmind.testing.observations import an_observation
from services.command.conformance.reading import Said

GAME = "realm"


def observed(seen: Observation | None = None, subject: str = "", **changes: Any) -> Said:
    """An observation, with these fields of its JSON changed; `...` takes one away."""
    seen = seen or an_observation()
    what = "event" if isinstance(seen, Event) else "observation"
    subject = subject or f"game.{GAME}.{what}.{seen.npc}.{seen.kind}"
    return Said(subject, _changed(json.loads(encode(seen)), changes), f"{GAME}/{seen.npc}/{seen.id}")


def reported(
    seen: Observation,
    action: str = "wait",
    arguments: Mapping[str, Any] | None = None,
    by: str = PLATFORM,
    **changes: Any,
) -> Said:
    """The outcome of a decision, with these fields of its JSON changed."""
    body = {
        "type": "outcome_observed",
        "decision": seen.id,
        "game": GAME,
        "npc": seen.npc,
        "kind": seen.kind,
        "executed": {"action": action, "arguments": dict(arguments or {}), "by": by},
        "success": True,
        "facts": {"wood": 3},
        "observation": None if by == PLATFORM else json.loads(encode(seen)),
    }
    return Said(f"game.{GAME}.outcome.{seen.npc}", _changed(body, changes))


def _changed(body: dict[str, Any], changes: Mapping[str, Any]) -> bytes:
    body = {key: value for key, value in {**body, **changes}.items() if value is not ...}
    return json.dumps(body).encode()
