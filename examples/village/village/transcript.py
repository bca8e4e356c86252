"""A conversation as lines to read. What people and minds say is shown without what could move a terminal's cursor."""

from __future__ import annotations

from collections.abc import Iterator

from hearthmind.client import Decision

from .people import HOURS
from .scene import Facts, Scene, Visit, price


def clock(scene: Scene) -> str:
    """The day and the hour."""
    return f"Day {scene.turn // len(HOURS) + 1}, {scene.hour:02}:00"


def exchange(visit: Visit, place: str, text: str, reply: Decision, led_to: Facts) -> Iterator[str]:
    """What a visitor said, what the villager did, and how that was liked."""
    name, mood = visit.villager.name, "content" if led_to["content"] else "not content"
    yield f"  {visit.visitor} to {name} ({place}): “{printable(text)}”"
    yield f"    {name} {_does(visit, reply, led_to)}   [{visit.visitor} is {mood}, trust {led_to['trust']}]"


def _does(visit: Visit, reply: Decision, led_to: Facts) -> str:
    """The mind's own words where it has any, else the game's for the topic."""
    role, arguments = visit.villager.role, reply.arguments
    words = reply.speech or (role.knows[str(arguments["topic"])] if reply.action == "say" else "")
    said = f"says “{printable(words)}”" if words else ""
    if reply.action == "say":
        return said
    if reply.action == "trade":
        ware = str(arguments["ware"])
        end = "sold" if led_to["traded"] else "no deal"
        done = f"offers {ware} for {price(role, ware, int(arguments['extra_percent']))} gold: {end}"
    else:
        done = f"walks to the {arguments['to']}" if reply.action == "walk" else "takes no notice"
    return f"{said} and {done}" if said else done


def printable(text: str) -> str:
    """The text in one line, without control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
