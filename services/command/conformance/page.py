"""docs/reference/check-game.md: what is played, and every mistake that can be found."""

from __future__ import annotations

from collections.abc import Iterator

from services.command.conformance.mistakes import GROUPS, Mistake

INTRODUCTION = """# Check a game

`hearthmind check-game` plays the platform's part against a game of yours and lists what is wrong. It starts a broker of its
own, with the streams of the platform and a user for the game, and neither Postgres nor a service. Whatever speaks the
protocol can be checked, in any language. This page is written by `./just reference`, and a test keeps it in step.

## Run it

Let the game play without an end; the check ends it. Save this as `watch.py`:

```python
import asyncio
import sys

from hearthmind.client import Choice, LegalAction, connect

WALK = LegalAction(name="walk", parameters={"to": Choice(enum=("gate", "tower", "hall"))})


async def main(address: str) -> None:
    async with connect(address, game="castle") as mind:
        for hour in range(100_000):
            decision = await mind.observe(
                npc="guard",
                kind="patrol",
                snapshot=hour,
                legal_actions=[WALK, LegalAction(name="wait")],
                answer_within_s=0.5,
            )
            await mind.report(decision, success=True, facts={"seen": hour % 3})
            await asyncio.sleep(0.05)


asyncio.run(main(sys.argv[1]))
```

```sh
.venv/bin/hearthmind check-game --game castle -- .venv/bin/python watch.py '{address}'
```

```text
passed    the platform answers at once
passed    the platform stays silent
8 of 8 acts passed, 0 failed, 0 not tried; 0 errors, 0 warnings
The game keeps its part.
```

What follows `--` is started with the address in place of `{address}` and in the environment as `NATS_URL`. Without it, the
check prints the address and waits for the game to connect; the address stays the same from run to run. The check is over
when all acts are done, at the latest after `--seconds` (30), counted from the game's first word. `--json` prints one object.

The exit status is 0 without errors, 1 with, 2 where an argument is wrong, and 78 where the broker can't start.

## What is played

One decision at a time; all others are answered at once. What the game does is read from its outcomes.

| the platform | and the game has to |
| --- | --- |
| answers at once | execute whatever it offered, with each parameter at its ends and each word of an `enum` |
| answers just before the deadline | still execute it |
| stays silent | go on with a legal action of its own, and report it with `by` set to `client` |
| answers after the deadline | not execute it |
| answers twice, and answers what is over | execute the first action of a decision, and none of a decision that has ended |
| answers in words of the future | execute an action with unknown fields and an unknown `source` |
| confirms outcomes late | send outcomes again, the same bytes under another message id, until they are confirmed |
| is away for a moment | reconnect and go on; the broker is ended and started again |

An act is *not tried* where the game gave no occasion: the time was over, the deadline is longer than the time left, each
observation was replaced by a newer one. A longer `--seconds` helps in most cases.

## What is found

An *error* breaks a promise of the protocol, or the platform refuses the message. With a *warning* the game works, and not as
well as it could. Each comes with its first example and how often it was seen.
"""


def check_game_as_markdown() -> str:
    """The page."""
    lines = [INTRODUCTION]
    for group, mistakes in GROUPS.items():
        lines += [f"### {group}", "", *_table(mistakes), ""]
    return "\n".join(lines).rstrip() + "\n"


def _table(mistakes: tuple[Mistake, ...]) -> Iterator[str]:
    yield "| name | level | means | what to do |"
    yield "| --- | --- | --- | --- |"
    for each in mistakes:
        yield f"| `{each.name}` | {each.level} | {each.means} | {each.do} |"
