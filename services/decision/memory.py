"""What NPCs remember: the last 32 windows of each, what came before them in numbers, and what it feels about others.

How to call it, with `happened_s` the broker's time at which the observation was stored (seconds since 1970, as in `Lived`):

    memory = memories.of(observation)
    lines = memory.relevant(observation, happened_s, most=5)   # for a prompt: (line, decision), what matters most first
    memory.saw(observation, action, happened_s)                # when an action is chosen
    memories.heard(outcome)                                    # what came of it; NPCs that nobody knows are passed over
    memories.recalled(recalled)                                # from Postgres, some time after a takeover; never waited for

The law: an NPC's memory is bounded, and so is their number; the same happenings make the same memory, in whatever order
outcomes and what was recalled come in; each outcome counts once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from operator import attrgetter
from typing import NamedTuple

import msgspec

from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.memory import Lived, Recalled
from hearthmind.contracts.observation import Observation
from hearthmind.contracts.outcome import OutcomeObserved
from services.decision import feelings, retelling, situation, windows
from services.decision.feelings import Feelings
from services.decision.recent import Recent
from services.decision.situation import is_there, likeness
from services.decision.windows import Window

WINDOWS_MAX = 32
NPCS_MAX = 8_000
"""Of so many NPCs of a partition there is a memory, those seen last: 130 MB at most."""
ACTIONS_MAX = 32
"""So many actions are told apart in the numbers of what was long ago; the rest count as `other`."""
AWAITED_MAX = 16
"""Of so many deeds that are windows no more it is still awaited what came of them: a siege may take a day."""
TALLIES_TOLD = 8
EARLIER_MAX_CHARS = 400
OTHER = "other"

MATTERS = 0.6
"""What scores less than this is not recalled: unlike all that is here, long ago, and nothing came of it."""
RECENT_COUNTS = 0.3
ALIKE = 0.4
"""How like a situation is of which only the kind is known any more, where the same may be done again."""
FADES_S = 24 * 3600.0
"""What makes a memory recent is halved in so long."""

Npc = tuple[str, str]
"""Game and NPC."""


class Recollection(NamedTuple):
    """A memory that matters now."""

    line: str
    decision: str
    """Where it comes from; empty where it is a feeling, or what many decisions led to."""


_decision_of = attrgetter("decision")


class _Tally(msgspec.Struct):
    """What is left of an action's windows."""

    count: int = 0
    came_off: int = 0
    failed: int = 0
    rewarded: int = 0
    reward: float = 0.0

    def ends(self, success: bool) -> None:
        """It is known what came of one."""
        if success:
            self.came_off += 1
        else:
            self.failed += 1


