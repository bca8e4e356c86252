"""Settings: one typed struct per service, read once from the environment, each value with its source.

A key is `HEARTHMIND_<SECTION>__<KEY>`; where the world has a name of its own for it (`NATS_URL`, `DATABASE_URL`), that
one counts too. With `_FILE` after it, the value is read from the file that it names: so a secret never stands in the
environment. A value that does not fit and a key that nobody knows are refused by name.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec

from hearthmind.errors import CannotStart

PREFIX = "HEARTHMIND_"
FILE = "_FILE"
"""Behind a key: the value is what that file says."""
SECRET_MAX_BYTES = 64 * 1024

STANDARD = {
    ("broker", "url"): "NATS_URL",
    ("store", "url"): "DATABASE_URL",
    ("telemetry", "otlp_endpoint"): "OTEL_EXPORTER_OTLP_ENDPOINT",
}

T = TypeVar("T", bound=msgspec.Struct)


class BadSetting(CannotStart):
    """The setting {key} is not usable: {why}. `hearthmind doctor` lists all settings with their source."""


class Broker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the broker is, and as whom to speak to it."""

    url: str = "nats://127.0.0.1:4222"
    """Its address."""
    user: str = ""
    """A service is a user of the broker under its own name, `decision` for one."""
    password: str = ""
    """That user's password; `doctor` says only whether it is set."""
    start_within_s: float = 30.0
    """How long a start waits for a broker that is not there yet."""


class Store(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where Postgres is."""

    url: str = "postgresql://127.0.0.1:5432/hearthmind"
    """Its address, with the user and password where it wants them."""
    password: str = ""
    """The password of the address's user, where it is kept apart from the address; it is filled in there."""

    def __post_init__(self) -> None:
        if self.password:
            msgspec.structs.force_setattr(self, "url", _with_password(self.url, self.password))


class Flow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the streams and consumers are made for; the same for all services of a deployment."""

    partitions: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16
    """Into how many shares the NPCs are put; at most as many decision services have work."""
    pools: tuple[str, ...] = ("rules", "nano")
    """The pools of workers that may be asked."""
    games: tuple[str, ...] = ("realm",)
    """The games that may connect."""


class Telemetry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where traces go and how many are kept."""

    sample_ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1
    """The share of decisions that is traced; whoever sees one first decides, and all others follow."""
    otlp_endpoint: str = ""
    """Where traces and metrics are sent by OTLP over HTTP, as in http://127.0.0.1:4318; empty: nowhere."""
    folder: str = ""
    """Where traces are kept as files when no endpoint is set; empty: nowhere."""
    file_mib_max: Annotated[float, msgspec.Meta(gt=0, le=4096)] = 32
    """How large the files of a process get; beyond, the oldest half is dropped."""
    log_level: str = "info"
    """From which level on lines are logged: debug, info, warning, error."""
    log_format: str = "text"
    """How they are written: text for people, or json, one object a line with trace_id and span_id where there are any."""


@dataclass(frozen=True)
class Sourced:
    """A setting as `hearthmind doctor` prints it."""

    section: str
    name: str
    value: object
    source: str


def load(section: str, kind: type[T], environ: Mapping[str, str] | None = None) -> T:
    """Reads the section of the settings from the environment."""
    environ = os.environ if environ is None else environ
    names = [field.name for field in msgspec.structs.fields(kind)]
    _refuse_unknown(section, names, environ)
    found: dict[str, object] = {}
    for field in msgspec.structs.fields(kind):
        key = _key_in_force(section, field.name, environ)
        if key is None:
            continue
        text = _text_of(key, environ)
        value: object = [part.strip() for part in text.split(",") if part.strip()] if _is_list(field.type) else text
        try:
            found[field.name] = msgspec.convert(value, field.type, strict=False)
        except msgspec.ValidationError as error:
            shown = "" if _names_a_file(key) else f" (it is {text!r})"
            raise BadSetting(key=key, why=f"{error}{shown}") from None
    return kind(**found)


def sourced(section: str, kind: type[T], environ: Mapping[str, str] | None = None) -> Iterator[Sourced]:
    """The settings of a section with where each comes from; secrets are not shown."""
    environ = os.environ if environ is None else environ
    settings = load(section, kind, environ)
    for name in kind.__struct_fields__:
        key = _key_in_force(section, name, environ)
        yield Sourced(section, name, _shown(name, getattr(settings, name)), key or "default")


def as_environment(section: str, settings: msgspec.Struct) -> dict[str, str]:
    """The settings as environment variables, for a process that is started with them."""
    pairs = (
        (f"{PREFIX}{section.upper()}__{name.upper()}", value)
        for name, value in msgspec.structs.asdict(settings).items()
    )
    return {key: ",".join(value) if isinstance(value, tuple) else str(value) for key, value in pairs}


def _key_in_force(section: str, name: str, environ: Mapping[str, str]) -> str | None:
    own, standard = f"{PREFIX}{section.upper()}__{name.upper()}", STANDARD.get((section, name), "")
    keys = (own, own + FILE, *((standard, standard + FILE) if standard else ()))
    found = [key for key in keys if environ.get(key)]
    if own in found and own + FILE in found:
        raise BadSetting(key=own, why=f"{own + FILE} is set too; keep one of them")
    return found[0] if found else None


def _names_a_file(key: str) -> bool:
    """Whether the value is what a file says; a setting that is itself called `file` names one for the service to read."""
    return key.endswith(FILE) and not key.endswith(f"_{FILE}")


def _text_of(key: str, environ: Mapping[str, str]) -> str:
    """The value, or what its file says without the end of the line."""
    if not _names_a_file(key):
        return environ[key]
    try:
        with Path(environ[key]).open(encoding="utf-8") as file:
            return file.read(SECRET_MAX_BYTES).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(key=key, why=f"its file can't be read: {error}") from None


def _shown(name: str, value: object) -> object:
    """The value without a secret in it."""
    if "password" in name and value:
        return "(set)"
    if isinstance(value, str) and "@" in value:
        try:
            secret = urlsplit(value).password
        except ValueError:
            return "(can't be read)"
        return value.replace(f":{secret}@", ":…@") if secret else value
    return value


def _with_password(url: str, password: str) -> str:
    """The address with the password of its user; one that it has already stays, and so does what can't be an address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    user, at, host = parts.netloc.rpartition("@")
    if not at or ":" in user:
        return url
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))


def _refuse_unknown(section: str, names: Iterable[str], environ: Mapping[str, str]) -> None:
    start = f"{PREFIX}{section.upper()}__"
    known = [start + name.upper() + end for name in names for end in ("", FILE)]
    for key in environ:
        if key.startswith(start) and key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise BadSetting(key=key, why=f"nobody knows it{f'; is it {near[0]}?' if near else ''}")


def _is_list(kind: object) -> bool:
    return getattr(kind, "__origin__", None) is tuple
