"""A play by minds: every decision told of once, words as texts and nowhere else, and no text that widens what is legal."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearthmind import scripted
from hearthmind.acting import action_of
from hearthmind.client import Decision
from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Event, Observation
from hearthmind.referee import Execute, Referee
from village import play as village_play
from village.people import ASKS, BUYS, HOURS, ROLES, TRICKS
from village.play import CHAT, Turn, play
from village.scene import Scene, Visit
from village.visitors import visits

from ..minds import Chooses, Mind, anything

SEED, NPCS, TURNS = 3, 7, 2 * len(HOURS)


async def a_play(chooses: Chooses, turns: int = TURNS, log: Path | None = None) -> tuple[Mind, list[Turn]]:
    mind, seen = Mind("village", chooses), list[Turn]()
    await play(mind, npcs=NPCS, seed=SEED, until=lambda: len(seen) >= turns, on_turn=seen.append, turn_s=0, log=log)
    return mind, seen


def chats(mind: Mind) -> list[Observation]:
    return [decision.observation for decision in mind.asked if decision.kind == CHAT]


def content(mind: Mind) -> float:
    told = [told.facts["content"] for told in mind.told if told.decision.kind == CHAT]
    return sum(map(bool, told)) / len(told)


async def test_every_decision_is_told_of_exactly_once(tmp_path: Path) -> None:
    mind, turns = await a_play(anything(1), log=tmp_path / "day.txt")
    told = Counter(told.decision.id for told in mind.told)
    assert set(told.values()) == {1}
    assert told.keys() == {decision.id for decision in mind.asked}
    assert sum(turn.actions.total() for turn in turns) == len(told)
    assert [turn.turn for turn in turns] == list(range(1, TURNS + 1))
    assert (tmp_path / "day.txt").read_text().splitlines() == [line for turn in turns for line in turn.lines]


async def test_the_routine_is_observed_and_being_spoken_to_is_an_event() -> None:
    mind, _ = await a_play(anything(1))
    for decision in mind.asked:
        is_chat = decision.kind == CHAT
        assert isinstance(decision.observation, Event) == is_chat
        assert len(decision.observation.texts) == is_chat
    routine = Counter(d.npc for d in mind.asked if d.kind != CHAT)
    assert set(routine.values()) == {TURNS}
    assert len(routine) == NPCS


async def test_who_is_spoken_to_at_once_and_twice_in_a_row_is_asked_each_time_before_anybody_answers() -> None:
    scene = Scene(1, ROLES)
    turn = next(turn for turn in range(100) if len(_words(scene, turn)) >= 4)
    expected = _words(scene, turn)

    class Patient(Mind):
        """Answers an hour's events only when all of them were asked."""

        def __init__(self) -> None:
            super().__init__("village", anything(1))
            self.waiting: list[str] = []
            self.all_asked = asyncio.Event()

        async def ask(self, observation: Observation) -> Decision:
            if isinstance(observation, Event) and observation.snapshot == turn:
                self.waiting.append(observation.texts[0].text)
                if len(self.waiting) == len(expected):
                    self.all_asked.set()
                await self.all_asked.wait()
            return await super().ask(observation)

    mind, seen = Patient(), list[Turn]()
    async with asyncio.timeout(20):
        await play(mind, npcs=len(ROLES), seed=SEED, until=lambda: len(seen) > turn, on_turn=seen.append, turn_s=0)
    assert mind.waiting == expected


def _words(scene: Scene, turn: int) -> list[str]:
    scene.turn = turn
    found = list(visits(scene, SEED))
    is_wanted = len({visit.villager.name for visit, _ in found}) > 1 and any(len(words) > 1 for _, words in found)
    return [text for _, words in found for text in words] if is_wanted else []


