"""The whole loop as one table. Read this first.

`HOPS` says who tells whom what, in the order in which one observation travels. Streams, consumers, buckets and the
broker permissions of every service and game are derived from the tables of this file, and so is docs/FLOW.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.inference import Infer, Inferred, Withdraw
from hearthmind.contracts.memory import Recall, Recalled
from hearthmind.contracts.observation import Event, Observation
from hearthmind.contracts.outcome import OutcomeObserved, OutcomesStored, ReplyRated
from hearthmind.contracts.policy import CheckPolicy, PolicyChecked, PolicyViolated
from hearthmind.contracts.wire import Message

MIB = 1024 * 1024
DAY_S = 24 * 3600

TIERS = ("critical", "strategic", "social", "routine")
"""Highest first. A worker pulls the highest first and keeps a share for the lower ones."""

_TIER_OF_PRIORITY = ("critical",) * 3 + ("strategic",) * 2 + ("social",) * 2 + ("routine",) * 4


def tier_of(priority: int) -> str:
    """The tier of a priority from 0 (highest) to 10."""
    return _TIER_OF_PRIORITY[priority]


@dataclass(frozen=True)
class Stream:
    """A JetStream stream and its limits; everything is bounded, and each bound has its reason in `says`."""

    name: str
    subjects: tuple[str, ...]
    says: str
    storage: Literal["memory", "file"]
    retention: Literal["workqueue", "interest", "limits"]
    kept_s: float
    bytes_max: int
    when_full: Literal["discard old", "refuse"] = "discard old"
    messages_max: int = -1
    newest_per_subject: bool = False
    duplicates_s: float = 120
    message_ttl: bool = False
    transform: tuple[str, str] | None = None
    republish: tuple[str, str] | None = None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Consumer:
    """A durable pull consumer; `{partition}`, `{pool}` in its name and filter are filled in when it is provisioned."""

    stream: str
    name: str
    filter: str
    service: str
    ack_wait_s: float
    pending_max: int
    deliveries_max: int
    """Checked by whoever receives it: the next delivery becomes a dead letter before it is handled."""


@dataclass(frozen=True)
class Hop:
    """One arrow of the diagram."""

    subject: str
    message: type[Message] | None
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    stream: str | None
    says: str
    listeners: tuple[str, ...] = ()
    """Who hears it as it passes, without a consumer: what they miss they miss."""


HOPS = (
    Hop(
        "game.<game>.observation.<npc>.<kind>",
        Observation,
        ("game",),
        ("decision",),
        "OBSERVATION",
        "What an NPC sees now; the newest of its kind counts.",
    ),
    Hop(
        "game.<game>.event.<npc>.<kind>",
        Event,
        ("game",),
        ("decision",),
        "EVENT",
        "What happened to an NPC; each one counts, and a full stream refuses, so that the game notices.",
    ),
    Hop(
        "inference.request.<tier>.<pool>",
        Infer,
        ("decision", "prompts"),
        ("inference_worker",),
        "INFERENCE_<TIER>",
        "A question for an engine. A full tier refuses at once, and the decision falls back.",
    ),
    Hop(
        "inference.withdraw.<pool>",
        Withdraw,
        ("decision", "prompts"),
        ("inference_worker",),
        None,
        "Nobody waits for that answer any more. Every worker of the pool hears it; a lost one costs an answer in vain.",
    ),
    Hop(
        "inference.adapter.<tier>.<pool>.<version>",
        Infer,
        ("inference_worker",),
        ("inference_worker",),
        None,
        "A request for an adapter, handed to a worker that holds it. Who gets no answer does it: a lost one costs a load.",
    ),
    Hop(
        "inference.reply.<partition>",
        Inferred,
        ("inference_worker",),
        ("decision",),
        None,
        "The engine's answer, to whoever owns the partition now. Nobody waits for a lost one: the deadline answers.",
    ),
    Hop(
        "inference.answer.<asker>",
        Inferred,
        ("inference_worker",),
        ("prompts",),
        None,
        "The same, to somebody who asked for an answer and not for a decision (`hearthmind.prompts`).",
    ),
    Hop(
        "mind.action.<game>.<npc>",
        ActionChosen,
        ("decision",),
        ("reward",),
        "ACTION",
        "The action. The stream keeps the first of each decision: the referee and the record.",
    ),
    Hop(
        "game.<game>.action.<npc>",
        ActionChosen,
        ("broker",),
        ("game",),
        None,
        "That one action, republished by the ACTION stream to the game.",
    ),
    Hop(
        "mind.decision.<game>.<npc>",
        DecisionMade,
        ("decision",),
        ("reward",),
        "EXPERIENCE",
        "What the decision was made from.",
    ),
    Hop(
        "mind.violation.<game>.<npc>",
        PolicyViolated,
        ("decision",),
        ("reward",),
        "EXPERIENCE",
        "What a mind wanted and the policy forbade: kept with all it came from, until a person has looked at it.",
    ),
    Hop(
        "game.<game>.outcome.<npc>",
        OutcomeObserved,
        ("game",),
        ("reward",),
        "EXPERIENCE",
        "What came of the action. The client keeps it in its journal until it is stored.",
        listeners=("decision",),
    ),
    Hop(
        "game.<game>.rating.<npc>",
        ReplyRated,
        ("game",),
        ("reward",),
        "EXPERIENCE",
        "What a player thought of what an NPC said or did.",
    ),
    Hop(
        "game.<game>.stored",
        OutcomesStored,
        ("reward",),
        ("game", "decision"),
        None,
        "These outcomes are in Postgres, and worth so much; who decides learns from it what is worth doing again.",
    ),
    Hop(
        "mind.recall",
        Recall,
        ("decision",),
        ("reward",),
        None,
        "What did these NPCs live through? Asked once by a partition's new owner, in the background.",
    ),
    Hop(
        "mind.recalled.<partition>",
        Recalled,
        ("reward",),
        ("decision",),
        None,
        "An NPC's memory as Postgres has it. A lost one costs the memory, never a decision.",
    ),
    Hop(
        "policy.check",
        CheckPolicy,
        ("prompts",),
        ("decision",),
        None,
        "Would this action pass the policy? For tools and services of the platform.",
    ),
    Hop(
        "policy.checked.<asker>",
        PolicyChecked,
        ("decision",),
        ("prompts",),
        None,
        "Whether it would, and by which rule not.",
    ),
    Hop(
        "dead.<stream>",
        None,
        ("decision", "inference_worker", "reward"),
        ("reward",),
        "DEAD",
        "A message that could not be processed: its body as it came, the reason in its headers.",
    ),
)

STREAMS = (
    Stream(
        "OBSERVATION",
        ("game.*.observation.*.*",),
        "Observations by partition. Memory: what is outdated is worth nothing after a crash.",
        storage="memory",
        retention="workqueue",
        kept_s=600,
        bytes_max=256 * MIB,
        newest_per_subject=True,
        duplicates_s=60,
        transform=(
            "game.*.observation.*.*",
            "observation.{{partition({partitions},1,2)}}.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}",
        ),
    ),
    Stream(
        "EVENT",
        ("game.*.event.*.*",),
        "Events by partition. Refuses when full: back-pressure reaches the game.",
        storage="memory",
        retention="workqueue",
        kept_s=600,
        bytes_max=256 * MIB,
        when_full="refuse",
        messages_max=100_000,
        duplicates_s=60,
        transform=(
            "game.*.event.*.*",
            "event.{{partition({partitions},1,2)}}.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}",
        ),
    ),
    *(
        Stream(
            f"INFERENCE_{tier.upper()}",
            (f"inference.request.{tier}.*",),
            f"Requests of the {tier} tier, each until its deadline. A stream per tier: a full one blocks no other.",
            storage="memory",
            retention="workqueue",
            kept_s=600,
            bytes_max=64 * MIB,
            when_full="refuse",
            messages_max=8_192,
            duplicates_s=60,
            message_ttl=True,
        )
        for tier in TIERS
    ),
    Stream(
        "ACTION",
        ("mind.action.*.*",),
        "Actions, the first of each decision: the referee and the record. De-duplicated for longer than any deadline.",
        storage="file",
        retention="limits",
        kept_s=DAY_S,
        bytes_max=1024 * MIB,
        duplicates_s=360,
        republish=("mind.action.*.*", "game.{{wildcard(1)}}.action.{{wildcard(2)}}"),
    ),
    Stream(
        "EXPERIENCE",
        ("mind.decision.*.*", "mind.violation.*.*", "game.*.outcome.*", "game.*.rating.*"),
        "Everything to learn from, for readers that are behind by a week or 4 GiB at most. Never holds up a decision.",
        storage="file",
        retention="limits",
        kept_s=7 * DAY_S,
        bytes_max=4096 * MIB,
        sources=("ACTION",),
    ),
    Stream(
        "DEAD",
        ("dead.*",),
        "What could not be processed, for people to look at.",
        storage="file",
        retention="limits",
        kept_s=30 * DAY_S,
        bytes_max=512 * MIB,
    ),
)

CONSUMERS = (
    Consumer("OBSERVATION", "decision_{partition}", "observation.{partition}.*.*.*", "decision", 10, 1_000, 5),
    Consumer("EVENT", "decision_{partition}", "event.{partition}.*.*.*", "decision", 10, 1_000, 5),
    *(
        Consumer(
            f"INFERENCE_{tier.upper()}",
            "{pool}",
            f"inference.request.{tier}.{{pool}}",
            "inference_worker",
            5,
            1_000,
            5,
        )
        for tier in TIERS
    ),
    Consumer("EXPERIENCE", "reward", "", "reward", 30, 20_000, 10),
    Consumer("DEAD", "reward", "", "reward", 30, 1_000, 10),
)

DEAD = "DEAD"
"""The stream of dead letters; a dead letter never becomes another."""

QUEUES = tuple(
    stream.name for stream in STREAMS if stream.name != DEAD and any(each.stream == stream.name for each in CONSUMERS)
)
"""Streams whose messages a service still has to process, for as long as they wait for it."""

LEASES = "LEASES"
"""The key-value bucket of partition leases: in memory, each lease gone by itself when it is not renewed."""

LEASE_TTL_S = 4.0
RENEW_EVERY_S = 1.0
ALIVE = "mind.alive.decision"
"""Where decision services say that they live, so that each knows its share of the partitions."""

REGISTRY = "REGISTRY"
"""The key-value bucket of what is in force: versions of adapters, and which of them answers to its name."""

ADAPTERS = "ADAPTERS"
"""The object-store bucket of adapters' weights, each under its hash."""