class Memory:
    """Of one NPC."""

    __slots__ = ("_awaited", "_has_recalled", "_since_s", "_tallies", "_unit_s", "earlier", "feelings", "windows")

    def __init__(self, unit_s: float = 0.0) -> None:
        self.windows: list[Window] = []
        """The oldest first."""
        self.feelings = Feelings()
        self.earlier = ""
        """What came before everything here, as Postgres has it."""
        self._unit_s = unit_s
        self._tallies: dict[str, _Tally] = {}
        self._awaited: dict[str, tuple[str, float]] = {}
        self._since_s = float("inf")
        self._has_recalled = False

    # ---- what happens ----------------------------------------------------------------------------------------------

    def saw(self, observation: Observation, action: ActionChosen, happened_s: float) -> None:
        """This was done in answer to that."""
        known = self._at(observation.id)
        if known is not None and self.windows[known].like:
            return
        self._since_s = min(self._since_s, happened_s)
        window = windows.seen(observation, action, happened_s, self._unit_s)
        if known is not None:  # it was recalled already, from a store that does not know what was seen
            window = windows.completed(window, self.windows.pop(known))
        self._keep(window)

    def heard(self, outcome: OutcomeObserved) -> bool:
        """What came of it; whether that was news."""
        at = self._at(outcome.decision)
        opponent = windows.opponent_of(outcome.opponent, outcome.facts)
        if at is None:
            awaited = self._awaited.pop(outcome.decision, None)
            if awaited is None:
                return False
            action, lived_s = awaited
            self._tally(action).ends(outcome.success)
        else:
            if self.windows[at].success is not None:
                return False
            self.windows[at] = windows.ended(self.windows[at], outcome)
            lived_s = self.windows[at].lived_s
        if opponent is not None:
            self.feelings.stir(opponent, feelings.stirred(outcome.success, outcome.facts), lived_s)
        return True

    def recalled(self, recalled: Recalled) -> None:
        """What it lived through before its partition came here. It is taken in once, and what is known here counts."""
        if self._has_recalled:
            return
        self._has_recalled = True
        self.earlier = recalled.summary[:EARLIER_MAX_CHARS]
        for lived in recalled.lived:
            stored, at = windows.remembered(lived, self._unit_s), self._at(lived.decision)
            if at is None and lived.happened_s >= self._since_s:
                continue  # it was decided here, and is a window no more
            is_news = stored.success is not None and (at is None or self.windows[at].success is None)
            if at is None:
                self._keep(stored)
            else:
                self.windows[at] = windows.completed(self.windows[at], stored)
            if is_news and stored.opponent and lived.success is not None:
                self.feelings.stir(stored.opponent, feelings.stirred(lived.success, lived.facts), stored.lived_s)

    # ---- what is remembered ----------------------------------------------------------------------------------------

    def relevant(self, observation: Observation, happened_s: float, most: int = 5) -> tuple[Recollection, ...]:
        """What matters now: what is like this, what concerns who is here, what is recent, what was important."""
        if not (self.windows or self.feelings.about or self.earlier):
            return ()
        now_s = windows.lived_s(happened_s, observation.game_time, self._unit_s)
        like = situation.of(observation).signature
        there: dict[str | None, bool] = {None: False}
        possible = {legal.name for legal in observation.legal_actions}
        scored: list[tuple[float, float, Window]] = []
        for window in self.windows:
            if window.success is None:
                continue
            if window.opponent not in there:
                there[window.opponent] = is_there(str(window.opponent), observation)
            alike = ALIKE * (window.kind == observation.kind and window.action in possible)
            score = likeness(window.like, like) if window.like else alike
            score += window.weight + there[window.opponent]
            score += RECENT_COUNTS * 0.5 ** (max(0.0, now_s - window.lived_s) / FADES_S)
            if score >= MATTERS:
                scored.append((-score, -window.happened_s, window))
        scored.sort(key=lambda entry: (*entry[:2], entry[2].decision))
        told = list(self._told([window for *_, window in scored[:most]], observation, now_s, most))
        if len(told) < most and (before := self.summary(possible)):
            told.append(Recollection(f"before that: {before}", ""))
        return tuple(told)

    def summary(self, actions: Collection[str] | None = None) -> str:
        """What came before the windows, in numbers, of these actions or of all; empty where nothing did."""
        rows = [row for row in self._tallies.items() if actions is None or row[0] in actions]
        rows.sort(key=lambda row: (-row[1].count, row[0]))
        counted = retelling.counted(
            (name, tally.count, tally.came_off, tally.failed, tally.reward / tally.rewarded if tally.rewarded else None)
            for name, tally in rows[:TALLIES_TOLD]
        )
        return "; ".join(part for part in (self.earlier, counted) if part)

    def lived(self) -> tuple[Lived, ...]:
        """The windows as they would be recalled."""
        return tuple(map(windows.as_lived, self.windows))

    def _told(self, chosen: list[Window], observation: Observation, now_s: float, most: int) -> Iterator[Recollection]:
        """The windows in words, the feeling about somebody with the newest of them; then what is felt without a cause."""
        felt = {other: feelings.in_words(self.feelings.toward(other, now_s)) for other in self.feelings.about}
        newest = {window.opponent: window.decision for window in sorted(chosen, key=lambda window: window.order)}
        for window in chosen:
            feeling = felt.get(window.opponent or "", "") if newest[window.opponent] == window.decision else ""
            line = retelling.told(windows.as_lived(window), now_s - window.lived_s, feeling)
            yield Recollection(line, window.decision)
        room = most - len(chosen)
        for other in sorted(felt, key=lambda other: (-abs(self.feelings.toward(other, now_s)), other)):
            if room > 0 and felt[other] and other not in newest and is_there(other, observation):
                room -= 1
                yield Recollection(retelling.felt(other, felt[other]), "")

    # ---- keeping ---------------------------------------------------------------------------------------------------

    def _at(self, decision: str) -> int | None:
        if decision not in map(_decision_of, self.windows):  # nearly always, and quickly known
            return None
        return next(place for place, window in enumerate(self.windows) if window.decision == decision)

    def _keep(self, window: Window) -> None:
        at = len(self.windows)
        while at and self.windows[at - 1].order > window.order:
            at -= 1
        self.windows.insert(at, window)
        if len(self.windows) > WINDOWS_MAX:
            self._sum_up(self.windows.pop(0))

    def _sum_up(self, window: Window) -> None:
        tally = self._tally(window.action)
        tally.count += 1
        if window.success is None:
            if len(self._awaited) >= AWAITED_MAX:
                del self._awaited[next(iter(self._awaited))]
            self._awaited[window.decision] = (window.action, window.lived_s)
        else:
            tally.ends(window.success)
        if window.reward is not None:
            tally.rewarded += 1
            tally.reward += window.reward

    def _tally(self, action: str) -> _Tally:
        name = action if action in self._tallies or len(self._tallies) < ACTIONS_MAX - 1 else OTHER
        return self._tallies.setdefault(name, _Tally())


class Memories:
    """Of all NPCs of a partition."""

    def __init__(self, npcs_max: int = NPCS_MAX, units_s: Mapping[str, float] | None = None) -> None:
        self._kept: Recent[Npc, Memory] = Recent(npcs_max)
        self._units_s = units_s or {}
        """How many seconds of an NPC's life a unit of its game's clock is; of a game not named here the broker's clock counts."""

    def of(self, observation: Observation) -> Memory:
        """That of the observation's NPC, who is seen just now; an empty one where there was none."""
        return self._of(observation.game, observation.npc)

    def knows(self, game: str, npc: str) -> bool:
        """Whether there is a memory already; where not, it is worth a `Recall`."""
        return self._kept.known((game, npc)) is not None

    def heard(self, outcome: OutcomeObserved) -> bool:
        """What came of a deed; whether that was news to somebody here."""
        memory = self._kept.known((outcome.game, outcome.npc))
        return memory is not None and memory.heard(outcome)

    def recalled(self, recalled: Recalled) -> None:
        """What an NPC lived through; it may come before the NPC is seen."""
        self._of(recalled.game, recalled.npc).recalled(recalled)

    @property
    def let_go(self) -> int:
        """How many NPCs were forgotten, since others came."""
        return self._kept.let_go

    def __len__(self) -> int:
        return len(self._kept)

    def _of(self, game: str, npc: str) -> Memory:
        return self._kept.of((game, npc), lambda: Memory(self._units_s.get(game, 0.0)))
