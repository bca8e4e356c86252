"""One way to connect to the broker: reconnect without limit, exit on a closed connection, no start with wrong credentials."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import nats
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg as Msg
from nats.errors import AuthorizationError
from nats.errors import Error as NatsError

from hearthmind.bus.subjects import read_any_subject
from hearthmind.errors import CannotStart, Unavailable, WrongCredentials
from hearthmind.flow import inbox_prefix
from hearthmind.settings import Broker
from hearthmind.telemetry import metrics, names

log = logging.getLogger("hearthmind.bus")

Connection = Nats
"""A connection to the broker, for those who need not know whose client it is."""

EXIT_CLOSED = 75
"""The exit status after a closed connection: whoever supervises starts the process again."""

EXIT_CONFIG = 78
"""The exit status when a start can't succeed until somebody changes a setting."""

denials: Counter[str] = Counter()
"""What the broker refused this process for lack of a permission, by reason; otherwise it looks like a time-out."""

DENIALS_TOLD_APART_MAX = 1_000
_DENIAL = re.compile(r'permissions violation for (publish|subscription) (?:to|with reply of) "(.*?)"')


class Denied(Unavailable):
    """The broker denies {user!r} the permission to publish to {subject}. flow.py says what each user may do."""


def exit_when_closed() -> None:
    """Ends the process at once: a service without its broker is of no use, and a new one starts clean."""
    log.error("the connection to the broker closed for good; exiting to be started again")
    os._exit(EXIT_CLOSED)


def connect_options(broker: Broker, name: str, on_closed: Callable[[], None] = exit_when_closed) -> dict[str, Any]:
    """The options of a connection that outlives the broker's restarts, for nats-py and for FastStream alike."""

    async def on_error(error: Exception) -> None:
        denial = _denial_of(error)
        if denial:
            _count_denial(broker.user, *denial)
        elif "uthorization" in str(error):
            log.error("the broker at %s no longer accepts %r", without_secrets(broker.url), broker.user)
        elif str(error):
            log.warning("broker: %s", error)

    async def closed() -> None:
        on_closed()

    return {
        "name": name,
        "user": broker.user or None,
        "password": broker.password or None,
        "inbox_prefix": inbox_prefix(broker.user) if broker.user else "_INBOX",
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.2,
        "connect_timeout": 2,
        "ping_interval": 5,
        "max_outstanding_pings": 2,
        "pending_size": 8 * 1024 * 1024,
        "error_cb": on_error,
        "closed_cb": closed,
    }


def _denial_of(error: Exception) -> tuple[str, str] | None:
    """What was denied and for which subject, all in the lower case that nats-py reads errors in."""
    found = _DENIAL.search(str(error).lower())
    return (found[1], found[2]) if found else None


def _count_denial(user: str, deed: str, subject: str) -> None:
    """Each one counts; each kind of them is told once, since whoever is denied tends to try again for ever."""
    text = f"{deed} of {subject}"
    denials[text if text in denials or len(denials) < DENIALS_TOLD_APART_MAX else "others"] += 1
    metrics.count(names.DENIALS)
    if denials[text] == 1:
        log.error("the broker denied %s the permission: %s. flow.py says what each user may do", user, text)


def hear_denials(nc: Nats, tell: Callable[[str], None]) -> None:
    """Tells the subject, in lower case, of each publish that the broker denies on this connection from now on."""
    before = nc._error_cb

    async def on_error(error: Exception) -> None:
        deed, subject = _denial_of(error) or ("", "")
        if deed == "publish":
            tell(subject)
        await before(error)

    nc._error_cb = on_error


async def check_credentials(broker: Broker) -> None:
    """Waits until the broker answers, and raises where it refuses the user: a wrong password must not loop for ever."""
    deadline_s = asyncio.get_running_loop().time() + broker.start_within_s
    where = where_of(broker.url)
    while True:
        try:
            probe = await nats.connect(
                broker.url,
                user=broker.user or None,
                password=broker.password or None,
                allow_reconnect=False,
                max_reconnect_attempts=1,  # otherwise 60, also at a first connection
                reconnect_time_wait=0.1,
                connect_timeout=2,
                error_cb=_quiet,
            )
        except AuthorizationError:
            raise WrongCredentials(what="The broker", where=where, user=broker.user) from None
        except Exception as error:
            if "uthorization" in str(error):
                raise WrongCredentials(what="The broker", where=where, user=broker.user) from None
            if asyncio.get_running_loop().time() > deadline_s:
                why = (
                    f"the broker at {where} did not answer within {broker.start_within_s:g} s ({error}). Is it running?"
                )
                raise CannotStart(why=why) from None
            await asyncio.sleep(0.1)
        else:
            await probe.close()
            return


async def connect(broker: Broker, name: str, on_closed: Callable[[], None] = exit_when_closed) -> Nats:
    """A connection for the hot path. Subjects are built from checked ids, so nats-py need not check them again."""
    await check_credentials(broker)
    read_any_subject()
    return await nats.connect(broker.url, **connect_options(broker, name, on_closed), skip_subject_validation=True)


def where_of(url: str) -> str:
    """The same, and refused where it can't be the address of a broker; without a word of it, since it may be secret."""
    try:
        return without_secrets(url)
    except ValueError:
        why = (
            "the broker's address can't be read; it looks like nats://127.0.0.1:4222, or nats://user:password@host:4222"
        )
        raise CannotStart(why=why) from None


def without_secrets(url: str) -> str:
    """The address as it may be shown."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"


async def _quiet(_error: Exception) -> None:
    """The probe's errors are raised, not logged."""


async def close(nc: Nats) -> None:
    """Closes a connection on purpose: what was published goes out first, and the process lives on."""
    nc._closed_cb = None
    with contextlib.suppress(NatsError, TimeoutError):
        await nc.flush(2)
    await nc.close()
