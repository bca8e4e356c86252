"""Bringing a model's files to this machine: from the hub, from a folder, or through an Ollama server.

Each says first how much is to come and how much room there is, and refuses what does not fit. Broken off, it goes on where it
stopped when the same is asked again; from the hub, with the file that was under way. Afterwards the engines need no network.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from hearthmind.errors import HearthmindError, Unavailable
from hearthmind.models import Model
from services.inference_worker.engines.files import cache, is_hub_name, kept_at, missing_in

NEEDLESS = (
    *("consolidated*", "params.json", "original/*"),  # the same weights once more, in their maker's own layout
    *(
        "*.gguf",
        "*.pth",
        "*.h5",
        "*.msgpack",
        "*.ot",
        "*.tflite",
        "onnx/*",
        "openvino/*",
        "coreml/*",
        ".git*",
        ".cache/*",
    ),
)
"""Files that no engine of ours reads."""
PICKLED = ("*.bin", "*.pt")
"""Weights that are needed only where there are none as safetensors."""
ROOM_LEFT_BYTES = 10**9
CHUNK_BYTES = 16 * 2**20


class CannotFetch(HearthmindError):
    """{model} can't be fetched: {why}"""


class BrokenOff(Unavailable):
    """{model} was not fetched whole: {why}. Type the same command again: it goes on where it stopped."""


Say = Callable[[str], None]


def progress(console: Console) -> Progress:
    """How far it is."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=console
    )


def announce(model: str, what: str, size: int, to_come: int, place: Path, mover: str, say: Say) -> None:
    """Says how large it is and how much room there is; refuses what does not fit. `mover` is what names another place."""
    there = next(parent for parent in (place, *place.resolve().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    say(f"{what}: {gb(size)}, of which {gb(to_come)} are to come; {gb(free)} are free at {there}")
    if to_come + ROOM_LEFT_BYTES > free:
        why = (
            f"it wants {gb(to_come + ROOM_LEFT_BYTES)} of room at {there}: make room, or have {mover} name another disk"
        )
        raise CannotFetch(model=model, why=why)


def gb(size: int) -> str:
    """A size for people, as the hub counts."""
    return f"{size / 1e9:.1f} GB" if size >= 10**8 else f"{size / 1e6:.1f} MB"


# ---- from the hub ----------------------------------------------------------------------------------------------------


def from_hub(model: Model, say: Say) -> Path:
    """Fetches it into the hub's own cache, where every program of this user finds it."""
    try:
        hub = import_module("huggingface_hub")
    except ImportError:
        why = "that needs the library huggingface_hub, and `./just models` installs it; or bring a folder with --from"
        raise CannotFetch(model=model.name, why=why) from None
    try:
        listed = hub.snapshot_download(model.path, dry_run=True, ignore_patterns=list(NEEDLESS))
        is_safe = any(each.filename.endswith(".safetensors") for each in listed)
        needless = [*NEEDLESS, *(PICKLED if is_safe else ())]
        wanted = [each for each in listed if not _matches(each.filename, needless)]
        size = sum(each.file_size or 0 for each in wanted)
        to_come = sum(each.file_size or 0 for each in wanted if each.will_download)
        announce(model.name, f"{model.path} in {len(wanted)} files", size, to_come, cache(), "HF_HOME", say)
        return Path(hub.snapshot_download(model.path, ignore_patterns=needless))
    except Exception as error:  # the library's own and those of what it asks with
        if isinstance(error, HearthmindError):
            raise
        raise _refusal(model, error) from error


def _refusal(model: Model, error: Exception) -> HearthmindError:
    """What the hub's refusal means, by the errors that led to it."""
    kinds: set[str] = set()
    cause: BaseException | None = error
    while cause is not None:
        kinds |= {kind.__name__ for kind in type(cause).__mro__}
        cause = cause.__cause__ or cause.__context__
    if "GatedRepoError" in kinds:
        why = f"its licence has to be accepted at https://huggingface.co/{model.path}; then `hf auth login`, or set HF_TOKEN"
        return CannotFetch(model=model.name, why=why)
    if "OfflineModeIsEnabled" in kinds:
        return CannotFetch(model=model.name, why="HF_HUB_OFFLINE forbids to ask the hub; unset it")
    if kinds & {"RepositoryNotFoundError", "HFValidationError"}:
        why = f"the hub has no {model.path!r} that everybody may see: correct `path`, or set HF_TOKEN if it is private"
        return CannotFetch(model=model.name, why=why)
    said = str(error).strip().splitlines() or [type(error).__name__]
    return BrokenOff(model=model.name, why=said[0][:300].rstrip("."))


# ---- from a folder ---------------------------------------------------------------------------------------------------


def from_folder(model: Model, source: Path, console: Console, say: Say) -> Path:
    """Copies it to where the model is declared: its own folder, or the place of its name in the hub's cache."""
    if missing := missing_in(source, model):
        raise CannotFetch(model=model.name, why=f"{source} lacks {', '.join(missing)}")
    files = list(_worth(source))
    size = sum(path.stat().st_size for path in files)
    listed = "\n".join(f"{path.relative_to(source)} {path.stat().st_size}" for path in files)
    version = hashlib.sha256(listed.encode()).hexdigest()[:40]  # as long as the hub's own
    named = is_hub_name(model.path)
    target = kept_at(model.path) / "snapshots" / version if named else Path(model.path)
    to_come = {path: _lacks(path, target / path.relative_to(source)) for path in files}
    mover = "HF_HOME" if named else "`path`"
    announce(model.name, f"{source} in {len(files)} files", size, sum(to_come.values()), target, mover, say)
    with progress(console) as shown:
        task = shown.add_task(model.name, total=sum(to_come.values()))
        for path in files:
            if to_come[path] or not (target / path.relative_to(source)).exists():
                _copy(path, target / path.relative_to(source), lambda done: shown.advance(task, done))
    if named:
        main = kept_at(model.path) / "refs" / "main"
        main.parent.mkdir(parents=True, exist_ok=True)
        main.write_text(version)
    return target


def _worth(source: Path) -> Iterator[Path]:
    """The files that an engine reads."""
    files = sorted(path for path in source.rglob("*") if path.is_file())
    names = {path: path.relative_to(source).as_posix() for path in files}
    needless = [*NEEDLESS, *(PICKLED if any(path.suffix == ".safetensors" for path in files) else ())]
    return (path for path in files if not _matches(names[path], needless))


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _lacks(path: Path, target: Path) -> int:
    """How much of a file is still to be copied."""
    size = path.stat().st_size
    if target.is_file() and target.stat().st_size == size:
        return 0
    part = _part(target)
    return size - min(size, part.stat().st_size if part.is_file() else 0)


def _copy(path: Path, target: Path, done: Callable[[int], None]) -> None:
    """Copies a file, from where an earlier try broke off."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _part(target)
    with path.open("rb") as read, part.open("ab") as write:
        if part.stat().st_size > path.stat().st_size:
            write.truncate(0)
        read.seek(part.stat().st_size)
        while chunk := read.read(CHUNK_BYTES):
            write.write(chunk)
            done(len(chunk))
    part.replace(target)
