"""Personas: read from files with every mistake named, found for an NPC, and known by their hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from hearthmind.errors import CannotStart
from hearthmind.persona import GENES, NEUTRAL, NOBODY, Behaviour
from hearthmind.personas import BadPersonas, Personas, UnknownPersona, parse_persona, personas
from hearthmind.testing.observations import an_observation

WOLF = """\
called: Vrana of the Long Ride
traits: [proud, quick to anger]
voice: Short sentences. Never asks twice.
goals: [be feared]
knowledge: [steppefolk ride faster than anybody]
adapter: vrana@3
behaviour: {aggression: 0.9, patience: 0.2}
npcs: [realm/p0001, "realm/p*5"]
"""


def a_folder(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def test_a_persona_is_read_whole(folder: Path) -> None:
    wolf = personas(a_folder(folder, wolf=WOLF)).named("wolf")
    assert (wolf.called, wolf.adapter, wolf.goals) == ("Vrana of the Long Ride", "vrana@3", ("be feared",))
    assert wolf.behaviour == Behaviour(aggression=0.9, patience=0.2)
    assert wolf.ref == f"wolf@{hashlib.sha256(WOLF.encode()).hexdigest()[:12]}"


def test_nothing_has_to_be_said() -> None:
    persona, mistakes = parse_persona("plain", "")
    assert (persona.behaviour if persona else None, mistakes) == (NEUTRAL, [])
    assert personas(None).of(an_observation()) is NOBODY
    assert NOBODY.ref == ""


def test_the_game_says_who_it_is_and_otherwise_the_narrowest_pattern_does(folder: Path) -> None:
    found = personas(
        a_folder(
            folder,
            anybody="npcs: ['*/*']",
            riders="npcs: ['realm/p*5']",
            many="npcs: ['realm/p*']",
            one="npcs: [realm/p0005]",
            unused="voice: hushed",
        )
    )

    def who(npc: str, game: str = "realm", persona: str | None = None) -> str:
        return found.of(an_observation(npc=npc, game=game, persona=persona)).name

    assert [who("p0005"), who("p0015"), who("p0001"), who("x"), who("p0005", "village")] == [
        *("one", "riders", "many", "anybody", "anybody")
    ]
    assert who("p0005", persona="unused") == "unused"
    assert who("p0005") == "one", "it does not stay so"


def test_an_unknown_persona_is_nobody_and_told_of(folder: Path) -> None:
    told: list[UnknownPersona] = []
    found = personas(a_folder(folder, wolf=WOLF), told.append)
    assert found.of(an_observation(npc="p0001", persona="wulf")) is NOBODY
    assert "'wulf'" in str(told[0])
    assert found.strangers == len(told) == 1
    assert "is it 'wolf'" in str(told[0])
    assert "HEARTHMIND_DECISION__PERSONAS" in str(told[0])
    with pytest.raises(UnknownPersona):
        found.named("bear")


def test_every_mistake_is_named_with_its_file_and_line(folder: Path) -> None:
    wrong = "calld: x\nbehaviour:\n  aggression: 2\n  patence: 1\nnpcs: [p1]\ntraits:\n  - ok\n  - 7\n"
    a_folder(folder, wrong=wrong, worse="- a\n- b\n", fine=WOLF, broken="goals: [\n")
    (folder / "bad name.yaml").write_text("voice: loud\n")
    with pytest.raises(BadPersonas) as raised:
        personas(folder)
    said = str(raised.value)
    for line in (
        "wrong.yaml:1: wrong: nobody knows 'calld'; is it called?",
        "wrong.yaml:3: wrong.behaviour.aggression",
        "wrong.yaml:4: wrong.behaviour: nobody knows 'patence'; is it patience?",
        "wrong.yaml:5: wrong.npcs[0]",
        "wrong.yaml:8: wrong.traits[1]",
        "worse.yaml:1: worse has to be keys",
        "broken.yaml:2: this is no YAML",
        "bad name.yaml:1: 'bad name' can't be a persona's name",
    ):
        assert line in said
    assert "fine.yaml" not in said
    assert "8 mistakes" in said


def test_a_folder_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(CannotStart, match="is not there"):
        personas(folder / "nowhere")


def test_so_many_npcs_are_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hearthmind.personas.FOUND_MAX", 4)
    found = Personas()
    for number in range(20):
        found.of(an_observation(npc=f"p{number}"))
    assert len(found._found) <= 4


def test_the_genes_are_six() -> None:
    assert GENES == ("aggression", "economy", "diplomacy", "risk_tolerance", "patience", "adaptability")
