"""The declared models: one YAML file says what runs where, and a worker is told just a model's name.

A model's name begins with its engine: `vllm_`, `hf_`, `onnx_`, `litellm_`, `policy_`, `rules_`. The whole file is read before
anything starts; every mistake in it is named at once, with its line. Whether a model's files are there is asked only of the
one that is to run.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
import yaml

from hearthmind.contracts.wire import Id
from hearthmind.errors import CannotStart
from hearthmind.settings import load
from hearthmind.typed_yaml import Mistake, Reading, near

DECLARED = Path(__file__).parents[2] / "infra" / "models.yaml"
"""Where the models are declared that come with this checkout."""
FILE_MAX_BYTES = 1024 * 1024
NAME = re.compile(r"[a-z]+_[A-Za-z0-9_-]+")

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Slots = Annotated[int, msgspec.Meta(ge=1, le=4096)]
Context = Annotated[int, msgspec.Meta(ge=16, le=10_000_000)]
EnvironmentName = Annotated[str, msgspec.Meta(pattern="^([A-Z][A-Z0-9_]*)?$")]
Url = Annotated[str, msgspec.Meta(pattern="^(https?://[^\\s@]+)?$")]


class BadModels(CannotStart):
    """The models' file has {count}: {mistakes}"""


class UnknownModel(CannotStart):
    """No model is called {name!r}{near}. It is declared in {file}, which has {known}."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The scripted mind has nothing to set."""


class Vllm(msgspec.Struct, frozen=True, kw_only=True):
    """How vLLM runs a model."""

    gpu_memory_share: Share = 0.9
    """The share of the GPU's memory that it takes; lower it when it runs out of memory at the start."""
    context: Context = 4096
    """How many tokens a prompt and its answer may have together; lower it when memory is short."""
    dtype: str = "auto"
    """How numbers are kept: `auto` is what the model's files say; `float16`, `bfloat16`, `float32`."""
    quantisation: str = ""
    """How the weights are packed, as in `awq`, `gptq`, `fp8`, `bitsandbytes`; empty: as the model's files say."""
    tensor_parallel: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    """Over how many GPUs one model is spread."""
    device: str = ""
    """Which GPUs this worker sees, as in `0` or `0,1`; empty: those that the process is given."""
    slots: Slots = 256
    """How many requests it works on at once."""
    adapters_max: Annotated[int, msgspec.Meta(ge=0, le=256)] = 8
    """How many adapters it holds at once; 0 saves their memory."""
    adapter_rank_max: Annotated[int, msgspec.Meta(ge=1, le=512)] = 16
    """The largest rank of an adapter."""
    eager: bool = False
    """Starts in seconds instead of minutes, and runs slower: no graphs are captured."""
    cpu_cache_gib: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """What the CPU flavour takes for its cache."""


class Hf(msgspec.Struct, frozen=True, kw_only=True):
    """How transformers runs a model."""

    context: Context = 4096
    """How many tokens a prompt and its answer may have together."""
    dtype: str = "auto"
    """How numbers are kept: `auto` is what the model's files say; `float16`, `bfloat16`, `float32`."""
    device: str = "auto"
    """`auto` is a GPU where there is one; `cpu`, `cuda:0`."""
    slots: Slots = 16
    """How many requests are one batch at most."""
    adapters_max: Annotated[int, msgspec.Meta(ge=0, le=256)] = 8
    """How many adapters it holds at once."""


class Onnx(msgspec.Struct, frozen=True, kw_only=True):
    """How ONNX Runtime runs a model."""

    context: Context = 2048
    """How many tokens a prompt and its answer may have together; each request under way holds memory for all of them."""
    threads: Count = 0
    """How many threads work on a token; 0: as many as there are cores. A few million parameters are quickest with 1."""
    slots: Slots = 16
    """How many requests it takes at once; it answers them in the order of their priority."""
    prefixes: Annotated[int, msgspec.Meta(ge=0, le=64)] = 4
    """How many prompts it remembers, so that it need not read again what the next one begins with."""
    adapters_max: Annotated[int, msgspec.Meta(ge=0, le=256)] = 8
    """How many adapters it holds at once; the model has to be exported for them."""


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One server that answers for a model, here or far away."""

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    """What the provider calls the model."""
    url: Url = ""
    """Any server that speaks the OpenAI protocol, up to and with `/v1`; empty: LiteLLM finds the provider by the model."""
    key_env: EnvironmentName = ""
    """The environment variable that holds the key; with `_FILE` behind its name, a file that does. Never the key itself."""
    schema: bool = True
    """Whether it obeys a JSON schema; where it doesn't, it is told the schema in words."""
    usd_per_million_in: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """What a million tokens of prompts cost; where nothing is said, LiteLLM's own list counts where it has the model."""
    usd_per_million_out: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """What a million tokens of answers cost."""
    requests_per_minute: Count = 0
    """No more than so many are sent; 0: no limit."""
    tokens_per_minute: Count = 0
    """No more than so many tokens, in and out; 0: no limit."""


class Litellm(msgspec.Struct, frozen=True, kw_only=True):
    """How models on other servers are asked."""

    providers: Annotated[tuple[Provider, ...], msgspec.Meta(min_length=1, max_length=16)]
    """Who is asked, in this order: the next one when one fails or rests."""
    slots: Slots = 64
    """How many requests are under way at once."""
    tries: Annotated[int, msgspec.Meta(ge=1, le=10)] = 2
    """How often a provider is asked before the next one is."""
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 20.0
    """How long one try may take."""
    failures_max: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    """After so many failures in a row a provider rests."""
    rest_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 10.0
    """How long it rests, before a single request tries whether it is well again."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent that learned a game plays it; its `path` is the file that it learned into."""

    agent: Id
    """Who plays: a name among the installed agents, as in `poker`."""
    slots: Slots = 64
    """How many requests it takes at once; it answers them in the order of their priority."""


