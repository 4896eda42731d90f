"""The report: one file, whole, safe, and complete for every run, also for one that broke."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkoot.core.errors import DataError
from talkoot.watch.events import EventLog
from talkoot.watch.report import render, report
from talkoot.watch.state import replay

VOID = {"meta"}


class Outline(HTMLParser):
    """Headings and text of a page; raises where elements do not close as they opened."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.heads: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.names.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("h1", "h2"):
            self.heads.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] in ("h1", "h2"):
            self.heads[-1] += data


def events(**changes: Any) -> list[dict[str, Any]]:
    start: dict[str, Any] = {
        "event": "start",
        "plan": "learner  Glm()\nseed     0",
        "digest": "abc123",
        "nodes": ["north", "south"],
        "rows": {"north": 30, "south": 10},
        "engine": "Local(2)",
        "reason": "as asked",
    }
    rounds: list[dict[str, Any]] = [
        {
            "event": "round",
            "round": i,
            "arrived": ["north", "south"],
            "failed": {},
            "committed": True,
            "metrics": {"loss": 1 / (i + 1)},
            "seconds": 0.2,
            "nodes": {"north": 0.1, "south": 0.05},
        }
        for i in range(3)
    ]
    told: list[dict[str, Any]] = [
        {"event": "log", "versions": {"talkoot": "9.9"}},
        start,
        {"event": "schema", "rows": 40, "features": 3, "names": None, "classes": ["a", "b"]},
        *rounds,
        {"event": "end", "seconds": 1.25, "ok": True, "error": None},
    ]
    return [{"t": 1e9 + i, **event, **changes.get(event["event"], {})} for i, event in enumerate(told)]


COMPARED = {"alone": (0.6, 0.5, 0.7), "together": (0.8, 0.75, 0.85)}
BESIDE: list[dict[str, Any]] = [
    {"event": "compare", "metric": "accuracy", "nodes": {"north": COMPARED, "south": COMPARED}},
    {"event": "transfer", "metric": "accuracy", "scores": {"north": {"north": 0.5, "south": 0.25}}},
    {
        "event": "verify",
        "ok": False,
        "rows": [
            {"name": "coef_", "difference": 1e-9, "tolerance": 1e-6, "ok": True},
            {"name": "predict", "difference": 0.5, "tolerance": 1e-6, "ok": False},
        ],
        "notes": ["Both sides were fitted with tol=1e-08."],
    },
    {
        "event": "check",
        "findings": [{"level": "warning", "node": "south", "column": "age", "text": "in other units"}],
    },
]


def test_a_whole_run_is_told_in_order() -> None:
    found = Outline(render(replay([*events(), *({"t": 2e9, **event} for event in BESIDE)])))
    assert found.heads == [
        "One model from 2 nodes",
        "The nodes",
        "The rounds",
        "Does working together pay?",
        "Who can predict for whom?",
        "Is it the same answer?",
        "Do the nodes' data agree?",
        "The plan",
    ]
    for words in (
        "40 rows with 3 features and 2 classes",
        "3 rounds in 1.25 s",
        "Local(2)",
        "0.20 s each (median)",
        "abc123",
        "learner  Glm()",
        "talkoot 9.9",
        "differs",
        "tol=1e-08",
        "in other units",
        "better for north and south",
    ):
        assert words in found.text, words


def test_sections_of_which_nothing_is_known_are_left_out() -> None:
    assert Outline(render(replay([]))).heads == ["One model from 0 nodes"]
    assert Outline(render(replay(events()[:2]))).heads == ["One model from 2 nodes", "The nodes", "The plan"]


def test_shifts_of_columns_are_a_picture_and_cures_are_said_once() -> None:
    shift = {
        "level": "note",
        "kind": "shift",
        "node": "north",
        "column": "age",
        "size": 0.21,
        "text": "shifted",
    }
    unit = {"level": "error", "kind": "units", "what": "in inches", "cure": "Convert it.", "text": "-"}
    rows = [shift, {**unit, "node": "north", "column": "a"}, {**unit, "node": "south", "column": "b"}]
    page = render(replay([*events(), {"t": 2e9, "event": "check", "findings": rows}]))
    found = Outline(page)
    assert found.text.count("Convert it.") == 1
    assert found.text.count("in inches") == 2
    assert "1 note and 2 errors" in found.text
    assert "how differently it is distributed at" in found.text
    assert "0.21" in found.text


