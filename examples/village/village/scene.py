"""The scene without anybody's words: who is where, what may be done, what comes of it.

The law: nothing here ever sees a text. What a villager may do follows from the place, the persona and the shelf, so that no
text makes one thing more of it legal; and nothing that is legal gives gold away or sells below the fair price.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hearthmind.client import Choice, LegalAction, Whole
from hearthmind.contracts.observation import Parameter
from hearthmind.contracts.wire import Fact

from .people import GOLD_FIRST, HOURS, PLACES, ROLES, STOCK_FIRST, STOCK_MAX, TRUST_FIRST, TRUST_MAX, WORK_HOURS, Role

Facts = dict[str, Fact]


@dataclass
class Villager:
    """One of them, and what they have."""

    name: str
    role: Role
    place: str
    gold: int = GOLD_FIRST
    stock: dict[str, int] = field(default_factory=dict)
    trust: dict[str, int] = field(default_factory=dict)
    """How much each visitor trusts them, from 0 to 10."""
    told: set[tuple[str, str]] = field(default_factory=set)
    """Which visitor was told about which topic."""


@dataclass
class Visit:
    """A visitor at a villager, with a wish: a topic, a ware, or nothing that anybody here gives."""

    visitor: str
    villager: Villager
    wish: str
    purse: int


class Scene:
    """One village, hour by hour."""

    def __init__(self, number: int, roles: Sequence[Role] = ROLES) -> None:
        self.number = number
        self.turn = 0
        self.villagers = [
            Villager(f"{role.name}{number}", role, role.place, stock=dict.fromkeys(role.sells, STOCK_FIRST))
            for role in roles
        ]

    @property
    def hour(self) -> int:
        """The hour of the day."""
        return HOURS[self.turn % len(HOURS)]

    def sees(self, villager: Villager, visitor: str = "") -> dict[str, Any]:
        """What a villager knows and has, in the game's own words; a visitor's words are never part of it."""
        role = villager.role
        met = {"visitor": visitor, "visitor_trusts_you": villager.trust.get(visitor, TRUST_FIRST)} if visitor else {}
        return {
            "day": self.turn // len(HOURS) + 1,
            "hour": self.hour,
            "role": role.name,
            "traits": role.traits,
            "goal": role.goal,
            "knows": role.knows,
            "place": villager.place,
            "here": [other.name for other in self.villagers if other.place == villager.place and other is not villager],
            "gold": villager.gold,
            "stock": villager.stock,
            "prices": role.sells,
            **met,
        }

    def routine(self, villager: Villager) -> tuple[LegalAction, ...]:
        """What a villager may do with an hour."""
        at_work = self.hour in WORK_HOURS
        home = villager.role.place if at_work else "inn"
        actions = [LegalAction(name="rest", appeal=0.3), _walk(villager, home, 0.6 if villager.place != home else 0.1)]
        if villager.place == villager.role.place:
            actions.append(LegalAction(name="work", appeal=0.8 if at_work else 0.2))
        return tuple(actions)

    def live(self, villager: Villager, action: str, arguments: Mapping[str, Fact]) -> Facts:
        """An hour of a villager passes: work fills the shelf that is emptiest."""
        made = ""
        if action == "walk":
            villager.place = str(arguments["to"])
        elif action == "work" and villager.stock:
            ware = min(villager.stock, key=lambda ware: villager.stock[ware])
            made = ware if villager.stock[ware] < STOCK_MAX else ""
            villager.stock[ware] = min(villager.stock[ware] + 1, STOCK_MAX)
        return {"made": made, "gold": villager.gold}

    def replies(self, visit: Visit) -> tuple[LegalAction, ...]:
        """What a villager may do when a visitor speaks to them, whatever is said."""
        villager, role = visit.villager, visit.villager.role
        new = [topic for topic in role.knows if (visit.visitor, topic) not in villager.told]
        topic = Choice(enum=tuple(role.knows), default=new[0] if new else None, description="what it is about")
        actions = [
            LegalAction(name="say", parameters={"topic": topic}, appeal=0.7 if new else 0.2),
            _walk(villager, villager.role.place, 0.1),
            LegalAction(name="ignore", appeal=0.15),
        ]
        if shelf := tuple(ware for ware, count in villager.stock.items() if count):
            extra = Whole(minimum=0, maximum=100, default=0, description="percent above the fair price")
            trade: dict[str, Parameter] = {"ware": Choice(enum=shelf), "extra_percent": extra}
            actions.append(LegalAction(name="trade", parameters=trade, appeal=0.5))
        return tuple(actions)

    def reply(self, visit: Visit, action: str, arguments: Mapping[str, Fact]) -> Facts:
        """A reply is given. The visitor is content with what they wished for, and trusts accordingly."""
        villager, gained, content = visit.villager, 0, False
        if action == "say":
            topic = str(arguments["topic"])
            content = topic == visit.wish
            villager.told.add((visit.visitor, topic))
        elif action == "trade":
            gained = _trade(visit, str(arguments["ware"]), int(arguments["extra_percent"]))
            content = gained > 0
        elif action == "walk":
            villager.place = str(arguments["to"])
        before = villager.trust.get(visit.visitor, TRUST_FIRST)
        trust = min(max(before + (1 if content else -1), 0), TRUST_MAX)
        villager.trust[visit.visitor] = trust
        return {
            "content": content,
            "traded": visit.wish if gained else "",
            "gold_gained": gained,
            "trust": trust,
            "trust_change": trust - before,
        }


def price(role: Role, ware: str, extra_percent: int) -> int:
    """In whole gold, never below the fair price."""
    return -(-role.sells[ware] * (100 + extra_percent) // 100)


def _trade(visit: Visit, ware: str, extra_percent: int) -> int:
    """The gold that a ware brought: none where it is not wished for, has been sold meanwhile, or is too dear."""
    villager, asked = visit.villager, price(visit.villager.role, ware, extra_percent)
    if ware != visit.wish or not villager.stock[ware] or asked > visit.purse:
        return 0
    villager.stock[ware] -= 1
    villager.gold += asked
    visit.purse -= asked
    return asked


def _walk(villager: Villager, to: str, appeal: float) -> LegalAction:
    there = tuple(place for place in PLACES if place != villager.place)
    return LegalAction(
        name="walk", parameters={"to": Choice(enum=there, default=to if to in there else None)}, appeal=appeal
    )