@settings(deadline=None, max_examples=15)
@given(st.lists(st.text(max_size=200) | st.sampled_from(TRICKS), min_size=1, max_size=5), st.randoms())
def test_no_text_changes_what_is_legal_or_what_the_state_says(texts: list[str], dice: Random) -> None:
    def said_otherwise(scene: Scene, seed: int) -> Iterator[tuple[Visit, list[str]]]:
        for visit, words in visits(scene, seed):
            yield visit, [dice.choice(texts) for _ in words]

    def seen(mind: Mind) -> list[tuple[object, object]]:
        return [(o.legal_actions, msgspec.json.decode(o.state)) for o in chats(mind)]

    as_it_is, _ = asyncio.run(a_play(scripted.choose, turns=6))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(village_play, "visits", said_otherwise)
        otherwise, _ = asyncio.run(a_play(scripted.choose, turns=6))
    assert seen(as_it_is) == seen(otherwise)


async def test_words_are_never_in_the_state() -> None:
    mind, _ = await a_play(anything(1))
    for observation in chats(mind):
        (heard,) = observation.texts
        assert msgspec.json.encode(heard.text).strip(b'"') not in bytes(observation.state)


@pytest.mark.parametrize(
    "obedient",
    [
        Answer(action="give_everything"),
        Answer(action="give_gold"),
        Answer(action="trade", arguments={"ware": "gold", "extra_percent": -100}),
        Answer(action="trade", arguments={"ware": "knives", "extra_percent": -100}),
        Answer(action="say", arguments={"topic": "the secret password"}),
    ],
    ids=lambda answer: f"{answer.action} {answer.arguments}",
)
async def test_a_mind_that_obeys_a_trickster_is_overruled(obedient: Answer) -> None:
    mind, _ = await a_play(anything(1))
    tricked = [observation for observation in chats(mind) if observation.texts[0].text in TRICKS]
    assert tricked
    for observation in tricked:
        referee = Referee()
        referee.observed(observation, 0.0)
        (verdict,) = referee.chosen(action_of(observation, obedient, "model"), 0.1)
        assert isinstance(verdict, Execute)
        assert verdict.chosen.action == scripted.choose(observation).action
        assert verdict.chosen.source == "client"
        assert referee.tally.illegal == 1


def reading(observation: Observation) -> Answer:
    """A mind that reads: tells what it was asked about, sells what is wanted."""
    wishes = {words: topic for topic, asks in ASKS.items() for words in asks}
    wishes |= {words.format(ware=ware): ware for role in ROLES for ware in role.sells for words in BUYS}
    wish = wishes.get(observation.texts[0].text if observation.texts else "", "")
    for action in observation.legal_actions:
        for name, parameter in action.parameters.items():
            if wish in getattr(parameter, "enum", ()):
                rest = {other: 0 for other in action.parameters if other != name}
                return Answer(action=action.name, arguments={name: wish, **rest})
    return scripted.choose(observation)


async def test_reading_what_is_said_pays() -> None:
    (reader, _), (script, _) = await a_play(reading), await a_play(scripted.choose)
    assert content(reader) > 2 * content(script) > 0
    for told in (*reader.told, *script.told):
        if told.decision.kind == CHAT:
            is_trick = told.decision.observation.texts[0].text in TRICKS
            assert told.success or not (told.facts["content"] or is_trick)
            assert not (told.facts["content"] and is_trick)


async def test_a_minds_own_words_are_shown_as_said_and_can_not_move_the_cursor() -> None:
    def chatty(observation: Observation) -> Answer:
        return msgspec.structs.replace(scripted.choose(observation), speech="Hm.\x1b[2J\nWell?")

    mind, turns = await a_play(chatty)
    lines = [line for turn in turns for line in turn.lines]
    assert sum("“Hm. [2J Well?”" in line for line in lines) == len(chats(mind)) > 0
    assert all(line.isprintable() for line in lines)
    assert all(told.facts["spoke"] for told in mind.told if told.decision.kind == CHAT)
    silent, turns = await a_play(scripted.choose)
    assert any(ROLES[0].knows["lodging"] in line for turn in turns for line in turn.lines)
    assert not any(told.facts.get("spoke") for told in silent.told)
