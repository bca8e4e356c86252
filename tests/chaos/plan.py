"""What goes wrong and when, drawn from a seed. The same seed and choices give the same plan, so that any run can be repeated."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import msgspec

GAME = "game"
NATS, POSTGRES = "nats", "postgres"
SERVICES = ("decision", "decision-2", "inference_worker", "reward")
PROCESSES = (NATS, POSTGRES, *SERVICES)
MACHINE = "machine"
"""All processes at once, with the disks of broker and database; the game is on another machine."""

BEHIND_THE_GAME = (NATS, POSTGRES, "inference_worker")
"""Without these a game is alone."""

NEIGHBOUR = "neighbour"
"""Another game of the same platform."""

DROP, DELAY, HALF_OPEN = "drop", "delay", "half-open"
PROXIED = (GAME, "decision", "inference_worker", "reward")
"""Whose connections to the broker lead through a proxy, where the plan has any use for it."""

TARGETS: dict[str, tuple[tuple[str, str], ...]] = {
    "kill": tuple((name, "") for name in PROCESSES),
    "stop": tuple((name, "") for name in PROCESSES),
    "restart": tuple((name, "") for name in PROCESSES),
    "proxy": tuple((party, way) for party in PROXIED for way in (DROP, DELAY, HALF_OPEN)),
    "disk": ((NATS, ""),),
    "folder": ((NATS, ""),),
    "away": ((NATS, ""), (POSTGRES, "")),
    "dark": ((GAME, ""),),
    "power": ((MACHINE, ""),),
    "hostile": ((NEIGHBOUR, ""),),
}
"""By kind of fault whom it can hit, and in which way."""

KINDS = tuple(TARGETS)

STAYS_AWAY = ("away", "dark")
_LASTS_S = {"stop": (1.0, 8.0), "proxy": (1.0, 6.0), "disk": (2.0, 6.0), "power": (0.5, 2.0)}


class Fault(msgspec.Struct, frozen=True):
    """One thing that goes wrong."""

    at_s: float
    kind: str
    target: str
    way: str = ""
    lasts_s: float = 0.0

    def __str__(self) -> str:
        way = f" ({self.way})" if self.way else ""
        lasts = f" for {self.lasts_s:.1f} s" if self.lasts_s else ""
        return f"{self.kind} {self.target}{way}{lasts}"


def draw(seed: int, seconds: float, kinds: Iterable[str], every_s: float, away_s: float = 10.0) -> tuple[Fault, ...]:
    """The plan of a seed: about one fault in `every_s`; nobody is hit again before everybody's turn has come."""
    dice = random.Random(seed)
    deck = _endless(dice, [(kind, *whom) for kind in sorted(set(kinds)) for whom in TARGETS[kind]])
    faults: list[Fault] = []
    at_s = every_s * dice.uniform(0.5, 1.0)
    for kind, target, way in deck:
        if at_s >= seconds:
            return tuple(faults)
        lasts_s = away_s if kind in STAYS_AWAY else dice.uniform(*_LASTS_S.get(kind, (0.0, 0.0)))
        faults.append(Fault(int(at_s * 100) / 100, kind, target, way, round(lasts_s, 2)))
        at_s += every_s * dice.uniform(0.5, 1.5) + (away_s if kind in STAYS_AWAY else 0.0)
    return tuple(faults)


def _endless(dice: random.Random, cards: list[tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
    while cards:
        dice.shuffle(cards)
        yield from cards
