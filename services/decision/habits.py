"""Habits: what a model decided, the game says came off and was worth it, is done again in a situation like it, without asking.

How to call it, where the triage lets decisions of a kind become habits:

    if habit := habits.fits(place, observation, alike):   # before a model is asked
        ...do habit.answer with the source `cache`, and related=(habit.decision,)
    habits.did(place, observation, answer, habit)         # a model's answer is done, or a habit's once more
    habits.heard(outcome)                                 # what came of it
    habits.valued(game, decision, reward)                 # and what that was worth

The law: a habit begins with a model's answer that the game calls a success; it is done only where it is legal, where there is the
same to choose from, and as long as its rewards are no less than what its place brings on average; and it ends with the first time
that it fails. After `TIMES_MAX` times the model is asked anew, so that nobody goes on for ever with what was good
enough once. Words are no habit: who was spoken to is answered afresh.
"""

from __future__ import annotations

from zlib import crc32

import msgspec

from hearthmind import legal
from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Choice, Observation
from hearthmind.contracts.outcome import OutcomeObserved
from services.decision import situation
from services.decision.recent import Recent
from services.decision.situation import likeness

TIMES_MAX = 16
HABITS_MAX = 64
"""In one place; the oldest goes."""
PLACES_MAX = 2_000
AWAITED_MAX = 20_000
"""Of so many deeds it is awaited what came of them."""

Place = tuple[str, ...]
"""Whose habits: game, kind, the model and its adapter, and the persona, so that nobody takes over what is unlike them."""


class Habit(msgspec.Struct, eq=False):
    """What came off, and where."""

    answer: Answer
    decision: str
    """The model's, from which it comes; the reward of it is kept there."""
    like: int
    """The signature of the situation."""
    menu: int
    """Of what was legal there: the same may be less good where something better may be done."""
    came_off: int = 0
    done: int = 0
    """How often without asking."""
    rewarded: int = 0
    reward: float = 0.0
    """The sum, of so many times."""

    @property
    def why(self) -> str:
        """What is said of doing it again."""
        return f"as in {self.decision}, which came off {self.came_off} times"


class _Custom(msgspec.Struct, eq=False):
    """What there is in one place, and what all that was decided there was worth."""

    habits: list[Habit] = []
    rewarded: int = 0
    reward: float = 0.0

    def is_worth_it(self, habit: Habit) -> bool:
        """Whether it brings at least as much as what is done here otherwise."""
        return habit.rewarded > 0 and habit.reward * self.rewarded >= self.reward * habit.rewarded


class Habits:
    """Of all NPCs of a partition."""

    def __init__(self) -> None:
        self._kept: Recent[Place, _Custom] = Recent(PLACES_MAX)
        self._awaited: Recent[tuple[str, str], tuple[Place, Habit]] = Recent(AWAITED_MAX)
        self._unvalued: Recent[tuple[str, str], tuple[Place, Habit]] = Recent(AWAITED_MAX)

    def fits(self, place: Place, observation: Observation, alike: float) -> Habit | None:
        """What came off in the situation that this one is most like, where any is like it enough."""
        if observation.texts:
            return None
        like = situation.of(observation).signature
        custom = self._kept.known(place)
        if custom is None:
            return None
        menu = _menu(observation)
        found = [(likeness(habit.like, like), habit) for habit in custom.habits if custom.is_worth_it(habit)]
        fitting = [each for each in found if each[0] >= alike and _is_possible(each[1], observation, menu)]
        return max(fitting, key=lambda each: (each[0], each[1].came_off), default=(0.0, None))[1]

    def did(self, place: Place, observation: Observation, answer: Answer, habit: Habit | None) -> None:
        """It is done now: for the first time, by a model, or again."""
        if habit is None:
            if observation.texts or answer.speech:
                return
            plain = Answer(action=answer.action, arguments=answer.arguments)
            habit = Habit(plain, observation.id, situation.of(observation).signature, _menu(observation))
        else:
            habit.done += 1
        self._awaited.put((observation.game, observation.id), (place, habit))
        self._unvalued.put((observation.game, observation.id), (place, habit))

    def heard(self, outcome: OutcomeObserved) -> None:
        """What came of it."""
        key = (outcome.game, outcome.decision)
        awaited = self._awaited.known(key)
        if awaited is None:
            return
        self._awaited.forget(key)
        place, habit = awaited
        kept = self._kept.of(place, _Custom).habits
        done = (outcome.executed.action, outcome.executed.arguments)
        if not outcome.success or done != (habit.answer.action, habit.answer.arguments):
            kept[:] = [each for each in kept if each is not habit]
            return
        habit.came_off += 1
        if habit.done == 0:  # the model has just said so: what was known of the same situation makes room
            others = [each for each in kept if (each.like, each.menu) != (habit.like, habit.menu)]
            kept[:] = [*others[1 - HABITS_MAX :], habit]

    @property
    def awaits_value(self) -> bool:
        """Whether there is anything of which it is not known yet what it was worth."""
        return len(self._unvalued) > 0

    def valued(self, game: str, decision: str, reward: float) -> None:
        """What it was worth."""
        unvalued = self._unvalued.known((game, decision))
        if unvalued is None:
            return
        self._unvalued.forget((game, decision))
        place, habit = unvalued
        custom = self._kept.of(place, _Custom)
        for each in (custom, habit):
            each.rewarded += 1
            each.reward += reward


def _is_possible(habit: Habit, observation: Observation, menu: int) -> bool:
    answer = habit.answer
    if habit.done >= TIMES_MAX or habit.menu != menu:
        return False
    return legal.problem(observation, answer.action, answer.arguments) is None


def _menu(observation: Observation) -> int:
    """What may be done, by the names of actions and of what can be chosen; bounds of numbers may change."""
    menu = 0
    for each in observation.legal_actions:
        menu = crc32(each.name.encode(), menu)
        for parameter in each.parameters.values():
            if isinstance(parameter, Choice):
                menu = crc32("\0".join(parameter.enum).encode(), menu)
    return menu
