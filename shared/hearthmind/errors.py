"""The one root of all errors. An error's docstring is its message: what is wrong and what to do, with the facts filled in."""

from __future__ import annotations

import inspect


class HearthmindError(Exception):
    """Something went wrong in Hearthmind."""

    def __init__(self, **facts: object) -> None:
        self.facts = facts
        message = " ".join(inspect.cleandoc(type(self).__doc__ or "").split())
        super().__init__(message.format_map(facts))


class Refused(HearthmindError):
    """Something that came in is not acceptable, and trying again will not change that."""


class BadId(Refused):
    """{value!r} is not a valid {kind}: use 1 to 64 letters, digits, `_` or `-`. It becomes part of a subject."""


class Malformed(Refused):
    """The {message} can't be read: {why}. Compare it with the message's schema in docs/reference/messages.md."""


class TooLarge(Refused):
    """The {message} of {size_bytes} bytes is over the limit of {limit_bytes}. Send less state, or raise the setting."""


class UnknownVersion(HearthmindError):
    """The {message} has the major version {version}, but this side reads {known}. Deploy the readers first."""


class Unavailable(HearthmindError):
    """{what} is not available: {why}. It is tried again."""


class CannotStart(HearthmindError):
    """Cannot start: {why}"""


class WrongCredentials(CannotStart):
    """{what} at {where} refused the credentials of {user!r}. Check the user and password in the settings."""