def test_data_that_agree_are_said_to(tmp_path: Path) -> None:
    page = report([*events(), {"t": 2e9, "event": "check", "findings": []}], tmp_path / "r.html").read_text()
    assert "They do: nothing was found." in page


def test_a_comparison_without_a_run_is_a_report_too() -> None:
    found = Outline(render(replay([{"t": 2e9, **BESIDE[0]}])))
    assert found.heads == ["Alone or together: 2 nodes", "Does working together pay?"]
    assert "no end" not in found.text


def test_narrow_screens_have_a_picture_of_their_own() -> None:
    page = render(replay(events()))
    assert page.count("one model</text>") == 2
    assert re.search(
        r"@media \(max-width: 680px\) {\s*.draw.wide { display: none; }\s*.draw.narrow { display: block", page
    )


def test_nothing_is_fetched_and_nothing_is_run(tmp_path: Path) -> None:
    page = report(
        [*events(), *({"t": 2e9, **event} for event in BESIDE)], tmp_path / "a" / "b.html"
    ).read_text()
    assert not Outline(page).names & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert not re.search(r"(?:src|href)=|@import|url\(", page)
    assert re.findall(r"https?://[^\"]+", page.replace("http://www.w3.org/2000/svg", "")) == []
    assert len(page) < 60_000


def test_a_node_that_was_late_says_how_often() -> None:
    assert "was late in 3 rounds" in Outline(render(replay(events(round={"late": ["south"]})))).text


def test_a_run_that_failed_says_so_first() -> None:
    broken = {"ok": False, "error": "node 'south', round 2: <no> rows"}
    found = Outline(render(replay(events(end=broken, round={"failed": {"south": "no rows"}}))))
    assert found.heads[0] == "A run of 2 nodes that did not finish"
    assert "It did not finish. node 'south', round 2: <no> rows" in found.text
    assert "south did not arrive in round 0: no rows" in found.text
    assert "did not arrive in 3 rounds" in found.text


def test_a_log_without_an_end_says_so() -> None:
    assert "The log has no end" in Outline(render(replay(events()[:-1]))).text


def test_lost_workers_and_dropped_rounds_are_told() -> None:
    lost = {"t": 1e9 + 4.5, "event": "worker", "worker": 1, "nodes": ["south"], "cause": "killed"}
    found = Outline(render(replay([*events(round={"committed": False})[:-1], lost, events()[-1]])))
    assert "Worker 1, which hosted south, was replaced: killed" in found.text
    assert "3 rounds missed the quorum" in found.text


def trained(reports: int) -> list[dict[str, Any]]:
    lost = {"event": "worker", "worker": 1, "nodes": [], "name": "process 7", "cause": "was killed (SIGKILL)"}
    advice = {"event": "advice", "text": "this is faster alone", "alone": 9000.0, "together": 5000.0}
    rates = {"loss": 0.5, "samples_per_s": 4000.0}
    steps: list[dict[str, Any]] = [
        {"event": "step", "step": 10 * i, "steps": 10 * reports, "seconds": 1.0, "ranks": 2, "metrics": rates}
        for i in range(1, reports + 1)
    ]
    met = {"event": "epoch", "epoch": 0, "ranks": 2}
    half = len(steps) // 2
    told = [met, *steps[:half], advice, lost, met, *steps[half:]]
    log, start, *_, end = events(start={"samples": True, "rounds": 10 * reports})
    return [log, start, *({"t": 1e9 + 2 + i, **event} for i, event in enumerate(told)), end]