Settings = Rules | Vllm | Hf | Onnx | Litellm | Policy
ENGINES: Mapping[str, type[Settings]] = MappingProxyType(
    {"vllm": Vllm, "hf": Hf, "onnx": Onnx, "litellm": Litellm, "policy": Policy, "rules": Rules}
)
FROM_FILES = ("vllm", "hf", "onnx")
"""Engines that need a model's files."""
PATHS = MappingProxyType(
    dict.fromkeys(FROM_FILES, "the model's folder, or its name on the hub") | {"policy": "the file of a checkpoint"}
)
"""What `path` is, for the engines that can't do without."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One declared model."""

    name: Id
    path: str = ""
    """A folder, relative to the models' file when it begins with a dot; or the model's name on the hub. Of an agent, a file."""
    tokenizer: str = ""
    """Another folder or name for the tokenizer; empty: it is with the model."""
    description: str = ""
    """For people."""
    pool: Id
    """The workers that hold the same model; empty: the model's own name."""
    role: str = ""
    """What it is for, as in strategic, tactical, chat."""
    engine: Settings = Rules()
    """How its engine runs it, in the settings of that engine."""

    @property
    def kind(self) -> str:
        """The engine that runs it."""
        return self.name.partition("_")[0]


SCRIPTED = Model(name="rules_scripted", pool="rules", description="The scripted mind behind the tiers; needs no model.")
"""It is there without being declared."""


class Models(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`HEARTHMIND_MODELS__…`"""

    path: str = ""
    """The YAML file that declares the models; empty: `infra/models.yaml` of this checkout."""


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A model as it stands in the file, under its name."""

    path: str = ""
    tokenizer: str = ""
    description: str = ""
    pool: Id | None = None
    role: str = ""
    engine: Any = None


def read_models(file: Path) -> dict[str, Model]:
    """The models of a file by name; raises `BadModels` with every mistake in it."""
    try:
        text = file.read_bytes()[: FILE_MAX_BYTES + 1].decode()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStart(why=f"the models' file {file} can't be read: {error}") from None
    if len(text) > FILE_MAX_BYTES:
        raise CannotStart(why=f"the models' file {file} is over {FILE_MAX_BYTES} bytes")
    models, mistakes = parse_models(text, file.parent)
    if mistakes:
        lines = "".join(f"\n  {file}:{mistake.line}: {mistake.what}" for mistake in mistakes)
        raise BadModels(count="a mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes", mistakes=lines)
    return models


def declared(file: Path | None = None) -> dict[str, Model]:
    """Every model of a file, by default that of the settings, and the scripted mind."""
    return {SCRIPTED.name: SCRIPTED} | read_models(file or _file())


def pools() -> dict[str, str]:
    """Whose workers hold each declared model."""
    return {model.name: model.pool for model in declared().values()}


def model_named(name: str, file: Path | None = None) -> Model:
    """The declared model of that name; raises `UnknownModel` where there is none."""
    models = declared(file)
    if name not in models:
        known = ", ".join(sorted(models))
        raise UnknownModel(name=name, near=near(name, models), file=file or _file(), known=known)
    return models[name]


def _file() -> Path:
    return Path(load("models", Models).path or DECLARED)


def parse_models(text: str, folder: Path) -> tuple[dict[str, Model], list[Mistake]]:
    """The models of a text, and what is wrong with it; folders are relative to that one."""
    reading = Reading(text)
    models: dict[str, Model] = {}
    tops = reading.entries(reading.root, "the file") if reading.root is not None else []
    for top, key, value in tops:
        if top != "models":
            reading.wrong(key, f"nobody knows {top!r} here; at the top of the file stands `models`")
            continue
        for name, at, node in reading.entries(value, "models"):
            if not _named(name):
                reading.wrong(at, _no_name(name))
            elif (model := _model(reading, name, node)) is not None:
                models[name] = _at_home(model, folder)
    return models, sorted(reading.mistakes)


def _named(name: str) -> bool:
    return bool(NAME.fullmatch(name)) and len(name) <= 64 and name.partition("_")[0] in ENGINES


def _no_name(name: str) -> str:
    close = difflib.get_close_matches(name.partition("_")[0], ENGINES, n=1)
    hint = f"is it {close[0]}_…?" if close else f"there are {', '.join(f'{engine}_…' for engine in ENGINES)}"
    return f"{name!r} can't be a model's name: its engine stands first ({hint}), then letters, digits, _ and -"


def _model(reading: Reading, name: str, node: yaml.Node) -> Model | None:
    kind = name.partition("_")[0]
    settings = ENGINES[kind]
    entry = reading.struct(node, _Entry, name, engine=settings)
    if entry is None:
        return None
    if kind in PATHS and not entry.path:
        reading.wrong(node, f"{name} lacks path: {PATHS[kind]}")
        return None
    needed = [field.name for field in msgspec.structs.fields(settings) if field.required]
    if entry.engine is None and needed:
        reading.wrong(node, f"{name} lacks engine, and in it what it can't do without: {', '.join(needed)}")
        return None
    facts = {key: getattr(entry, key) for key in ("path", "tokenizer", "description", "role")}
    chosen: Settings = msgspec.convert({}, settings) if entry.engine is None else entry.engine
    return Model(name=name, pool=entry.pool or name, engine=chosen, **facts)


def _at_home(model: Model, folder: Path) -> Model:
    """Folders that begin with a dot, made whole."""
    found = {
        key: str((folder / path).resolve()) if path.startswith(".") else path
        for key, path in (("path", model.path), ("tokenizer", model.tokenizer))
    }
    return msgspec.structs.replace(model, **found)