MINDS = "MINDS"
"""The key-value bucket of who is frozen and who is banned: their minds are not asked. On disk; a freeze ends by itself."""

ANSWERS = "ANSWERS"
"""The key-value bucket of the response cache: what one worker had generated, for all of them; in memory, an hour long."""

ANSWERS_KEPT_S = 3600.0
ANSWERS_BYTES_MAX = 128 * MIB
"""Some 100,000 answers of the usual length; the oldest make room."""

CLAIMS = "CLAIMS"
"""The key-value bucket of who has what only one can have: a thing, or the word in a scene. The first to create a key has it."""

CLAIMS_KEPT_S = 10.0
CLAIMS_BYTES_MAX = 32 * MIB
"""Some 100,000 claims at a time; the oldest make room."""

SERVICES = ("decision", "inference_worker", "reward")

BUCKETS = (f"KV_{LEASES}", f"KV_{REGISTRY}", f"KV_{MINDS}", f"KV_{ANSWERS}", f"KV_{CLAIMS}", f"OBJ_{ADAPTERS}")
"""The streams in which the broker keeps what is in buckets."""

PROMPTS = "prompts"
"""The broker's user for whoever wants answers rather than decisions: tools and services of the platform, never a game."""

PARTS = (*SERVICES, PROMPTS)
"""Who has a user of the broker, beside the games and the provisioning job."""


