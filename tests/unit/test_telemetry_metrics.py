"""Metrics: what is counted, under which labels, and that their number is bounded."""

import inspect
import re
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import TracerProvider

from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.inference import Inferred
from hearthmind.contracts.observation import Event, LegalAction, Observation
from hearthmind.flow import STREAMS, TIERS
from hearthmind.personas import Personas
from hearthmind.telemetry import metrics, names, trace
from hearthmind.testing.observations import an_observation
from services.decision import breaker, deciding, machine, shedding, standing, way
from services.decision.app import on_stranger
from services.decision.deciding import House
from services.decision.effects import Act, Seen
from services.decision.history import Histories
from services.decision.lives import Lives
from services.decision.machine import Partition
from services.decision.triage import parse

Series = dict[frozenset[tuple[str, object]], NumberDataPoint | HistogramDataPoint]


@pytest.fixture
def reader() -> Iterator[InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    metrics.use(provider)
    yield reader
    metrics.use(None)
    provider.shutdown()


def read(reader: InMemoryMetricReader, name: str) -> Series:
    data = reader.get_metrics_data()
    found: Series = {}
    for resource in data.resource_metrics if data else ():
        for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics if metric.name == name):
            for point in metric.data.data_points:
                assert isinstance(point, NumberDataPoint | HistogramDataPoint)
                found[frozenset((point.attributes or {}).items())] = point
    return found


def action(source: str = "rules", why: str = "", kind: str = "combat") -> ActionChosen:
    return ActionChosen(
        decision="d1",
        game="realm",
        npc="n1",
        kind=kind,
        snapshot=1,
        action="raid",
        source=source,
        why=why,
        stages_ms={"bus": 2.0, "decide": 40.0, "queue": 5.0, "engine": 30.0},
    )


def test_a_decision_is_counted_and_its_time_taken(reader: InMemoryMetricReader) -> None:
    metrics.decided(action(), "critical")
    metrics.decided(action(), "critical")
    labels = {names.GAME: "realm", names.KIND: "combat", names.TIER: "critical", names.SOURCE: "rules"}
    point = read(reader, names.DECISIONS)[frozenset(labels.items())]
    assert isinstance(point, NumberDataPoint)
    assert point.value == 2
    labels = {names.TIER: "critical", names.SOURCE: "rules"}
    took = read(reader, names.DECISION_DURATION)[frozenset(labels.items())]
    assert isinstance(took, HistogramDataPoint)
    assert took.count == 2
    assert took.sum == pytest.approx(0.084)
    assert not read(reader, names.FALLBACKS)


def test_a_fallback_is_counted_by_its_class_of_reason(reader: InMemoryMetricReader) -> None:
    metrics.decided(action("fallback", "the engine failed: ValueError: the answer is not legal"), "routine")
    labels = {names.REASON: "engine", names.TIER: "routine"}
    assert list(read(reader, names.FALLBACKS)) == [frozenset(labels.items())]


def test_what_is_shed_is_counted_by_its_class(reader: InMemoryMetricReader) -> None:
    for priority in (1, 3, 6, 9):
        spoken_to = an_observation(priority=priority)
        metrics.decided(action("fallback", shedding.sheds(spoken_to, 10, 10)), "routine")
    event = Event(**msgspec.structs.asdict(an_observation(priority=9)))
    metrics.decided(action("fallback", shedding.sheds(event, 10, 10)), "routine")
    metrics.decided(action("fallback", "the pool is silent"), "routine")
    assert {dict(labels)[names.EVENT_CLASS] for labels in read(reader, names.SHED)} == set(names.EVENT_CLASSES)


def test_a_persona_that_is_not_there_is_counted_each_time_and_told_once(
    reader: InMemoryMetricReader, caplog: pytest.LogCaptureFixture
) -> None:
    there = Personas((), on_stranger())
    for persona in ("wolf", "wolf", "lamb"):
        there.of(an_observation(persona=persona))
    (point,) = read(reader, names.STRANGERS).values()
    assert isinstance(point, NumberDataPoint)
    assert (point.value, len(caplog.records)) == (3, 2)


