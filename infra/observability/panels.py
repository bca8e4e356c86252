"""What the dashboards show: a panel is what it asks, in which unit, and one line that says how to read it."""

from __future__ import annotations

from dataclasses import dataclass

Queries = tuple[tuple[str, str], ...]
"""What is asked, in PromQL, each with what its lines are called."""

RATE = "[$__rate_interval]"


@dataclass(frozen=True)
class Panel:
    """A graph."""

    title: str
    unit: str
    says: str
    queries: Queries
    exemplars: bool = False
    """Whether points lead to traces."""
    most: float | None = None


def by(*labels: str) -> str:
    """What lines are called by their labels."""
    return " ".join(f"{{{{{label}}}}}" for label in labels)


def percentiles(metric: str, *labels: str) -> Queries:
    """p50, p95 and p99 of a histogram."""
    names = ", ".join(("le", *labels))
    return tuple(
        (
            f"histogram_quantile({share}, sum by ({names}) (rate({metric}_bucket{RATE})))",
            f"p{percent} {by(*labels)}".strip(),
        )
        for share, percent in ((0.5, 50), (0.95, 95), (0.99, 99))
    )


def per_second(metric: str, *labels: str, called: str = "") -> Queries:
    """A counter's rate, split by labels."""
    return ((f"sum by ({', '.join(labels)}) (rate({metric}{RATE}))", f"{called} {by(*labels)}".strip()),)


def lately(metric: str, *labels: str, called: str = "") -> Queries:
    """What a counter grew by in the last ten minutes."""
    return ((f"sum by ({', '.join(labels)}) (increase({metric}[10m]))", f"{called} {by(*labels)}".strip()),)


def for_each(part: str, whole: str, *labels: str) -> Queries:
    """What a counter grew by for each 1 that another grew by."""
    names = ", ".join(labels)
    return ((f"sum by ({names}) (rate({part}{RATE})) / sum by ({names}) (rate({whole}{RATE}))", by(*labels)),)


def now(metric: str, *labels: str, called: str = "") -> Queries:
    """What a gauge says: `max`, since a process that was started again has two series for a while."""
    return ((f"max by ({', '.join(labels)}) ({metric})", f"{called} {by(*labels)}".strip()),)


TIER, SOURCE, KIND = "hearthmind_tier", "hearthmind_source", "hearthmind_kind"
GAME, REASON = "hearthmind_game", "hearthmind_reason"
STREAM, STORAGE = "hearthmind_stream", "hearthmind_storage"
LATENCY = "hearthmind_decision_duration_seconds"

COST, TIME = "gen_ai_client_token_usage", "gen_ai_client_operation_duration_seconds"
MODEL, WAY = "gen_ai_response_model", "gen_ai_token_type"
FOUND = "hearthmind_cache_result"

LOOP = {
    "Now": (
        Panel("Decisions per second", "ops", "By who decided.", per_second("hearthmind_decisions_total", SOURCE)),
        Panel(
            "Deadlines kept",
            "percentunit",
            "The share of observations whose action was stored in time, over five minutes. Below 99 % there is an alert.",
            (("hearthmind:deadlines_kept:ratio5m", "kept"),),
            most=1,
        ),
        Panel("Decisions by game", "ops", "Who plays what.", per_second("hearthmind_decisions_total", GAME, KIND)),
    ),
    "Latency": (
        Panel(
            "Latency",
            "s",
            "From the broker's storing an observation to its action. A dot is one decision: it leads to its trace.",
            percentiles(LATENCY),
            exemplars=True,
        ),
        Panel("Latency by tier", "s", "Critical stays lowest when the others rise.", percentiles(LATENCY, TIER)),
        Panel("Latency by source", "s", "A late fallback took all of its time.", percentiles(LATENCY, SOURCE)),
    ),
    "Fallbacks": (
        Panel(
            "Share of fallbacks",
            "percentunit",
            "Of all actions, over five minutes. Above 20 % there is an alert.",
            (("hearthmind:fallbacks:ratio5m", "fallbacks"),),
            most=1,
        ),
        Panel(
            "Fallbacks and why",
            "ops",
            "late: no engine answered in time; refused: none could be asked.",
            per_second("hearthmind_fallbacks_total", REASON),
        ),
        Panel(
            "Observations without an action",
            "ops",
            "newer is normal for a quick game; late is a missed deadline.",
            per_second("hearthmind_observations_dropped_total", REASON),
        ),
        Panel(
            "Shed, by class",
            "ops",
            "Too many waited for a model: routine goes first, whoever was spoken to last.",
            per_second("hearthmind_shed_total", "hearthmind_event_class"),
        ),
        Panel(
            "Unknown personas",
            "ops",
            "Observations that name a persona which is not among the files; the log names it once.",
            per_second("hearthmind_personas_unknown_total", called="unknown"),
        ),
    ),
    "Queues": (
        Panel("Queue depth", "short", "What still has to be processed.", now("hearthmind_queue_depth", STREAM)),
        Panel("Queue age", "s", "How long the oldest has waited.", now("hearthmind_queue_age_seconds", STREAM)),
        Panel(
            "Refused by full streams",
            "ops",
            "Back-pressure: games and decisions notice it at once.",
            per_second("hearthmind_publishes_refused_total", STREAM),
        ),
    ),
    "Experience": (
        Panel(
            "Experiences per second",
            "ops",
            "Outcomes that became something to learn from.",
            per_second("hearthmind_experiences_total", GAME),
        ),
        Panel(
            "Behind",
            "short",
            "Messages that wait for the reward service. It may be behind for hours without anything lost, and then learns late.",
            now("hearthmind_ingestion_backlog", "job", called="waiting for"),
        ),
        Panel(
            "Into Postgres",
            "s",
            "From the broker's storing a message to its being in Postgres. Games keep their outcomes for as long.",
            percentiles("hearthmind_ingestion_lag_seconds"),
        ),
        Panel(
            "Looked back on",
            "ops",
            "Experiences of which it was seen what they led to.",
            per_second("hearthmind_experiences_looked_back_total", called="looked back on"),
        ),
        Panel(
            "Dead letters and losses",
            "short",
            "In the last ten minutes; each of them is worth a look.",
            (
                *lately("hearthmind_dead_letters_total", STREAM, called="dead letters of"),
                *lately("hearthmind_experience_lost_total", called="lost details"),
                *lately("hearthmind_experiences_incomplete_total", REASON, called="lost for good:"),
                *lately("hearthmind_stream_unread_total", STREAM, called="gone unread from"),
            ),
        ),
        Panel(
            "Denials",
            "short",
            "What the broker refused for lack of a permission, in the last ten minutes. The service's log says what.",
            lately("hearthmind_denials_total", "job"),
        ),
    ),
    "Cost": (
        Panel(
            "Tokens per second", "short", "Read and written. Rules cost none.", per_second(f"{COST}_sum", MODEL, WAY)
        ),
        Panel("Tokens per answer", "short", "On average.", for_each(f"{COST}_sum", f"{COST}_count", MODEL, WAY)),
        Panel("Engine time", "s", "How long an engine works on an answer.", percentiles(TIME, MODEL)),
        Panel(
            "Response cache",
            "ops",
            "here, elsewhere and shared are answers that no engine had to give; missed ones it had to.",
            per_second("hearthmind_cache_requests_total", FOUND),
        ),
        Panel(
            "Tokens saved",
            "short",
            "What the engine need not read or write, since the response cache had the answer.",
            per_second("hearthmind_cache_tokens_saved_total", MODEL, WAY),
        ),
        Panel(
            "Requests without an answer",
            "ops",
            "late is an engine with too much to do; unknown a pool that is asked for another model.",
            per_second("hearthmind_inference_failures_total", TIER, REASON),
        ),
    ),
}

