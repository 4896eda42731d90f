"""The live view: what a terminal shows, what a pipe gets, and that the terminal comes back."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

from patience import patient
from talkoot.watch.progress import Progress, view
from talkoot.watch.state import replay

START = {"nodes": ["north", "south"], "rows": {"north": 4000, "south": 1000}, "engine": "Local(2)"}
SCHEMA = {"rows": 5000, "features": 3}


def shown(*events: tuple[str, dict[str, Any]], now: float = 10.0, width: int = 100, height: int = 20) -> str:
    state = replay({"t": float(i), "event": name, **facts} for i, (name, facts) in enumerate(events))
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(view(state, now, height))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def met(index: int, **facts: Any) -> tuple[str, dict[str, Any]]:
    known = {"nodes": {"north": 0.5, "south": 0.25}, "failed": {}, "metrics": {"loss": 0.693147}}
    return "round", {"round": index, **known, **facts}


def test_before_the_first_round_it_says_what_it_waits_for() -> None:
    assert "agreeing on a schema, 10.0 s" in shown(("start", START))


def test_within_a_round_it_counts_rows_and_guesses_its_end() -> None:
    text = shown(("start", START), ("schema", SCHEMA), ("rows", {"node": "north", "rows": 1000}), now=3.0)
    assert "1,000 / 4,000 rows" in text
    assert "  1,000 rows" in text
    assert "this round ends in about 8 s" in text


def test_no_guess_is_made_of_a_round_that_has_just_begun() -> None:
    text = shown(("start", START), ("schema", SCHEMA), ("rows", {"node": "north", "rows": 1}), now=1.5)
    assert "ends in" not in text


def test_rounds_show_their_metrics_and_never_a_percentage() -> None:
    text = shown(("start", START), ("schema", SCHEMA), met(0), met(1), now=4.0)
    assert "round 2 · loss 0.6931 · 4.00 s" in text
    assert "%" not in text


def test_a_node_that_is_late_is_not_said_to_have_failed() -> None:
    text = shown(("start", START), ("schema", SCHEMA), met(3, late=["north"]))
    assert "late in round 3" in text
    assert "failed" not in text


def test_a_lost_worker_and_a_failed_node_are_named() -> None:
    lost = {"worker": 1, "nodes": ["south"], "cause": "killed by SIGKILL"}
    text = shown(("start", START), ("worker", lost), met(0, failed={"north": "no answer"}))
    assert "worker 1 (south) was lost and replaced: killed by SIGKILL" in text
    assert "failed in round 0" in text


@pytest.mark.parametrize("ok", [True, False])
def test_the_end_is_the_last_word(ok: bool) -> None:
    end = {"ok": ok, "seconds": 2.5, "error": None if ok else "node 'south': no rows"}
    text = shown(("start", START), ("schema", SCHEMA), met(0), ("end", end))
    said = "done: 1 round in 2.50 s, loss 0.6931" if ok else "stopped after 2.50 s: node 'south': no rows"
    assert text.rstrip().endswith(said)


@pytest.mark.parametrize("nodes", [1, 19, 20, 21, 1000])
def test_it_fits_the_terminal_however_many_nodes_there_are(nodes: int) -> None:
    names = [f"site-{i:04}" for i in range(nodes)]
    start = {"nodes": names, "rows": dict.fromkeys(names, 10), "engine": "Local(2)"}
    failed = {names[-1]: "no answer"}
    text = shown(("start", start), met(0, failed=failed), height=20)
    assert len(text.splitlines()) <= 22
    assert "failed in round 0" in text
    assert (f"and {nodes - 19:,} node" in text) == (nodes > 20)


def test_names_are_never_read_as_markup() -> None:
    start = {"nodes": ["[red]x[/red]", "[/]"], "rows": {}, "engine": "Inline()"}
    assert "[red]x[/red]" in shown(("start", start))


@pytest.mark.parametrize("plain", [True, False])
def test_without_a_terminal_it_is_silent_or_writes_lines(plain: bool) -> None:
    console = Console(file=io.StringIO(), width=100)
    with Progress(console, plain=plain) as progress:
        progress("start", START)
        progress("schema", SCHEMA)
        progress("rows", {"node": "north", "rows": 10})
        progress("worker", {"worker": 0, "nodes": ["[north]"], "cause": "killed"})
        progress(*met(0, failed={"south": "no answer"}))
        progress("end", {"ok": True, "seconds": 1.0, "error": None})
    assert isinstance(console.file, io.StringIO)
    assert (
        console.file.getvalue().splitlines()
        == [
            "2 nodes, 5,000 rows, on Local(2)",
            "worker 0 ([north]) was lost and replaced: killed",
            "round 0: south failed: no answer",
            "done: 1 round in 1.00 s, loss 0.6931",
        ]
        * plain
    )


DEEP: dict[str, Any] = {**START, "samples": True, "rounds": 1000}
GROUP: tuple[str, dict[str, Any]] = ("epoch", {"epoch": 0, "ranks": 2})
KILLED = {"worker": 1, "nodes": [], "name": "process 4711", "cause": "was killed (SIGKILL)"}
ADVICE: tuple[str, dict[str, Any]] = (
    "advice",
    {"text": "this model trains faster on one process", "alone": 9.0, "together": 5.0},
)


def went(step: int, loss: float = 0.693147) -> tuple[str, dict[str, Any]]:
    metrics = {"loss": loss, "samples_per_s": 8912.3}
    return "step", {"step": step, "steps": 1000, "seconds": 1.0, "metrics": metrics, "ranks": 2}


def test_samples_have_no_schema_to_agree_on() -> None:
    for events in ([("start", DEEP)], [("start", DEEP), GROUP]):
        assert shown(*events).strip() == "starting · 10.0 s"


def test_steps_show_how_far_how_fast_and_how_long() -> None:
    text = shown(("start", DEEP), GROUP, *(went(10 * i) for i in range(1, 35)), now=36.0, width=80)
    bar, said = text.splitlines()
    assert bar.startswith("step 340 of 1,000  ━━━━━━━━━━━━━")
    assert said == "loss 0.6931 · 8,912 samples/s · 2 ranks · 36.0 s · about 1 min left"
    assert "north" not in text


def test_one_process_is_not_called_a_rank() -> None:
    assert "rank" not in shown(("start", DEEP), went(10))


def test_a_loss_that_exploded_says_so() -> None:
    assert "loss not finite" in shown(("start", DEEP), went(10, loss=float("nan")))


def test_what_happened_to_ranks_and_the_advice_stay() -> None:
    events = [("start", DEEP), GROUP, went(340), ADVICE, ("worker", KILLED), GROUP, went(1000)]
    for end in ([], [("end", {"ok": True, "seconds": 9.0, "error": None})]):
        text = shown(*events, *end)
        assert "after step 340: rank 1 (process 4711) was killed (SIGKILL); on with 2 ranks" in text
        assert "this model trains faster on one process" in text
    assert text.rstrip().endswith("done: 1,000 steps in 9.00 s, loss 0.6931, 8,912 samples/s")


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_training_fits_narrow_terminals(width: int) -> None:
    events = [
        ("start", DEEP),
        GROUP,
        went(1),
        went(999),
        ADVICE,
        ("worker", KILLED),
        GROUP,
        ("broken", KILLED),
    ]
    assert max(map(len, shown(*events, width=width).splitlines())) <= width


def test_without_a_terminal_a_training_tells_its_start_its_losses_the_advice_and_its_end() -> None:
    console = Console(file=io.StringIO(), width=40)
    cut: tuple[str, dict[str, Any]] = ("broken", {"worker": 0, "cause": "closed by peer"})
    happened = [GROUP, went(340), ADVICE, ("worker", KILLED), GROUP, went(500), cut, GROUP, went(1000)]
    with Progress(console, plain=True) as progress:
        for event, facts in [("start", DEEP), *happened]:
            progress(event, facts)
        progress("end", {"ok": True, "seconds": 9.0, "error": None})
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "2 nodes, 5,000 rows, on Local(2)",
        "this model trains faster on one process",
        "after step 340: rank 1 (process 4711) was killed (SIGKILL)",
        "on with 2 ranks",
        "after step 500: the ranks lost each other (closed by peer); on with 2 ranks",
        "done: 1,000 steps in 9.00 s, loss 0.6931, 8,912 samples/s",
    ]


def test_a_known_number_of_rounds_says_when_it_ends() -> None:
    deep = {**DEEP, "rounds": 20}
    text = shown(("start", deep), GROUP, met(0, seconds=2.0), met(1, seconds=4.0), now=4.0)
    assert "round 2 of 20 · loss 0.6931 · 4.00 s · about 53 s left" in text
    assert "north" in text
    end = shown(("start", deep), *(met(i, seconds=2.0) for i in range(20)), now=20.5)
    assert "left" not in end


SCRIPT = """
import sys, time
from talkoot.watch.progress import Progress
progress = Progress()
try:
    with progress:
        progress("start", {"nodes": ["a"], "rows": {"a": 5}, "engine": "Local(1)"})
        sys.stdout.write("ready\\n"); sys.stdout.flush()
        time.sleep(3600)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_ctrl_c_gives_the_terminal_back() -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    command = [sys.executable, "-c", SCRIPT]
    with subprocess.Popen(command, stderr=theirs, stdout=subprocess.PIPE, text=True, env=env) as child:
        os.close(theirs)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        drawn = b""
        while b"agreeing on a schema" not in drawn:
            drawn += os.read(ours, 65536)
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=patient()) == 130
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        drawn += piece
    os.close(ours)
    hidden, back = drawn.rfind(b"\x1b[?25l"), drawn.rfind(b"\x1b[?25h")
    assert 0 <= hidden < back