def stream_named(name: str) -> Stream:
    """The stream of that name."""
    return next(stream for stream in STREAMS if stream.name == name)


def consumers_of(service: str, partitions: int, pools: tuple[str, ...]) -> Iterator[Consumer]:
    """The consumers of a service with partition and pool filled in."""
    for consumer in CONSUMERS:
        if consumer.service != service:
            continue
        for partition in range(partitions if "{partition}" in consumer.name else 1):
            for pool in pools if "{pool}" in consumer.name else ("",):
                yield Consumer(
                    consumer.stream,
                    consumer.name.format(partition=partition, pool=pool),
                    consumer.filter.format(partition=partition, pool=pool),
                    service,
                    consumer.ack_wait_s,
                    consumer.pending_max,
                    consumer.deliveries_max,
                )


# ---- permissions: nobody may do more than the table says --------------------------------------------------------------


@dataclass(frozen=True)
class Permissions:
    """What a user of the broker may publish to and subscribe to, and nothing else."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def inbox_prefix(user: str) -> str:
    """Where a user hears replies; each has a prefix of its own, so that nobody reads another's."""
    return f"_INBOX_{user}"


def game_user(game: str) -> str:
    """The broker user of a game."""
    return f"game_{game}"


def service_permissions(service: str) -> Permissions:
    """The permissions of a service, from its hops and consumers."""
    publish = [_wild(hop.subject) for hop in HOPS if service in hop.producers and hop.message]
    subscribe = [_wild(hop.subject) for hop in HOPS if service in (hop.listeners if hop.stream else hop.consumers)]
    for consumer in CONSUMERS:
        if consumer.service == service:
            name = "*" if "{" in consumer.name else consumer.name
            publish += [
                f"$JS.API.CONSUMER.MSG.NEXT.{consumer.stream}.{name}",
                f"$JS.API.CONSUMER.INFO.{consumer.stream}.{name}",
                f"$JS.ACK.{consumer.stream}.{name}.>",
            ]
            if consumer.stream != DEAD:
                publish.append(f"dead.{consumer.stream}")
    if service == "decision":
        publish += [f"$KV.{LEASES}.*", f"$JS.API.DIRECT.GET.KV_{LEASES}.>", ALIVE]
        publish += [f"$KV.{MINDS}.freeze.*.*", f"$JS.API.DIRECT.GET.KV_{MINDS}.>", f"$JS.API.DIRECT.GET.KV_{MINDS}"]
        publish += [f"$KV.{CLAIMS}.*.*.*", f"$JS.API.DIRECT.GET.KV_{CLAIMS}.>"]
        subscribe += [ALIVE, f"$KV.{MINDS}.ban.>"]
    if service == PROMPTS:  # it asks the broker for the time, and sees whether the pool is there
        publish.append("$JS.API.CONSUMER.INFO.INFERENCE_ROUTINE.*")
    if service == "inference_worker":
        publish += [f"$KV.{ANSWERS}.*", f"$JS.API.DIRECT.GET.KV_{ANSWERS}.>"]
        publish += [f"$JS.API.DIRECT.GET.{stream}.>" for stream in (f"KV_{REGISTRY}", f"OBJ_{ADAPTERS}")]
        publish += [f"$JS.API.DIRECT.GET.{stream}" for stream in (f"KV_{REGISTRY}", f"OBJ_{ADAPTERS}")]
        publish.append(f"{inbox_prefix(service)}.>")  # workers answer each other
        subscribe.append(f"$KV.{REGISTRY}.>")
    return Permissions(tuple(dict.fromkeys(publish)), (*subscribe, f"{inbox_prefix(service)}.>"))


def game_permissions(game: str) -> Permissions:
    """The permissions of a game: its own subjects, and never the right to make a consumer."""
    own = game_imports(game)
    return Permissions(own.publish, (*own.subscribe, f"{inbox_prefix(game_user(game))}.>"))


def game_imports(game: str) -> Permissions:
    """What passes between a game's account and the platform's: its inbox doesn't, nor does whatever else it may name."""
    own = [hop for hop in HOPS if hop.subject.startswith("game.<game>.")]
    return Permissions(
        tuple(_wild(hop.subject, game) for hop in own if "game" in hop.producers),
        tuple(_wild(hop.subject, game) for hop in own if "game" in hop.consumers),
    )


def _wild(subject: str, game: str = "*") -> str:
    parts = (game if part == "<game>" else part for part in subject.split("."))
    return ".".join("*" if part.startswith("<") and part != game else part for part in parts)
