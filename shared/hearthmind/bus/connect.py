"""One way to connect to the broker: reconnect without limit, exit on a closed connection, no start with wrong credentials."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import time
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
from hearthmind.errors import EXIT_AGAIN, CannotStart, CannotStartYet, Unavailable, WrongCredentials
from hearthmind.flow import inbox_prefix
from hearthmind.settings import Broker
from hearthmind.telemetry import metrics, names

log = logging.getLogger("hearthmind.bus")

denials: Counter[str] = Counter()
"""What the broker refused this process for lack of a permission, by reason."""

DENIALS_TOLD_APART_MAX = 1_000
DENIED_FOR_S = 15.0
"""So long a denied pull counts as denied: whoever pulls asks again sooner."""
_PULL = "$js.api.consumer.msg.next."
_DENIAL = re.compile(r'permissions violation for (publish|subscription) (?:to|with reply of) "(.*?)"')


class Denied(Unavailable):
    """The broker denies {user!r} the permission to publish to {subject}. flow.py says what each user may do."""


class Connection(Nats):
    """A connection to the broker, whose requests need no time-out to learn that they are denied."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: dict[str, set[asyncio.Future[None]]] = {}
        self._denied_pull, self._denied_until_s = "", 0.0

    @property
    def denied_pull(self) -> str:
        """From where the broker now denies to pull, in lower case: no error tells whoever waits for those messages."""
        return self._denied_pull if time.monotonic() < self._denied_until_s else ""

    async def connect(self, *arguments: Any, **options: Any) -> None:
        """Connects, and hears denials from then on."""
        await super().connect(*arguments, **options)
        hear_denials(self, self._on_denied)

    async def request(self, subject: str, *arguments: Any, **options: Any) -> Msg:
        """Asks and waits for the answer; raises `Denied` as soon as the broker says that this user may not ask."""
        denied: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asked = self._asked.setdefault(subject.lower(), set())
        asked.add(denied)
        answering = asyncio.ensure_future(super().request(subject, *arguments, **options))
        either: tuple[asyncio.Future[Any], ...] = (answering, denied)
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                return answering.result()
            raise Denied(user=self.options["user"], subject=subject)
        finally:
            answering.cancel()
            asked.discard(denied)
            if not asked:
                self._asked.pop(subject.lower(), None)

    def _on_denied(self, subject: str) -> None:
        if subject.startswith(_PULL):
            self._denied_pull, self._denied_until_s = subject.removeprefix(_PULL), time.monotonic() + DENIED_FOR_S
        for denied in self._asked.get(subject, ()):
            if not denied.done():
                denied.set_result(None)


def exit_when_closed() -> None:
    """Ends the process at once: a service without its broker is of no use, and a new one starts clean."""
    log.error("the connection to the broker closed for good; exiting to be started again")
    os._exit(EXIT_AGAIN)


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
                raise CannotStartYet(why=why) from None
            await asyncio.sleep(0.1)
        else:
            await probe.close()
            return


async def connect(broker: Broker, name: str, on_closed: Callable[[], None] = exit_when_closed) -> Connection:
    """A connection for the hot path. Subjects are built from checked ids, so nats-py need not check them again."""
    await check_credentials(broker)
    read_any_subject()
    nc = Connection()
    await nc.connect(broker.url, **connect_options(broker, name, on_closed), skip_subject_validation=True)
    return nc


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
