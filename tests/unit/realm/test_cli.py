"""The `realm` command does what it is told, and says in one line what it can't."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from realm.cli import main
from realm.contest import Result, compete
from realm.players import BUILDER, GOOD, RANDOM, STYLES
from realm.tournament import Match, table, tournament

from .test_watch import logged

SMALL = ["--players", "6", "--turns", "30"]


@pytest.mark.parametrize(
    "arguments, why",
    [
        ([], "COMMAND"),
        (["whatch"], "whatch"),
        (["watch", "--styles", "raider,pacifist"], "no style 'pacifist', only raider, builder"),
        (["watch", "--players", "0"], "no number from 1"),
        (["watch", "--players", "many"], "no number from 1"),
        (["watch", "--speed", "nan"], "no number"),
        (["watch", "--size", "80"], "no size such as 120x40"),
        (["watch", "--follow"], "goes with --log FILE"),
        (["watch", "--log", "realm.jsonl", "--seed", "3"], "leave out --seed"),
        (["watch", "--log", "nowhere.jsonl"], "nowhere.jsonl: No such file or directory"),
        (["watch", "--log", "."], ".: Is a directory"),
        (["watch", "--log", "broken.jsonl"], "broken.jsonl can't be replayed"),
        (["watch", "--log", "realm.jsonl", "--at", "31"], "no turn 31 in this world: its last one is 30"),
        (["watch", "--log", "realm.jsonl", "--follow"], "needs a terminal; say --at TURN"),
        (["plot", "--log", "binary.jsonl"], "binary.jsonl can't be replayed"),
        (["plot", *SMALL, "--to", "realm.jsonl"], "realm.jsonl: File exists"),
        (["contest", "--seeds", "1"], "no number from 2"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    why: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    logged(Path("realm.jsonl"), STYLES, 1, 30)
    Path("broken.jsonl").write_text("rubbish\n")
    Path("binary.jsonl").write_bytes(b"\xff\xfe\n")
    try:
        code: object = main(arguments)
    except SystemExit as exited:
        code = exited.code
    out, error = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert why in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("command, package", [("watch", "rich"), ("plot", "matplotlib")])
def test_what_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, package: str
) -> None:
    for name in [
        name for name in sys.modules if name.split(".")[0] == package or name in ("realm.map", "realm.charts")
    ]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("realm.watch", "realm.plot"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    assert main([command]) == 2
    assert (
        f"needs {package}, which is not installed: install the Realm as `examples/realm[{command}]`"
        in capsys.readouterr().err
    )


def test_without_a_terminal_there_is_one_frame(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", *SMALL, "--size", "100x30", "--seed", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 30
    assert "day 2, 06:00" in lines[0]
    assert "6 players" in lines[0]
    assert "seed 2" in lines[0]


def test_a_log_is_shown_as_it_was_at_a_turn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "realm.jsonl"
    logged(path, STYLES, 1, 30)
    for arguments in (["--at", "25"], ["--at", "25", "--follow"], []):
        assert main(["watch", "--log", str(path), "--size", "100x30", *arguments]) == 0
    first, followed, last = re.findall(r"day 2, \d\d:00", capsys.readouterr().out)
    assert first == followed == "day 2, 01:00"
    assert last == "day 2, 06:00"


def test_a_frame_becomes_a_picture(tmp_path: Path) -> None:
    assert main(["watch", *SMALL, "--at", "20", "--svg", str(tmp_path / "frame.svg")]) == 0
    assert (tmp_path / "frame.svg").read_text().startswith("<svg")


def test_plot_names_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plot", *SMALL, "--to", str(tmp_path / "new" / "folder")]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert {path.parent for path in paths} == {tmp_path / "new" / "folder"}
    assert all(path.stat().st_size for path in paths)


def test_contest_prints_every_pair_as_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--seeds", "2", "--turns", "12", "--players", "4", "--processes", "2"]
    assert main(["contest", *few, "--styles", "good,random,builder"]) == 0
    head, rule, *rows = capsys.readouterr().out.splitlines()
    assert head == "| mean ranks better | good | random | builder |"
    assert rule == "| --- | --- | --- | --- |"
    assert [row.split(" | ")[0] for row in rows] == ["| **good**", "| **random**", "| **builder**"]
    assert [row.count(" to ") for row in rows] == [2, 2, 2]


def test_processes_change_nothing() -> None:
    (match,) = tournament([GOOD, RANDOM], seeds=3, turns=24, players=6, processes=2)
    assert match == Match(GOOD, RANDOM, compete(GOOD, RANDOM, range(3), players=6, turns=24))


def test_a_table_reads_the_same_both_ways() -> None:
    sure, unsure = Result((3.0,), 3.0, 2.0, 4.5), Result((0.5,), 0.5, -1.0, 2.0)
    told = table([GOOD, RANDOM, BUILDER], [Match(GOOD, RANDOM, sure), Match(GOOD, BUILDER, unsure)])
    assert told.splitlines()[2:] == [
        "| **good** |  | **+3.0 (+2.0 to +4.5)** | +0.5 (-1.0 to +2.0) |",
        "| **random** | -3.0 (-4.5 to -2.0) |  |  |",
        "| **builder** | -0.5 (-2.0 to +1.0) |  |  |",
    ]


def test_ctrl_c_ends_a_live_show_cleanly() -> None:
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "realm", "watch", "--turns", "100000", "--players", "4"]
    # In the background of a shell, SIGINT is ignored, and children inherit that.
    heeds = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    where = os.environ | {"TERM": "xterm-256color"}
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=subprocess.PIPE, preexec_fn=heeds, env=where
    ) as show:
        os.close(terminal)
        seen = b""
        while b"Realm" not in seen:
            seen += os.read(master, 65536)
        show.send_signal(signal.SIGINT)
        while chunk := _read(master):
            seen += chunk
        assert show.stderr
        assert show.stderr.read() == b""
    os.close(master)
    assert show.returncode == 0
    assert b"\x1b[?1049h" in seen
    assert b"\x1b[?1049l" in seen  # the screen is as it was before


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # the other end is closed
        return b""
