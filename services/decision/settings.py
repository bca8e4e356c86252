"""The settings of the decision service."""

from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec

from hearthmind.errors import CannotStart

N = TypeVar("N", int, float)


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`HEARTHMIND_DECISION__…`"""

    triage: tuple[str, ...] = ()
    """Who answers what, before the triage file is asked: `kind=model` or `game/kind=model` each; `rules` is no model, and `*`
    every other kind. `kind=model:adapter` has the model answer with an adapter, by its name or a version of it (`raider@2`)."""
    triage_rules: str = ""
    """The YAML file of the triage's rules and budgets; empty: `infra/triage.yaml` of this checkout."""
    templates: str = ""
    """A folder of templates of one's own; they go before the house's."""
    personas: str = ""
    """A folder of personas, a YAML file each; empty: nobody is anybody."""
    policy: str = ""
    """The YAML file of the policy; empty: `infra/policy.yaml` of this checkout."""
    tokens_max: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 256
    """The longest answer that a model may write; a longer one is cut, can't be read, and the fallback answers."""
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] = 0.0
    """How freely a model's words are drawn; 0 takes the likeliest, so that the same situation gets the same answer."""
    answer_early_ms: Annotated[float, msgspec.Meta(ge=0, le=10_000)] = 40
    """How long before its deadline a decision falls back, at most half of its time: the action still has to travel."""
    pending_max: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """How many decisions of a partition may wait for an engine; beyond, they fall back at once and memory stays bounded."""
    silent_s: Annotated[float, msgspec.Meta(gt=0, le=300)] = 3.0
    """After so long without a usable answer a pool is left alone, and its NPCs are scripted at once until it answers again; a
    pool that usually takes longer is given three times what it takes."""
    scene_answers: tuple[str, ...] = ()
    """How many of those who heard the same words in a scene answer them, `game=2` each; of a game not named here it is one."""
    game_clocks: tuple[str, ...] = ("realm=3600",)
    """How many seconds of a character's life one unit of the game's clock is, `game=3600` each: so memories are days old and not
    turns. Of a game that is not named here the broker's clock counts."""

    @property
    def answers_by_game(self) -> dict[str, int]:
        """`scene_answers` by game."""
        return _by_game(self.scene_answers, "SCENE_ANSWERS", int)

    @property
    def units_s(self) -> dict[str, float]:
        """`game_clocks` by game."""
        return _by_game(self.game_clocks, "GAME_CLOCKS", float)


def _by_game(entries: tuple[str, ...], key: str, number: Callable[[str], N]) -> dict[str, N]:
    found: dict[str, N] = {}
    for entry in entries:
        game, _, value = entry.partition("=")
        try:
            found[game] = number(value)
        except ValueError:
            found[game] = number("0")
        if not game or not 0 < found[game] < 1e12:
            raise CannotStart(why=f"HEARTHMIND_DECISION__{key} has {entry!r}; write game=number, with a number above 0")
    return found
