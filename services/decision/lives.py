"""What the owner of a partition knows of its NPCs' lives: what they saw last, did, planned, remember and feel. Pure and bounded.

The law: nothing of it is ever waited for. What an earlier owner knew is asked for when an NPC is seen for the first time, and
comes when it comes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.inference import Answer
from hearthmind.contracts.memory import Recall, Recalled
from hearthmind.contracts.observation import Event, Observation
from hearthmind.contracts.outcome import OutcomeObserved
from services.decision.effects import Remember, Seen
from services.decision.habits import Habits
from services.decision.history import Histories
from services.decision.memory import Memories
from services.decision.plans import Plans
from services.decision.progress import Progress
from services.decision.recent import Recent

PLACES_MAX = 20_000
"""Of so many NPCs and kinds it is known what they saw last; beyond, an older one that comes late is the client's to refuse."""
RECALLED_TOGETHER = 64
"""What one `Recall` may ask for."""
GATHERED_S = 0.2
"""So long the names of those who were seen for the first time are gathered."""
UNASKED_MAX = 10_000

Place = tuple[str, str, str]
"""Game, NPC, kind."""


@dataclass(frozen=True, slots=True)
class _Last:
    """The newest that was seen of an NPC and kind."""

    episode: str
    snapshot: int
    deadline_s: float


@dataclass
class Lives:
    """Of all NPCs of a partition."""

    histories: Histories
    recalls: bool = True
    """Whether an earlier owner's memories are asked for."""
    memories: Memories = field(default_factory=Memories)
    plans: Plans = field(default_factory=Plans)
    progress: Progress = field(default_factory=Progress)
    habits: Habits = field(default_factory=Habits)
    _last: Recent[Place, _Last] = field(default_factory=lambda: Recent(PLACES_MAX))
    _unasked: dict[str, list[str]] = field(default_factory=dict)
    _asks_s: float | None = None

    # ---- what was seen ---------------------------------------------------------------------------------------------

    def outdated(self, seen: Seen, now_s: float) -> str:
        """Why nothing is done about this any more; empty where it is the newest of its kind, or an event.

        A snapshot that is lower than one whose time is over is a world that has begun anew, and not an older sight of it.
        """
        observation = seen.observation
        if isinstance(observation, Event):
            return ""
        last = self._last.known(_place(observation))
        if last is None or last.episode != observation.episode or now_s >= last.deadline_s:
            return ""
        return "a newer observation is known" if observation.snapshot < last.snapshot else ""

    def saw(self, seen: Seen, now_s: float) -> None:
        """It is taken in; of an NPC that nobody knows here the past is wanted."""
        observation = seen.observation
        if self.recalls and not self.memories.knows(observation.game, observation.npc):
            self._wants(observation.game, observation.npc, now_s)
        if not isinstance(observation, Event):
            self._last.put(_place(observation), _Last(observation.episode, observation.snapshot, seen.deadline_s))

    def is_outdated(self, observation: Observation) -> bool:
        """Whether something newer of its kind was seen since."""
        last = None if isinstance(observation, Event) else self._last.known(_place(observation))
        return last is not None and last.episode == observation.episode and last.snapshot > observation.snapshot

    # ---- what was done and what came of it -------------------------------------------------------------------------

    def did(
        self, observation: Observation, answer: Answer, action: ActionChosen, now_s: float, happened_s: float
    ) -> None:
        """This is done now."""
        self.histories.of(observation.game, observation.npc).did(observation, answer, now_s)
        self.progress.did(observation, answer.action, answer.arguments)
        self.plans.made(observation, answer)
        self.memories.of(observation).saw(observation, action, happened_s)

    def knows(self, game: str, npc: str) -> bool:
        """Whether the NPC has been seen here: what came of others' deeds is not for this partition."""
        return self.memories.knows(game, npc)

    def heard(self, outcome: OutcomeObserved) -> None:
        """What came of a deed."""
        self.memories.heard(outcome)
        self.plans.heard(outcome)
        self.progress.heard(outcome)
        self.habits.heard(outcome)

    def recalled(self, memory: Recalled) -> None:
        """The past of an NPC."""
        self.memories.recalled(memory)

    # ---- the past --------------------------------------------------------------------------------------------------

    @property
    def wakes_s(self) -> float | None:
        """When those who were seen for the first time are asked about."""
        return self._asks_s

    def ticked(self, partition: int, now_s: float) -> list[Remember]:
        """The questions about those whose past is wanted, many at once."""
        if self._asks_s is None or now_s < self._asks_s:
            return []
        unasked, self._unasked, self._asks_s = self._unasked, {}, None
        return [
            Remember(Recall(game=game, npcs=tuple(npcs[at : at + RECALLED_TOGETHER]), partition=partition))
            for game, npcs in unasked.items()
            for at in range(0, len(npcs), RECALLED_TOGETHER)
        ]

    def _wants(self, game: str, npc: str, now_s: float) -> None:
        if self._asks_s is None:
            self._asks_s = now_s + GATHERED_S
        wanted = self._unasked.setdefault(game, [])
        if sum(map(len, self._unasked.values())) < UNASKED_MAX and npc not in wanted[-RECALLED_TOGETHER:]:
            wanted.append(npc)


def _place(observation: Observation) -> Place:
    return (observation.game, observation.npc, observation.kind)
