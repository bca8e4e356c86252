"""Decision → inference worker → decision: a question for an engine, and its answer."""

from typing import Annotated

import msgspec

from .observation import Event, Observation
from .wire import Fact, Id, Line, Message, Word

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
"""Who says a turn of a prompt."""


class Turn(msgspec.Struct, frozen=True):
    """One part of a prompt, and whose words it is; what many prompts share comes first, so that engines reuse it."""

    role: Id
    text: str


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How words are drawn, and how many."""

    tokens_max: Annotated[int, msgspec.Meta(ge=1, le=32_768)] = 256
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] = 0.7
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.9
    stop: Annotated[tuple[Word, ...], msgspec.Meta(max_length=8)] = ()
    seed: int | None = None


class Infer(Message, frozen=True, kw_only=True, tag="infer"):
    """Asks a worker of a pool for an answer to one attempt at a decision."""

    game: Id
    npc: Id
    decision: Id
    attempt: int
    """The number of the question: the nth delivery of an observation asks 2n - 1, and 2n where it asks once more."""
    partition: int
    tier: Id
    priority: int
    pool: Id
    model: str
    observation: Observation | Event | None = None
    """For engines that read facts rather than text: `rules_…` and `policy_…`."""
    behaviour: Annotated[dict[Id, float], msgspec.Meta(max_length=8)] = {}
    """For the same: the genes of whoever is asked; none where they are neutral."""
    prompt: tuple[Turn, ...] = ()
    """For engines that read text."""
    answer_schema: str = ""
    """The JSON schema that the answer has to obey, as text; empty where any words will do."""
    sampling: Sampling = Sampling()
    adapter: str = ""
    """The version of an adapter to answer with, `<name>@<version>`; empty for the model as it is."""
    varied: bool = False
    """Each answer is to be drawn anew: the response cache is passed by."""
    asker: Id | None = None
    """Who wants the answer, where it is nobody's decision: it goes to them and not to a partition."""


class Withdraw(Message, frozen=True, kw_only=True, tag="withdraw"):
    """Nobody waits for these any more, such as an observation that a newer one replaced: the engine may leave them."""

    game: Id
    npc: Id
    decision: Id
    attempt: int
    """This one and those before it."""


LATE, ENGINE, REFUSED, UNKNOWN = "late", "engine", "refused", "unknown"
"""Sorts of failure: no time for it, the engine broke, the request can't be served, no such model or adapter here."""


class Inferred(Message, frozen=True, kw_only=True, tag="inferred"):
    """What an engine said; goes to whoever owns the partition now, who ignores what belongs to another attempt."""

    game: Id
    npc: Id
    decision: Id
    attempt: int
    text: str = ""
    """The engine's words as they came; the decision service reads them as an `Answer`."""
    failed: str = ""
    """Why there is no text, where there is none."""
    failure: str = ""
    """What sort of failure, in a word: `late`, `engine`, `refused`, `unknown`, and later others."""
    model: str = ""
    adapter: str = ""
    """The version that answered, `<name>@<version>`, where an adapter did."""
    adapter_sha256: str = ""
    worker: str = ""
    cached: bool = False
    """Whether it was generated for another request and came from the response cache; the tokens are that one's."""
    tokens_in: int = 0
    tokens_cached: int = 0
    """Of those that went in, how many the engine had read before."""
    tokens_out: int = 0
    cost_usd: float = 0.0
    queue_ms: float = 0.0
    first_token_ms: float = 0.0
    """From the engine's start on it to its first words, where the engine tells."""
    engine_ms: float = 0.0


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """An action of a plan that is still to come."""

    action: Id
    arguments: Annotated[dict[Id, Fact], msgspec.Meta(max_length=32)] = {}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a mind says to do, in the form that engines are asked for."""

    action: Id
    arguments: Annotated[dict[Id, Fact], msgspec.Meta(max_length=32)] = {}
    steps: Annotated[tuple[Step, ...], msgspec.Meta(max_length=8)] = ()
    """What is to follow, where it has a plan."""
    speech: Line = ""
    reasoning: Line = ""
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