def test_an_action_that_was_stored_too_late_missed_its_deadline(reader: InMemoryMetricReader) -> None:
    metrics.decided(action(), "critical")
    assert not read(reader, names.MISSED)
    metrics.decided(action(), "critical", is_late=True)
    assert list(read(reader, names.MISSED)) == [frozenset({(names.REASON, "action")})]


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        ("it came after its deadline", "late"),
        ("a newer observation is being decided", "newer"),
        ("a newer observation replaced it", "newer"),
        ("the game said it twice, and it is being decided", "twice"),
        ("something else", "other"),
    ],
)
def test_a_dropped_observation_is_counted_by_its_class_of_reason(
    reader: InMemoryMetricReader, why: str, reason: str
) -> None:
    metrics.dropped("realm", why)
    assert list(read(reader, names.DROPPED)) == [frozenset({(names.GAME, "realm"), (names.REASON, reason)})]
    assert bool(read(reader, names.MISSED)) == (reason == "late")


def test_the_classes_know_every_reason_for_dropping() -> None:
    """In the decision service's own words."""
    words = re.findall(r'Drop\([\w.]+, "([^"]+)"', inspect.getsource(machine))
    assert {
        next((reason for start, reason in metrics.DROPS.items() if each.startswith(start)), "") for each in words
    } == {
        "late",
        "newer",
        "twice",
    }


def test_an_answer_costs_tokens_and_time(reader: InMemoryMetricReader) -> None:
    reply = Inferred(
        game="realm", npc="n1", decision="d1", attempt=1, model="m", tokens_in=900, tokens_out=40, engine_ms=250
    )
    metrics.answered(reply, "critical")
    by_type = {dict(labels)[names.GEN_AI_TOKEN_TYPE]: point for labels, point in read(reader, names.TOKENS).items()}
    assert {kind: point.sum for kind, point in by_type.items() if isinstance(point, HistogramDataPoint)} == {
        "input": 900,
        "output": 40,
    }
    (took,) = read(reader, names.ENGINE_DURATION).values()
    assert isinstance(took, HistogramDataPoint)
    assert took.sum == pytest.approx(0.25)


def test_a_value_within_a_span_that_is_kept_leads_to_its_trace(reader: InMemoryMetricReader) -> None:
    trace.use(TracerProvider(shutdown_on_exit=False))
    span = trace.start("decide", trace.CONSUMER, None, {})
    with trace.within(span):
        metrics.decided(action(), "critical")
    trace.end(span)
    trace.use(None)
    (took,) = read(reader, names.DECISION_DURATION).values()
    (exemplar,) = took.exemplars
    assert f"{exemplar.trace_id:032x}" == trace.trace_id(span)


def test_counters_of_closed_sets_begin_at_zero(reader: InMemoryMetricReader) -> None:
    metrics.begin(names.BROKER_WATCH)
    assert not read(reader, names.STREAM_STORED), "that is the broker's, who begins where it likes"
    metrics.begin("decision")
    dead = read(reader, names.DEAD_LETTERS)
    assert {dict(labels)[names.STREAM] for labels in dead} == {stream.name for stream in STREAMS}
    assert {point.value for point in dead.values() if isinstance(point, NumberDataPoint)} == {0}
    assert len(read(reader, names.FALLBACKS)) == len(TIERS) * len(names.FALLBACK_REASONS)
    assert not read(reader, names.DECISIONS), "which games there are is not known before they come"
    assert not read(reader, names.QUEUE_DEPTH), "another tells it"


def test_what_is_watched_is_what_is_said_now(reader: InMemoryMetricReader) -> None:
    said: list[tuple[float, dict[str, str]]] = [(3, {names.STREAM: "EVENT"})]
    metrics.watch(names.QUEUE_DEPTH, lambda: said)
    assert list(read(reader, names.QUEUE_DEPTH)) == [frozenset({(names.STREAM, "EVENT")})]
    said.clear()
    assert not read(reader, names.QUEUE_DEPTH)


