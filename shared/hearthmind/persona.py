"""Who an NPC is, and the six genes of its behaviour. Where personas come from stands in `personas.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

Gene = Annotated[float, msgspec.Meta(ge=0, le=1)]
Said = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
Several = Annotated[tuple[Said, ...], msgspec.Meta(max_length=16)]


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """Six genes from 0 to 1. At 0.5 a gene says nothing; what speaks for it or against it is in an action's `leans`."""

    aggression: Gene = 0.5
    """How gladly it fights."""
    economy: Gene = 0.5
    """How much it cares for what it owns and makes."""
    diplomacy: Gene = 0.5
    """How much it seeks others' company and consent."""
    risk_tolerance: Gene = 0.5
    """How much it stakes on a chance."""
    patience: Gene = 0.5
    """How long it waits for what it wants."""
    adaptability: Gene = 0.5
    """How soon it leaves what it is used to."""


GENES: tuple[str, ...] = Behaviour.__struct_fields__
NEUTRAL = Behaviour()


def genes_of(behaviour: Behaviour) -> dict[str, float]:
    """The genes by name, as a message has them; none where all are neutral."""
    return {} if behaviour == NEUTRAL else msgspec.structs.asdict(behaviour)


def behaviour_of(genes: Mapping[str, float]) -> Behaviour:
    """The behaviour that a message's genes make: those that are not named are neutral, and later ones are passed over."""
    if not genes:
        return NEUTRAL
    return Behaviour(**{gene: min(max(genes[gene], 0.0), 1.0) for gene in GENES if gene in genes})


class Persona(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody."""

    name: str
    """The file's name, without its ending."""
    called: str = ""
    """What others call it, where that is more than its NPC's id; who is spoken to by this name goes first."""
    traits: Several = ()
    voice: str = ""
    """How it speaks."""
    goals: Several = ()
    knowledge: Several = ()
    """What it knows of the world besides what it sees."""
    adapter: str = ""
    """The version of an adapter that speaks like it, `<name>@<version>`, or just the adapter's name."""
    behaviour: Behaviour = NEUTRAL
    npcs: tuple[str, ...] = ()
    """Who is it: `game/npc`, each with `*`, `?` and `[...]` as in file names."""
    sha256: str = ""
    """Of its file."""

    @property
    def ref(self) -> str:
        """Which persona, and as it stood when: `wolf@1f0c…`, the name and the first 12 of its file's SHA-256."""
        return f"{self.name}@{self.sha256[:12]}" if self.sha256 else self.name


NOBODY = Persona(name="")
"""Who an NPC is of whom nothing is said; its ref is empty and all its genes are neutral."""
