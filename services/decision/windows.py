"""A window: one thing that an NPC did, what it was like there, and what the game says came of it.

Made small, since there are 32 of them for each of thousands of NPCs: what is needed only to tell of it is kept as bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.memory import Lived
from hearthmind.contracts.observation import Observation
from hearthmind.contracts.outcome import OutcomeObserved
from hearthmind.contracts.wire import Fact
from services.decision import situation

FACTS_MAX = 6
WORDS_MAX_CHARS = 160
NOBODY = "nobody"

_TELLING = re.compile(
    "loss|lost|gain|won|victory|trust|accept|breach|found|kill|raz|damage|content|traded|result|robbed|helped", re.I
)
"""Names of facts that say what came of something, rather than how things stand."""


class _Rest(msgspec.Struct, frozen=True, array_like=True):
    """What is needed only when it is told: as bytes a third of what objects take."""

    arguments: dict[str, Fact]
    facts: dict[str, Fact]
    reward: float | None
    game_time: float
    words: str


class Window(msgspec.Struct, frozen=True, gc=False):
    """One thing that was done."""

    decision: str
    happened_s: float
    lived_s: float
    """The same on the NPC's own clock, where the game has one."""
    kind: str
    action: str
    like: int
    """The signature of what was seen; 0 where that is not known any more."""
    success: bool | None
    opponent: str | None
    weight: float
    """How much it matters in itself."""
    rest: bytes

    @property
    def order(self) -> tuple[float, str]:
        """What comes before what."""
        return (self.happened_s, self.decision)

    @property
    def reward(self) -> float | None:
        """What it was worth, where that is known."""
        return _unpack.decode(self.rest).reward


def seen(observation: Observation, action: ActionChosen, happened_s: float, unit_s: float) -> Window:
    """What has just been decided; nobody knows yet what will come of it."""
    words = action.speech[:WORDS_MAX_CHARS]
    return Window(
        decision=observation.id,
        happened_s=happened_s,
        lived_s=lived_s(happened_s, observation.game_time, unit_s),
        kind=observation.kind,
        action=action.action,
        like=situation.of(observation).signature,
        success=None,
        opponent=None,
        weight=0.0,
        rest=_packed(_Rest(_few(action.arguments), {}, None, observation.game_time, words)),
    )


def ended(window: Window, outcome: OutcomeObserved) -> Window:
    """The window with what came of it, and what was really done."""
    rest, done = _unpack.decode(window.rest), outcome.executed
    opponent = opponent_of(outcome.opponent, outcome.facts)
    rest = msgspec.structs.replace(rest, arguments=_few(done.arguments), facts=_telling(outcome.facts))
    return msgspec.structs.replace(
        window,
        action=done.action,
        success=outcome.success,
        opponent=opponent,
        weight=_weight(outcome.success, opponent, rest),
        rest=_packed(rest),
    )


def remembered(lived: Lived, unit_s: float) -> Window:
    """An experience that was stored: what it was like there is not known any more."""
    opponent = opponent_of(lived.opponent, lived.facts)
    words = lived.words[:WORDS_MAX_CHARS]
    rest = _Rest(_few(lived.arguments), _telling(lived.facts), lived.reward, lived.game_time, words)
    return Window(
        decision=lived.decision,
        happened_s=lived.happened_s,
        lived_s=lived_s(lived.happened_s, lived.game_time, unit_s),
        kind=lived.kind,
        action=lived.action,
        like=0,
        success=lived.success,
        opponent=opponent,
        weight=_weight(lived.success, opponent, rest),
        rest=_packed(rest),
    )


def completed(window: Window, stored: Window) -> Window:
    """A window, with what only the store knew of the same decision: what came of it, or what that was worth."""
    if window.success is None and stored.success is not None:
        return msgspec.structs.replace(
            stored, happened_s=window.happened_s, lived_s=window.lived_s, kind=window.kind, like=window.like
        )
    if stored.reward is None or window.reward is not None:
        return window
    rest = msgspec.structs.replace(_unpack.decode(window.rest), reward=stored.reward)
    weight = _weight(window.success, window.opponent, rest)
    return msgspec.structs.replace(window, rest=_packed(rest), weight=weight)


def as_lived(window: Window) -> Lived:
    """The window as it would be recalled."""
    rest = _unpack.decode(window.rest)
    return Lived(
        decision=window.decision,
        kind=window.kind,
        action=window.action,
        happened_s=window.happened_s,
        arguments=rest.arguments,
        success=window.success,
        reward=rest.reward,
        opponent=window.opponent,
        facts=rest.facts,
        game_time=rest.game_time,
        words=rest.words,
    )


def lived_s(happened_s: float, game_time: float, unit_s: float) -> float:
    """When, in the NPC's own life: by the game's clock, where it is known how long a unit of it is, else by the broker's."""
    return game_time * unit_s if unit_s else happened_s


def opponent_of(opponent: str | None, facts: Mapping[str, Fact]) -> str | None:
    """Whom it was done to or with: as the outcome says, or as its facts do."""
    named = opponent or facts.get("opponent")
    return named[:64] if isinstance(named, str) and named not in ("", NOBODY) else None


def _weight(success: bool | None, opponent: str | None, rest: _Rest) -> float:
    """What failed matters more than what came off, others more than oneself, what had effects more than what had none."""
    if success is None:
        return 0.0
    weight = 0.1 if success else 0.25
    weight += 0.2 if opponent else 0.0
    weight += 0.15 if any(value and _TELLING.search(name) for name, value in rest.facts.items()) else 0.0
    return weight + (0.3 * min(abs(rest.reward), 1.0) if rest.reward is not None else 0.0)


def _telling(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    """The facts that say what came of it, before those that say how things stand."""
    ranked = sorted(facts, key=lambda name: not _TELLING.search(name))
    return _few({name: facts[name] for name in ranked})


def _few(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    kept = list(facts.items())[:FACTS_MAX]
    return {name: value[:64] if isinstance(value, str) else value for name, value in kept}


_packed = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Rest)
