"""One run: the platform on this machine, the Realm played by it, a plan of faults, and the laws at the end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from nats.aio.client import Client as Nats

from hearthmind.bus.accounts import PROVISION
from hearthmind.bus.connect import close
from hearthmind.bus.connect import connect as connect_to_broker
from hearthmind.client import connect
from hearthmind.contracts.outcome import CLIENT
from hearthmind.embedded import postgres
from hearthmind.settings import Flow
from hearthmind.store.ingest import DETAIL_WAIT_S
from realm.play import play
from services.command.platform import Options

from .battered import Battered
from .breaks import Break
from .disk import Disk
from .havoc import Happened, Havoc
from .hostile import GAME as HOSTILE
from .laws import Account, Kept, broken, read, slow
from .ledger import NEVER_ALONE, Alone, Ledger
from .plan import NATS, POSTGRES, PROCESSES, PROXIED, Fault

TRIAGE = ("combat=rules_scripted", "*=rules")
"""One worker is enough to be broken."""
GAME = "realm"
SETTLED_WITHIN_S = 600.0
"""As long as something moves; a slow machine may have much to catch up with."""
STILL_S = DETAIL_WAIT_S + 5.0
"""When no message is left and nothing changes for so long, nothing will: no outcome waits any more for a detail."""
DISK_MIB = {NATS: 256, POSTGRES: 1024}
NEEDS_DISK = ("disk", "power")


@dataclass(frozen=True)
class Order:
    """What was asked for."""

    plan: tuple[Fault, ...]
    seconds: float
    seed: int = 1
    npcs: int = 40
    turn_s: float = 0.25
    answer_within_s: float = 2.0
    without: Break | None = None


@dataclass(frozen=True)
class Report:
    """What happened, and which laws it broke."""

    happened: tuple[Happened, ...]
    restarts: Mapping[str, int]
    account: Account
    by_source: Mapping[str, int]
    seconds: float
    lag_s: float
    resent: int
    broken: tuple[str, ...] = field(default=())
    alone: Alone = NEVER_ALONE

    @property
    def messages(self) -> int:
        """How many messages the bus carried at least: question and outcome, action and its detail, request and reply."""
        each = {CLIENT: 2, "model": 6}
        return sum(number * each.get(source, 4) for source, number in self.by_source.items())

    @property
    def slowest_s(self) -> float:
        """The longest that the game waited for an action."""
        return max((each.took_s for each in self.account.executed.values()), default=0.0)


async def run(order: Order, folder: Path, say: Callable[[str], None] = lambda _: None) -> Report:
    """Plays and breaks, waits until all is quiet, and judges."""
    without = order.without or Break(())
    kinds = {fault.kind for fault in order.plan}
    with _disks(folder, kinds) as disks:
        options = Options(
            folder, Flow(games=(GAME, HOSTILE)), without.sync_interval, sample_ratio=0.0, decisions=2, triage=TRIAGE
        )
        options = replace(options, triage=TRIAGE)
        platform = Battered(options, say, PROXIED if "proxy" in kinds else (), without.instead)
        async with platform.running():
            for disk in disks.values():
                await asyncio.to_thread(disk.sync)
            if without.in_database:
                without.in_database(platform.connection.database_url)
            return await _play(order, platform, disks, say)


@contextmanager
def _disks(folder: Path, kinds: Iterable[str]) -> Iterator[dict[str, Disk]]:
    """A disk each for broker and database, where a fault needs them; the database's place elsewhere is removed at the end."""
    database = folder / POSTGRES
    places = {NATS: folder / NATS, POSTGRES: postgres.elsewhere(database)}
    with ExitStack() as mounted:
        mounted.callback(postgres.remove, database)
        needed = places if set(kinds) & set(NEEDS_DISK) else {}
        yield {
            name: mounted.enter_context(Disk(folder / f"{name}.image", place, DISK_MIB[name]).mounted())
            for name, place in needed.items()
        }


async def _play(order: Order, platform: Battered, disks: Mapping[str, Disk], say: Callable[[str], None]) -> Report:
    began_s = time.monotonic()
    address = platform.address_of(GAME)
    async with connect(address, game=GAME, journal=platform.folder / "journal.jsonl") as mind:
        ledger = Ledger(mind)
        mind.on_decision = ledger.decided
        havoc = Havoc(platform, ledger, disks, say)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(ledger.watch_lag())
            wreaking = group.create_task(havoc.carry_out(order.plan))
            await play(
                mind,
                npcs=order.npcs,
                seed=order.seed,
                until=lambda: wreaking.done() and time.monotonic() >= began_s + order.seconds,
                turn_s=order.turn_s,
                answer_within_s=order.answer_within_s,
                episode=f"chaos-{order.seed}",
            )
            watching.cancel()
        seconds = time.monotonic() - began_s
        say(f"played for {seconds:.0f} s; waiting until all is quiet")
        account = await _settled(platform, ledger, havoc)
        return Report(
            tuple(sorted(havoc.happened, key=lambda each: each.began_s)),
            {name: platform.supervisor.restarts(name) for name in PROCESSES},
            account,
            dict(Counter(mind.tally.by_source)),
            seconds,
            ledger.lag_s,
            mind.resent,
            (*broken(account), *slow(havoc.happened)),
            havoc.alone,
        )


async def _settled(platform: Battered, ledger: Ledger, havoc: Havoc) -> Account:
    """The account when every law holds, or when nothing is under way any more."""
    nc = await connect_to_broker(platform.connection.broker(PROVISION), "chaos")
    try:
        ends_s, still_since_s, before = time.monotonic() + SETTLED_WITHIN_S, time.monotonic(), None
        while True:
            kept, letters = await asyncio.to_thread(read, platform.connection.database_url, GAME)
            account = _account(platform, ledger, havoc, kept, letters)
            now_s = time.monotonic()
            moved = (len(kept), sum(row.experiences for row in kept.values()), len(account.unconfirmed))
            if moved != before or not await _is_quiet(nc):
                still_since_s, before = now_s, moved
            if not broken(account) or now_s >= min(ends_s, still_since_s + STILL_S):
                return account
            await asyncio.sleep(0.5)
    finally:
        await close(nc)


async def _is_quiet(nc: Nats) -> bool:
    """Whether no message waits for the reward service or is in its hands."""
    js = nc.jetstream(timeout=5)
    waiting = [await js.consumer_info(stream, "reward") for stream in ("EXPERIENCE", "DEAD")]
    return not any(each.num_pending or each.num_ack_pending for each in waiting)


def _account(
    platform: Battered, ledger: Ledger, havoc: Havoc, kept: Mapping[str, Kept], letters: tuple[str, ...]
) -> Account:
    tally = ledger.mind.tally
    return Account(
        observations=tally.observations - tally.replaced,
        executed=ledger.executed,
        reported=ledger.mind.outcomes,
        unconfirmed=frozenset(ledger.unconfirmed),
        kept=kept,
        dead_letters=letters,
        twice=tuple(ledger.twice),
        illegal=tuple(ledger.illegal),
        refused=tally.illegal,
        overdue=tuple(ledger.overdue()),
        taken=tuple(havoc.taken),
        not_alive=tuple(name for name in PROCESSES if platform.supervisor.pid(name) is None),
    )
