"""`hearthmind trace`: the tree, its lines, and the picture."""

import io
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from hearthmind.telemetry import names
from hearthmind.telemetry.files import SpanRecord, Value
from services.command.trace import by_trace, grow, lines, list_traced, span_of_time, trace

MS = 1_000_000


def span(
    name: str,
    parent: str = "",
    at_ms: float = 0,
    took_ms: float = 1,
    service: str = "game",
    error: str = "",
    trace: str = "t1",
    **attributes: Value,
) -> SpanRecord:
    start_ns = 1_800_000_000_000_000_000 + int(at_ms * MS)
    said = {getattr(names, key): value for key, value in attributes.items()}
    return SpanRecord(trace, name, service, name, start_ns, start_ns + int(took_ms * MS), parent, said, error)


LOOP = [
    span("report", "act", 51, 0.4),
    span("decide", "observe", 2, 30, "decision", DECISION_ID="d1", ATTEMPT=2),
    span("store", "report", 52, 20, "reward", REWARD=0.75),
    span("observe", at_ms=0, took_ms=50, DECISION_ID="d1", GAME="realm", NPC="n1", KIND="combat", TIER="critical"),
    span("infer", "decide", 5, 25, "inference_worker", GEN_AI_REQUEST_MODEL="rules_x", GEN_AI_USAGE_INPUT_TOKENS=12),
    span("act", "decide", 50, 0, SOURCE="fallback", ACTION="raid", WHY="the engine failed: " + "it was tired " * 20),
]


def drawn(spans: list[SpanRecord], folder: Path, width: int = 100) -> tuple[int, str]:
    (folder / "game-1.jsonl").write_bytes(b"".join(msgspec.json.encode(span) + b"\n" for span in spans))
    out = io.StringIO()
    status = trace("d1", [folder], Console(file=out, width=width))
    return status, out.getvalue()


def test_the_tree_follows_the_parents_and_the_clock() -> None:
    (root,) = grow(LOOP)
    assert root.span.name == "observe"
    assert [child.span.name for child in root.children] == ["decide"]
    assert [child.span.name for child in root.children[0].children] == ["infer", "act"]
    assert [line.span.name for line in lines([root])] == ["observe", "decide", "infer", "act", "report", "store"]
    assert [line.guide for line in lines([root])] == ["", "└ ", "  ├ ", "  └ ", "    └ ", "      └ "]


def test_times_are_relative_to_the_root_and_bars_to_the_whole() -> None:
    found = {line.span.name: line for line in lines(grow(LOOP))}
    assert found["observe"].after_ms == 0
    assert found["store"].after_ms == 52
    assert found["observe"].bar == (0, 50 / 72)
    assert found["store"].bar == (52 / 72, 1)


def test_a_span_without_its_parent_stands_for_itself_and_says_so() -> None:
    roots = grow([span("decide", "gone", 5), span("observe")])
    assert [(root.span.name, root.is_orphan) for root in roots] == [("observe", False), ("decide", True)]
    assert "the span that caused it is not here" in lines(roots)[1].facts


def test_a_clock_that_is_behind_makes_a_span_begin_before_its_root() -> None:
    early, root = span("decide", "observe", -3, 2), span("observe", took_ms=10)
    found = lines(grow([early, root]))
    assert [line.after_ms for line in found] == [0, -3]
    assert found[1].bar[0] == 0


def test_several_traces_are_drawn_one_after_the_other() -> None:
    spans = [span("decide", at_ms=9, trace="t2"), span("observe", trace="t1"), span("act", at_ms=5, trace="t1")]
    assert [[root.span.name for root in roots] for roots in by_trace(spans)] == [["observe", "act"], ["decide"]]


@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.integers(-1, 12), st.floats(-1e6, 1e6), st.floats(0, 1e6), st.integers(0, 1)),
        max_size=20,
        unique_by=lambda each: (each[0], each[4]),
    )
)
def test_every_span_is_drawn_exactly_once_whatever_its_parent(odd: list[tuple[int, int, float, float, int]]) -> None:
    """Orphans, cycles, a span that is its own parent, clocks that disagree."""
    spans = [
        span(str(own), str(parent) if parent >= 0 else "", at, took, trace=f"t{number}")
        for own, parent, at, took, number in odd
    ]
    found = [line for roots in by_trace(spans) for line in lines(roots)]
    assert sorted((line.span.trace, line.span.span) for line in found) == sorted((s.trace, s.span) for s in spans)
    for line in found:
        assert 0 <= line.bar[0] <= line.bar[1] <= 1


def test_a_deep_chain_is_drawn() -> None:
    chain = [span(str(number), str(number - 1) if number else "", number) for number in range(1_500)]
    assert len(lines(grow(chain))) == 1_500


def test_the_picture_is_legible_at_100_columns(tmp_path: Path) -> None:
    status, picture = drawn(LOOP, tmp_path)
    assert status == 0
    assert all(len(line) <= 100 for line in picture.splitlines())
    for words in (
        "decision d1",
        "game realm",
        "npc n1",
        "observe",
        "inference_worker",
        "30.0 ms",
        "tier critical",
        "source fallback",
        "action raid",
        "the engine failed",
        "model rules_x",
        "tokens 12 in",
        "reward 0.75",
        "attempt 2",
    ):
        assert words in picture, words


def test_what_games_and_models_made_up_is_drawn_as_text(tmp_path: Path) -> None:
    forged = span("observe", error="\x1b[2J[red]boo[/red]\n", DECISION_ID="d1", WHY="a\rb\x07", NPC="[bold]n[/bold]")
    status, picture = drawn([forged], tmp_path)
    assert status == 0
    assert "[red]boo[/red]" in picture
    assert "[bold]n[/bold]" in picture
    assert not {"\x1b", "\r", "\x07"} & set(picture)


def test_a_narrow_console_is_no_error(tmp_path: Path) -> None:
    assert drawn(LOOP, tmp_path, width=20)[0] == 0


def test_where_nothing_is_found_it_says_what_could_be_the_reason(tmp_path: Path) -> None:
    status, said = drawn([], tmp_path)
    assert status == 1
    for reason in ("HEARTHMIND_TELEMETRY__SAMPLE_RATIO", "HEARTHMIND_TELEMETRY__OTLP_ENDPOINT", "id is another"):
        assert reason in " ".join(said.split())


def test_without_an_id_the_newest_are_listed(tmp_path: Path) -> None:
    drawn([span("decide", at_ms=at, DECISION_ID=f"d{at}", GAME="realm", NPC="n1") for at in range(30)], tmp_path)
    out = io.StringIO()
    assert list_traced([tmp_path], Console(file=out, width=100)) == 0
    listed = out.getvalue().splitlines()
    assert [line.split()[1] for line in listed] == [f"d{number}" for number in range(29, 9, -1)]
    assert listed[0].endswith("d29  game realm · npc n1")
    assert list_traced([tmp_path / "nothing"], Console(file=out, width=100)) == 1


def test_times_have_three_digits_that_count() -> None:
    assert [span_of_time(ms) for ms in (0.1234, 12.34, 123.4, 1_234.5, -2.5)] == [
        "0.12 ms",
        "12.3 ms",
        "123 ms",
        "1.23 s",
        "-2.50 ms",
    ]
