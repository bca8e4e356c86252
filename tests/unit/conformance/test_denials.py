"""The broker's own log, as it says what it refused."""

from __future__ import annotations

import pytest

from services.command.conformance.denials import denials

CLIENT = '[7] 2026/01/02 13:39:14.268336 [ERR] 127.0.0.1:55244 - cid:6 - "v2.16.0:python3" - "$G/user:game_castle" - '


@pytest.mark.parametrize(
    ("line", "mistake", "words"),
    [
        (f'{CLIENT}Publish Violation - Subject "foo.bar"', "publish-denied", "foo.bar"),
        (f'{CLIENT}Subscription Violation - Subject "_INBOX.jY.*", SID 2', "subscribe-denied", "_INBOX.jY.*"),
        (f"{CLIENT}maximum payload exceeded: 600000 vs 524288", "too-large", "600000"),
        ('[ERR] 127.0.0.1:55260 - cid:7 - authentication error - User "castle"', "credentials-refused", "'castle'"),
        ("[ERR] 127.0.0.1:55262 - cid:8 - authentication error", "credentials-refused", "without a user"),
    ],
)
def test_a_line_is_a_mistake(line: str, mistake: str, words: str) -> None:
    (noted,) = denials(f"[INF] Server is ready\n{line}\n", "game_castle")
    assert noted.mistake == mistake
    assert words in noted.says


def test_a_denied_subject_of_another_game_asks_which_game_was_meant() -> None:
    line = CLIENT + 'Publish Violation - Subject "game.harbour.observation.p1.sail"'
    (noted,) = denials(line, "game_castle")
    assert "is of the game harbour; checked is castle" in noted.says


def test_what_others_are_refused_is_not_the_games_doing() -> None:
    assert list(denials(CLIENT.replace("castle", "other") + 'Publish Violation - Subject "a"', "game_castle")) == []
