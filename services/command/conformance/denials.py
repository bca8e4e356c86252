"""What the broker refused the game, read from the broker's own log: the game itself sees a time-out at most. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hearthmind.flow import game_user
from services.command.conformance.findings import Noted

_DENIED = re.compile(
    r"user:(?P<user>[\w-]+)\" - (?P<what>Publish|Subscription) Violation - Subject \"(?P<subject>.*?)\""
)
_TOO_LARGE = re.compile(r"user:(?P<user>[\w-]+)\" - (?P<what>maximum payload exceeded: .*)")
_REFUSED = re.compile(r"authentication error(?: - User \"(?P<user>[^\"]*)\")?")


def _of_another_game(subject: str, user: str) -> str:
    game, _, rest = subject.removeprefix("game.").partition(".")
    if not rest or game_user(game) == user:
        return ""
    return f", which is of the game {game}; checked is {user.removeprefix(game_user(''))}: is --game right?"


def denials(log: str, user: str) -> Iterator[Noted]:
    """What was refused to this user, and who else could not come in."""
    for line in log.splitlines():
        if (found := _DENIED.search(line)) and found["user"] == user:
            name = "publish-denied" if found["what"] == "Publish" else "subscribe-denied"
            yield Noted(name, f"the subject {found['subject']}{_of_another_game(found['subject'], user)}")
        elif (found := _TOO_LARGE.search(line)) and found["user"] == user:
            yield Noted("too-large", f"the broker closed the connection: {found['what']}")
        elif found := _REFUSED.search(line):
            who = f"the user {found['user']!r}" if found["user"] else "a connection without a user"
            yield Noted("credentials-refused", f"{who} was refused; expected is {user!r}")