def test_a_stream_shows_the_scores_of_its_nodes_and_where_they_changed() -> None:
    rose = {"since": 150, "bad": True, "text": "south: the error rose since row 150."}
    early = {"since": 20, "bad": False, "text": "south: 'a<b' lies elsewhere since row 20."}
    stream = [
        {"event": "stream", "measure": "log_loss of the last 1,000 rows", **new}
        for new in (
            {"points": {"south": [[100, 0.5]], "north": [[100, 0.4]]}, "findings": {}},
            {"points": {"south": [[200, 0.75]], "north": [[300, 0.4]]}, "findings": {"south": [rose, early]}},
            {"points": {"south": [[200, 0.75]]}, "findings": {"south": [rose]}},  # again, after a restart
        )
    ]
    run = events()
    after = next(at for at, one in enumerate(run) if one["event"] == "start") + 1
    page = render(replay([*run[:after], *({"t": 1.0, **one} for one in stream), *run[after:]]))
    outline = Outline(page)
    assert "The stream" in outline.heads
    assert "2 changes found" in outline.text
    assert page.count('class="event trouble"') == 2  # a line and its dot
    assert page.count("<title>south: the error rose") == 1
    assert "&#x27;a&lt;b&#x27; lies elsewhere" in page
    (x,) = re.findall(r'since row 150.</title><line x1="([\d.]+)"', page)
    (first,) = re.findall(r'since row 20.</title><line x1="([\d.]+)"', page)
    assert float(first) == 58.0  # at the first point: it began before that
    assert float(x) == 58.0 + (430 - 70 - 58) / 2
    assert page.index('aria-label="south from row') < page.index('aria-label="north from row')


@given(points=st.integers(1, 2000))
def test_a_stream_of_any_length_is_a_report(points: int) -> None:
    told = [
        {"t": 1.0, "event": "stream", "measure": "rmse", "points": {"a": [[at, 0.5]]}, "findings": {}}
        for at in range(points)
    ]
    state = replay([*events()[:1], *told])
    places = [*state.stream.points["a"]]
    assert places == sorted(places)
    assert (places[0], len(places) <= 400) == (0, True)
    Outline(render(state))


def test_a_training_shows_its_loss_its_speed_its_losses_and_the_advice() -> None:
    page = render(replay(trained(100)))
    found = Outline(page)
    assert found.heads == [
        "One model from 2 nodes",
        "The nodes",
        "The steps",
        "Would it be faster another way?",
        "The plan",
    ]
    for words in (
        "40 rows, 1,000 steps in 1.25 s.",
        "gradients of all are averaged",
        "1,000 steps of 1,000, by 2 ranks at the end, 4,000 samples/s.",
        "After step 500: rank 1 (process 7) was killed (SIGKILL); on with 2 ranks.",
        "Dashed lines",
        "This is faster alone.",
        "9,000 samples/s",
    ):
        assert words in found.text, words
    assert page.count("<line x1") >= 2
    assert page.count('class="event trouble"') == 4  # a line and its head in each of two curves
    assert "logarithmic" not in page


@pytest.mark.parametrize("reports", [1, 2, 3000])
def test_a_training_of_any_length_is_a_report(reports: int) -> None:
    page = render(replay(trained(reports)))
    assert "The steps" in Outline(page).heads
    assert len(page) < 60_000


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1))
def test_no_name_can_break_out(name: str) -> None:
    hostile = f"</title></svg><script>alert(1)</script>{name}"
    start = {"nodes": [hostile], "rows": {hostile: 3}, "plan": hostile, "engine": hostile}
    page = render(
        replay(events(start=start, end={"ok": False, "error": hostile}, round={"failed": {hostile: hostile}}))
    )
    found = Outline(page)
    assert "script" not in found.names
    assert hostile.replace("\r", "\n") in found.text


def test_objects_that_can_tell_are_shown_beside_the_log(tmp_path: Path) -> None:
    class Said:
        def facts(self) -> dict[str, Any]:
            return {"ok": True, "rows": [{"name": "coef_", "difference": 0.0, "tolerance": 1e-9, "ok": True}]}

    with EventLog(tmp_path / "events.jsonl") as log:
        log("start", {"nodes": ["a"], "plan": "learner  X"})
    page = report(tmp_path, tmp_path / "r.html", verification=Said())
    assert "Is it the same answer?" in Outline(page.read_text()).heads


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="is not an event log"):
        report(tmp_path / "x.csv", tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize("count", [1, 300])
def test_intervals_that_are_unknown_are_left_out(count: int) -> None:
    ways = {"alone": (0.5, None, None), "left out": (None, None, None)}
    facts = {"metric": "r2", "nodes": {f"n{i}": ways for i in range(count)}}
    page = render(replay([*events(), {"t": 2e9, "event": "compare", **facts}]))
    assert "0.500" in Outline(page).text
