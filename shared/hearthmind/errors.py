"""The one root of all errors. An error's docstring is its message: what is wrong and what to do, with the facts filled in."""

from __future__ import annotations

import inspect

EXIT_AGAIN = 75
"""The exit status of a process that may do its work when it is started again: whoever supervises does that after a pause."""

EXIT_CONFIG = 78
"""The exit status when a start can't succeed until somebody changes a setting."""


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


class CannotStartYet(CannotStart):
    """Cannot start: {why}"""


class WrongCredentials(CannotStart):
    """{what} at {where} refused the credentials of {user!r}. Check the user and password in the settings."""


def exit_status_of(error: Exception) -> int | None:
    """How a process ends that is ended by an error of ours: what time may mend is tried again. None: it is a bug."""
    if isinstance(error, CannotStartYet | Unavailable):
        return EXIT_AGAIN
    return EXIT_CONFIG if isinstance(error, CannotStart) else None


def alone(error: Exception) -> Exception:
    """The error itself, where groups of tasks wrapped it and no other."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