def test_the_labels_of_every_metric_are_allowed() -> None:
    for metric in names.METRICS.values():
        assert set(metric.labels) <= names.METRIC_LABELS
        assert metric.told_by


@pytest.mark.parametrize("label", sorted({names.NPC, names.DECISION_ID, names.WHY, names.ACTION, "anything"}))
def test_a_label_without_bounds_is_refused(label: str) -> None:
    with pytest.raises(metrics.BadLabel, match=label):
        metrics.count(names.DECISIONS, 1, {label: "x"})
    with pytest.raises(metrics.BadLabel, match=label):
        metrics.observe(names.DECISION_DURATION, 1.0, {label: "x"})


def test_no_label_names_what_players_or_games_make_up_without_end() -> None:
    assert not names.METRIC_LABELS & {names.NPC, names.DECISION_ID, names.WHY, names.ACTION, names.MESSAGING_MESSAGE_ID}


def test_a_million_kinds_are_a_bounded_number_of_series(reader: InMemoryMetricReader) -> None:
    for number in range(1_000):
        metrics.decided(action(kind=f"kind{number}"), "routine")
    series = read(reader, names.DECISIONS)
    assert len(series) == metrics.VALUES_MAX + 1
    assert sum(point.value for point in series.values() if isinstance(point, NumberDataPoint)) == 1_000


@given(st.text())
def test_every_reason_has_one_of_a_few_classes(why: str) -> None:
    assert metrics.reason_class(why) in {*metrics.REASONS.values(), metrics.OTHER}


def test_every_metric_can_be_told(reader: InMemoryMetricReader) -> None:
    for name, metric in names.METRICS.items():
        if metric.kind == "counter":
            metrics.count(name)
        elif metric.kind == "histogram":
            metrics.observe(name, 1)
        else:
            metrics.watch(name, lambda: [(1, {})])
        assert read(reader, name)


def test_the_classes_know_the_words_of_the_decision_service() -> None:
    said = "".join(map(inspect.getsource, (way, machine, deciding, shedding, standing, breaker)))
    assert [words for words in metrics.REASONS if f'"{words}' not in said] == []
    assert {*metrics.REASONS.values(), metrics.OTHER} == set(names.FALLBACK_REASONS)


def test_why_an_observation_fell_back_has_a_class() -> None:
    def seen(number: int, now_s: float = 0.0) -> Seen:
        observation = Observation(
            id=f"d{number}",
            game="realm",
            npc=f"n{number}",
            kind="combat",
            legal_actions=(LegalAction(name="raid"),),
            answer_within_ms=10_000,
            snapshot=1,
        )
        return Seen(observation, 1, now_s + 10.0, now_s, 0.0, None)

    def reply(number: int, text: str = "", failed: str = "") -> Inferred:
        return Inferred(game="realm", npc=f"n{number}", decision=f"d{number}", attempt=1, text=text, failed=failed)

    house = House(parse(("*=rules_scripted",), {"rules_scripted": "rules"}), pending_max=5)
    partition = Partition(0, 1, house, Lives(Histories(8), recalls=False))
    effects = [effect for number in range(5) for effect in partition.observed(seen(number), 0.0)]
    effects += partition.replied(reply(0, failed="ValueError"), 1.0)
    effects += partition.replied(reply(1, text="{"), 1.0)
    effects += partition.refused(("realm", "n2", "d2"), 1, "the stream is full", 1.0)
    effects += partition.ticked(9.97)
    effects += partition.observed(seen(6, 10.0), 10.0)
    classes = [metrics.reason_class(effect.action.why) for effect in effects if isinstance(effect, Act)]
    assert classes == ["full", "engine", "unreadable", "refused", "late", "silent"]
