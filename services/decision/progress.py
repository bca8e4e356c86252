"""The no-progress breaker: an NPC that does the same in the same state, again and again, is told so and changes course.

How to call it, in this order, for each decision:

    stuck = progress.stuck(observation)              # names of actions that led nowhere here; mostly none
    mind = Mind(..., notes=notes(stuck))             # what a model is told
    answer = scripted.choose(without(observation, stuck), behaviour)
    progress.did(observation, action.action, action.arguments)

and `progress.heard(outcome)` for each outcome: what came off is progress, by the game's word and nobody else's.

The law: what was done `REPEATS` times in one state, with the same arguments and without an outcome that says it came off, is
stuck until the state is another one. A state that says nothing but the time tells nothing, and then nothing is ever stuck.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from zlib import crc32

import msgspec

from hearthmind.contracts.observation import Observation
from hearthmind.contracts.outcome import OutcomeObserved
from hearthmind.contracts.wire import Fact
from services.decision import situation
from services.decision.recent import Recent

REPEATS = 3
DEEDS_MAX = 16
"""So many different things are counted for an NPC and kind in one state; the first ones count."""
PLACES_MAX = 20_000
"""Of so many NPCs and kinds what they do is counted, in each partition."""

Place = tuple[str, str, str]
"""Game, NPC, kind."""


@dataclass(slots=True)
class _Course:
    """What was done in a state."""

    state: int = 0
    times: dict[tuple[str, int], int] = field(default_factory=dict)
    """How often each action was done with the same arguments."""
    last: tuple[str, str, int] = ("", "", 0)
    """The newest decision with its action and arguments."""


class Progress:
    """Of all NPCs of a partition."""

    def __init__(self, places_max: int = PLACES_MAX) -> None:
        self._courses: Recent[Place, _Course] = Recent(places_max)

    def stuck(self, observation: Observation) -> frozenset[str]:
        """The actions that this NPC has repeated in this very state, and nothing came of it."""
        course = self._courses.known((observation.game, observation.npc, observation.kind))
        if course is None or not any(count >= REPEATS for count in course.times.values()):
            return frozenset()
        if course.state != situation.of(observation).fingerprint:
            return frozenset()
        return frozenset(action for (action, _), count in course.times.items() if count >= REPEATS)

    def did(self, observation: Observation, action: str, arguments: Mapping[str, Fact]) -> None:
        """This is what it does now. The same decision counts once, however often it is told of."""
        course = self._courses.of((observation.game, observation.npc, observation.kind), _Course)
        if course.last[0] == observation.id:
            return
        state = situation.of(observation).fingerprint
        if course.state != state:
            course.state = state
            course.times.clear()
        deed = (action, crc32(msgspec.json.encode(arguments, order="sorted")))
        course.last = (observation.id, *deed)
        if state and (deed in course.times or len(course.times) < DEEDS_MAX):
            course.times[deed] = course.times.get(deed, 0) + 1

    def heard(self, outcome: OutcomeObserved) -> None:
        """What came of the newest decision; where it came off, it is no repetition."""
        course = self._courses.known((outcome.game, outcome.npc, outcome.kind))
        if course is not None and outcome.success and course.last[0] == outcome.decision:
            course.times.pop(course.last[1:], None)

    def __len__(self) -> int:
        return len(self._courses)


def notes(stuck: Collection[str]) -> tuple[str, ...]:
    """What a mind that reads is told."""
    return tuple(
        f"You did {action} {REPEATS} times and nothing changed. Do something else." for action in sorted(stuck)
    )


def without(observation: Observation, stuck: Collection[str]) -> Observation:
    """The observation without these actions, as long as there is another one: what is legal in it is legal in the first."""
    if not stuck:
        return observation
    left = tuple(legal for legal in observation.legal_actions if legal.name not in stuck)
    return msgspec.structs.replace(observation, legal_actions=left) if left else observation