BROKER = {
    "Broker": (
        Panel("Messages stored", "ops", "By stream.", per_second("hearthmind_stream_stored_total", STREAM)),
        Panel(
            "Storage",
            "percentunit",
            "Of what all streams may hold together. Above 85 % there is an alert.",
            now("hearthmind_broker_storage_bytes / hearthmind_broker_storage_max_bytes", STORAGE),
            most=1,
        ),
        Panel("Size of streams", "bytes", "What each holds.", now("hearthmind_stream_size_bytes", STREAM)),
        Panel(
            "How full streams are",
            "percentunit",
            "EVENT and INFERENCE refuse when full, the others drop their oldest; ACTION and EXPERIENCE are full after some time.",
            now("hearthmind_stream_size_bytes / hearthmind_stream_size_max_bytes", STREAM),
            most=1,
        ),
        Panel(
            "Connections",
            "short",
            "Games and services; who reads too slowly is cut off.",
            (
                *now("hearthmind_broker_connections", called="connected"),
                *now("hearthmind_broker_slow_consumers_total", called="cut off"),
            ),
        ),
        Panel(
            "Processes",
            "dtdurations",
            "How long each has run: a line that begins anew is a restart.",
            (("time() - hearthmind_started_seconds", by("job", "instance")),),
        ),
    ),
}

ENGINES = {
    "As the workers see them": (
        Panel("Answers", "ops", "By model.", per_second(f"{TIME}_count", MODEL)),
        Panel("Engine time", "s", "How long an engine works on an answer.", percentiles(TIME, MODEL)),
        Panel("Engine time by tier", "s", "Higher tiers are scheduled first.", percentiles(TIME, TIER)),
    ),
    "As vLLM sees itself": (
        Panel(
            "Requests in the engine",
            "short",
            "Waiting ones mean that it is full.",
            (
                *now("vllm:num_requests_running", "instance", called="running"),
                *now("vllm:num_requests_waiting", "instance", called="waiting"),
            ),
        ),
        Panel(
            "Cache in use",
            "percentunit",
            "Near 1 the engine puts requests off.",
            now("vllm:kv_cache_usage_perc", "instance"),
            most=1,
        ),
        Panel(
            "Prefix cache",
            "percentunit",
            "The share of prompts that need not be computed again.",
            for_each("vllm:prefix_cache_hits_total", "vllm:prefix_cache_queries_total", "instance"),
            most=1,
        ),
        Panel(
            "Time to the first token",
            "s",
            "Waiting, and reading the prompt.",
            percentiles("vllm:time_to_first_token_seconds", "instance"),
        ),
        Panel("Time of a request", "s", "From in to out.", percentiles("vllm:e2e_request_latency_seconds", "instance")),
        Panel(
            "Tokens per second",
            "short",
            "Read and written.",
            (
                *per_second("vllm:prompt_tokens_total", "instance", called="read"),
                *per_second("vllm:generation_tokens_total", "instance", called="written"),
            ),
        ),
    ),
}

DASHBOARDS = {"loop": ("The loop", LOOP), "broker": ("The broker", BROKER), "engines": ("The engines", ENGINES)}
