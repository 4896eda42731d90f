"""Sites of a federation in the terminal, as plain lines and in the report."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from talkoot.watch.progress import Progress, view
from talkoot.watch.report import render
from talkoot.watch.state import RunState, replay

START = {"nodes": ["lund", "oslo"], "rows": {}, "engine": "Federation(folder='ana')"}
SCHEMA = {"rows": 90, "features": 3}
HERE = {"state": "approved", "reason": "", "connected": True, "waited": False}
GONE = {**HERE, "connected": False}
ASKS = {**HERE, "state": "pending", "reason": "a person has to approve it"}


def sites(
    lund: dict[str, Any], oslo: dict[str, Any], left: float | None = None
) -> tuple[str, dict[str, Any]]:
    return "sites", {"sites": {"lund": lund, "oslo": oslo}, "left": left}


def state(*events: tuple[str, dict[str, Any]]) -> RunState:
    return replay({"t": float(i), "event": name, **facts} for i, (name, facts) in enumerate(events))


def shown(*events: tuple[str, dict[str, Any]], now: float = 10.0) -> str:
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    console.print(view(state(*events), now))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def lines(*events: tuple[str, dict[str, Any]]) -> list[str]:
    console, times = Console(file=io.StringIO(), width=100), iter(range(100))
    with Progress(console, plain=True, clock=lambda: float(next(times))) as progress:
        for event in events:
            progress(*event)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def met(index: int) -> tuple[str, dict[str, Any]]:
    facts = {"arrived": [], "failed": {}, "late": [], "committed": True, "metrics": {}, "nodes": {}}
    return "round", {"round": index, "seconds": 1.0, **facts}


def test_who_has_to_approve_is_on_the_screen() -> None:
    text = shown(("start", START), sites(HERE, ASKS))
    assert "lund" in text
    assert "approved" in text
    assert "pending: a person has to approve it" in text
    assert "waiting for the approval of oslo, 10.0 s" in text


def test_who_refuses_is_on_the_last_screen_with_the_reason() -> None:
    refused = {**HERE, "state": "refused", "reason": "not on Sundays"}
    end = ("end", {"ok": False, "seconds": 1.0, "error": "node 'oslo': refused"})
    assert "refused: not on Sundays" in shown(("start", START), sites(HERE, refused), end)


def test_who_is_waited_for_and_for_how_long_at_most() -> None:
    late = {**HERE, "waited": True}
    text = shown(("start", START), sites(HERE, HERE), ("schema", SCHEMA), met(0), sites(HERE, late, 30.0))
    assert "waited for" in text
    assert "waiting for oslo, at most 24 s more" in text
    after = shown(("start", START), ("schema", SCHEMA), sites(HERE, late, 30.0), met(0))
    assert "wait" not in after


def test_a_site_is_lost_and_returns() -> None:
    began = (("start", START), sites(HERE, HERE), ("schema", SCHEMA), met(0))
    assert "lost 6.00 s ago" in shown(*began, sites(HERE, GONE))
    assert "working, returned" in shown(*began, sites(HERE, GONE), sites(HERE, HERE))


def test_plain_lines_show_what_changes_and_nothing_twice() -> None:
    never = {**ASKS, "connected": False, "reason": ""}
    late = {**HERE, "waited": True}
    assert lines(
        ("start", START),
        sites(HERE, never),
        sites(HERE, never),
        sites(HERE, ASKS),
        sites(HERE, HERE),
        ("schema", SCHEMA),
        sites(HERE, {**late, "connected": False}, 60.0),
        sites(HERE, {**late, "connected": False}, 50.0),
        sites(HERE, late, 40.0),
        met(0),
        ("end", {"ok": True, "seconds": 1.0, "error": None}),
    ) == [
        "2 nodes, on Federation(folder='ana')",
        "lund: approved",
        "oslo: pending, not connected",
        "waiting for the approval of oslo",
        "oslo: pending: a person has to approve it",
        "waiting for the approval of oslo",
        "oslo: approved",
        "oslo: lost",
        "waiting for oslo, at most 1 min more",
        "oslo: returned after 2.00 s",
        "waiting for oslo, at most 40 s more",
        "done: 1 round in 1.00 s",
    ]


def test_the_report_names_each_site_and_escapes_its_words() -> None:
    odd = {**HERE, "reason": "<b>"}
    text = render(state(("start", START), sites(odd, HERE), sites(odd, GONE), sites(odd, HERE), met(0)))
    assert "<h2>The sites</h2>" in text
    assert "&lt;b&gt;" in text
    assert "1 time, 1.00 s" in text
    assert "<h2>The sites</h2>" not in render(state(("start", START), met(0)))
