"""Who is asked in nano's lessons: nobody in particular, or somebody made up, with or without genes.

What is said of somebody is made of words that mean nothing to the teacher, in any order, so that nano learns to pass over what it
never read; the genes are what counts.
"""

from __future__ import annotations

from hearthmind.persona import GENES, Behaviour, Persona
from hearthmind.prompting import NOBODY, Mind
from realm.players import Dice

SOMEBODY, SWAYED, REMEMBERING, TOLD = 0.5, 0.6, 0.3, 0.1
"""The shares: who has a persona; who of these has genes; who remembers something; whom the house tells something."""
_SAID = """
a able against all ally always among ancient and anger axe barn battle beard before bold border brave bread
bridge brother calm captain cart cattle chief child clan clay cloak cold council cousin cruel dark daughter
dawn debt deep dog door dream duty eager elder enemy every fair faith farm father fear feast fever field fire
fisher fool forest friend frost generous gentle gift gold grave greedy green grim guest hall hammer harvest
hate hearth herd hill honest honour horse house hunger hunter in iron island joy judge keen keeper king kin
knife lake land last law lazy leader lie long lord loud loyal market marsh mayor mercy mill miller moon mother
mountain nephew never night noble north oath of old only orchard patient peace plague poor pride priest
promise proud quick quiet raider rain rich river road rock roof ruin salt scar sea secret shield short silent
silver sister slow sly smith snow soldier song son south spear stone storm strong stubborn sun sword tall tax
temple the thief timber to tower trade traitor treaty trust vain valley village vow wall war warm weak weather
west wheat widow wife wild wind winter wise with wolf wood word worried young
"""
_WORDS = tuple(_SAID.split())
_DEGREES = (0.05, 0.15, 0.3, 0.7, 0.85, 0.95)
_MEMORIES = (
    "raid on v{0:05} came off, {1} gained", "attack on v{0:05} failed, {1} fell", "p{0:04} accepted a truce",
    "p{0:04} robbed us of {1}", "p{0:04} broke a treaty", "economy came first, rank {1}", "scouts looked at v{0:05}",
)  # fmt: skip
_NOTES = (
    "You did the same three times and nothing changed: do something else.",
    "Your last answer could not be read: answer with the JSON object alone.",
    "Your last answer was not legal: choose one of the legal actions.",
)


def somebody(dice: Dice) -> Mind:
    """Whose question this is."""
    persona = _persona(dice) if dice.random() < SOMEBODY else NOBODY.persona
    recalled = tuple(_memory(dice) for _ in range(dice.integers(1, 5))) if dice.random() < REMEMBERING else ()
    notes = (_said(dice, 12) if dice.random() < 0.5 else _one(dice, _NOTES),) if dice.random() < TOLD else ()
    return Mind(persona, recalled, notes)


def _persona(dice: Dice) -> Persona:
    return Persona(
        name="somebody",
        called=_said(dice, 2).title(),
        traits=tuple(_one(dice, _WORDS) for _ in range(dice.integers(0, 4))),
        voice=_said(dice, 6) if dice.random() < 0.7 else "",
        goals=tuple(_said(dice, 8) for _ in range(dice.integers(0, 3))),
        knowledge=tuple(_said(dice, 12).capitalize() + "." for _ in range(dice.integers(0, 3))),
        behaviour=_genes(dice) if dice.random() < SWAYED else Behaviour(),
    )


def _genes(dice: Dice) -> Behaviour:
    """Some genes off the middle, or all."""
    genes = dice.permutation(GENES)[: dice.integers(1, len(GENES) + 1)].tolist()
    return Behaviour(**{gene: float(dice.choice(_DEGREES)) for gene in genes})


def _memory(dice: Dice) -> str:
    if dice.random() < 0.3:
        return _said(dice, 12)
    return _one(dice, _MEMORIES).format(*dice.integers(1, 100, 2).tolist())


def _said(dice: Dice, most: int) -> str:
    return " ".join(_one(dice, _WORDS) for _ in range(dice.integers(1, most + 1)))


def _one(dice: Dice, words: tuple[str, ...]) -> str:
    return words[int(dice.integers(len(words)))]
