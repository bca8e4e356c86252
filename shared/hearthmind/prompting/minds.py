"""What a prompt says of the one who is asked: who it is, what it remembers, and what the house has to tell it."""

from __future__ import annotations

import msgspec

from hearthmind import persona
from hearthmind.persona import Persona


class Mind(msgspec.Struct, frozen=True):
    """Whose words the answer will be."""

    persona: Persona = persona.NOBODY
    recalled: tuple[str, ...] = ()
    """What it remembers and matters now, what matters most first: data, since others' words may be in it."""
    notes: tuple[str, ...] = ()
    """What the house tells it, such as that its last answer could not be read: plain sentences of our own."""


NOBODY = Mind()
"""An NPC of whom nothing is known but what it sees."""
