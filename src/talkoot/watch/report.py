"""tk.report: a run as one HTML file that opens anywhere, without a network and without scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from talkoot.watch import words
from talkoot.watch.charts import MAX_NODES, Mark, NodeBand, curve, flow, flow_on_phone
from talkoot.watch.events import Event, plain, read
from talkoot.watch.findings import (
    advice_of,
    agreement,
    comparison_of,
    notes_of,
    sameness,
    sites_of,
    transfer_of,
)
from talkoot.watch.markup import Safe, join, tag
from talkoot.watch.page import page, section, write_page
from talkoot.watch.rank_changes import rank_changes
from talkoot.watch.state import Facts, RunState, replay
from talkoot.watch.steps import RATE
from talkoot.watch.stream import Stream
from talkoot.watch.svg import Picture

SECTIONS = {
    "note": notes_of,
    "advice": advice_of,
    "compare": comparison_of,
    "transfer": transfer_of,
    "verify": sameness,
    "check": agreement,
}


class HasFacts(Protocol):
    """A comparison, a data contract or a verification."""

    def facts(self) -> Mapping[str, Any]:
        """Its results as plain values."""


def report(
    log: str | Path | Iterable[Event],
    path: str | Path,
    *,
    comparison: HasFacts | None = None,
    contract: HasFacts | None = None,
    verification: HasFacts | None = None,
) -> Path:
    """Write the report of a run.

    Args:
        log: an event log's file, the folder of a run, or events.
        path: where to write the HTML file; folders are made.
        comparison: the result of `compare`, if it is not in the log.
        contract: the result of `check`, likewise.
        verification: the result of `verify`, likewise.

    Returns:
        The path written to.

    Raises:
        DataError: the log is no event log, or the path cannot be written to.

    >>> import tempfile
    >>> events = [{"t": 0.0, "event": "start", "nodes": ["a"], "rows": {"a": 5}, "plan": "learner  Mean"}]
    >>> path = report(events, Path(tempfile.mkdtemp()) / "report.html")
    >>> "<h1>One model from 1 node</h1>" in path.read_text()
    True
    """
    state = replay(read(log) if isinstance(log, str | Path) else log)
    results = {"compare": comparison, "check": contract, "verify": verification}
    added = {name: plain(result.facts()) for name, result in results.items() if result is not None}
    return write_page(render(replace(state, facts={**state.facts, **added})), Path(path), "the report")


def render(state: RunState) -> str:
    """The report as an HTML document, without the sections that have no data."""
    title = _title(state)
    parts = [
        _head(state, title),
        _nodes(state) if state.nodes else None,
        sites_of(state.sites) if state.sites else None,
        _steps(state) if state.steps.reports else None,
        _stream(state.stream) if state.stream.points else None,
        _rounds(state) if state.rounds else None,
        *(draw(state.get(event)) for event, draw in SECTIONS.items() if state.get(event)),
        _plan(state) if state.get("start") else None,
        _versions(state),
    ]
    return page(title, *parts)


def _title(state: RunState) -> str:
    if state.get("compare") and not state.get("start"):
        return f"Alone or together: {words.many(len(state.get('compare')['nodes']), 'node')}"
    nodes = words.many(len(state.nodes), "node")
    if state.get("end") and not state.get("end").get("ok"):
        return f"A run of {nodes} that did not finish"
    return f"One model from {nodes}"


def _head(state: RunState, title: str) -> Safe:
    when = state.began or state.now
    began = datetime.fromtimestamp(when).astimezone() if when else None
    end, error, ran = state.get("end"), state.get("end").get("error"), bool(state.get("start"))
    over = tag(
        "div",
        tag("span", "Talkoot: a run"),
        tag("span", f"{began:%-d %B %Y, %H:%M %Z}" if began else ""),
        class_="over",
    )
    stop = None
    if end and not end.get("ok"):
        stop = tag(
            "div", tag("p", tag("span", "It did not finish. ", class_="word bad"), error), class_="stop"
        )
    elif ran and not end:
        stop = tag("div", tag("p", "The log has no end: the run goes on, or was killed."), class_="stop")
    return join(over, tag("h1", title), tag("p", _lead(state), class_="lead") if ran else None, stop)


def _lead(state: RunState) -> str:
    schema, seconds = state.get("schema"), state.get("end").get("seconds")
    what = "" if state.rows is None else f"{words.many(state.rows, 'row')}, "
    if schema.get("features"):
        width = words.many(schema["features"], "feature")
        classes = f" and {words.count(len(schema['classes']))} classes" if schema.get("classes") else ""
        what = f"{what.removesuffix(', ')} with {width}{classes}; "
    took = "" if seconds is None else f" in {words.duration(seconds)}"
    return f"{what}{words.many(*state.counted)}{took}."


def _nodes(state: RunState) -> Safe:
    bands = [
        NodeBand(
            name=node.name,
            rows=node.rows,
            seconds=sum(state.seconds(node.name)) if state.seconds(node.name) else None,
            trouble=_trouble(state, node.name),
        )
        for node in state.nodes.values()
    ]
    lines = [words.many(state.rows, "row")] if state.rows is not None else []
    lines.append(words.many(*state.counted))
    drawn = join(
        tag("div", flow(bands, "one model", lines).draw(), class_="draw wide"),
        tag("div", flow_on_phone(bands, "one model", lines).draw(), class_="draw narrow"),
    )
    lost = [tag("li", _lost(facts)) for facts in state.lost if "name" not in facts]
    ranks = [tag("li", words.sentence(change.text)) for change in rank_changes(state)]
    failed = [
        tag("li", f"{node} did not arrive in round {index}: {cause}")
        for node in state.nodes
        for index, cause in state.failed(node).items()
    ]
    how = "Rows stay at their node. What a node sends in a round is merged with what the others send."
    if state.stepwise:
        how = "Each node has its part of the samples of every step. The gradients of all are averaged."
    trouble = tag("ul", *lost, *ranks, *failed) if lost or ranks or failed else None
    return section("The nodes", tag("p", how, _place(state)), drawn, trouble)


def _place(state: RunState) -> Safe | None:
    start = state.get("start")
    if "engine" not in start:
        return None
    return join(" They were on ", tag("code", start["engine"]), f": {start.get('reason') or 'as asked'}.")


def _trouble(state: RunState, node: str) -> str:
    failed = state.failed(node)
    if failed:
        return f"did not arrive in {words.many(len(failed), 'round')}"
    if late := state.late(node):
        return f"was late in {words.many(late, 'round')}"
    return "its worker was lost and replaced" if state.nodes[node].replaced else ""


def _lost(facts: Facts) -> str:
    nodes = words.listed(list(map(str, facts.get("nodes", []))))
    return f"Worker {facts.get('worker', '?')}, which hosted {nodes}, was replaced: {facts.get('cause', '?')}"


def _steps(state: RunState) -> Safe:
    steps, mean = state.steps, state.steps.mean_rate
    metrics = dict.fromkeys(name for report in steps.reports for name in report.metrics)
    by_step = [Mark(at=m.step, text=m.text, bad=m.bad) for m in rank_changes(state)]
    by_time = [Mark(at=m.at - state.began, text=m.text, bad=m.bad) for m in rank_changes(state)]
    curves = [
        curve(name, series, say="step {:,.0f}".format, scale="linear", marks=by_step).draw()
        for name in metrics
        if name != RATE and len(series := steps.series(name)) > 1
    ]
    rates = {
        report.at - state.began: report.metrics[RATE] for report in steps.reports if RATE in report.metrics
    }
    if len(rates) > 1:
        drawn = curve("samples/s", rates, say=words.duration, scale="from zero", marks=by_time)
        curves.append(drawn.draw())
    lead = [f"{words.many(steps.done, 'step')} of {words.count(steps.total)}"]
    lead += [f"by {words.many(steps.ranks, 'rank')} at the end"] if state.groups else []
    lead += [words.rate(mean)] if mean is not None else []
    key = "Dashed lines: where ranks were lost, or others came." if by_step else None
    return section(
        "The steps",
        tag("p", f"{', '.join(lead)}."),
        tag("div", *curves, class_="pair") if curves else None,
        tag("p", key, class_="note") if key else None,
    )


def _stream(stream: Stream) -> Safe:
    """The score of each node by its rows, with a mark where each change began; nodes with changes first."""
    drawn = sorted(stream.points, key=lambda node: -len(stream.findings.get(node, ())))
    curves = [_course(node, stream).draw() for node in drawn[:MAX_NODES] if len(stream.points[node]) > 1]
    changes = sum(map(len, stream.findings.values()))
    lead = f"Each curve is a node's {stream.measure}, which were predicted before they were learned."
    found = (
        "No change was found." if not changes else f"{words.many(changes, 'change')} found, see the notes."
    )
    more = len(drawn) - MAX_NODES
    keys = ["Dashed lines: where a change began."] if changes else []
    keys += [f"{words.many(more, 'node')} with fewer changes not drawn."] if more > 0 else []
    return section(
        "The stream",
        tag("p", f"{lead} {found}"),
        tag("div", *curves, class_="pair") if curves else None,
        *(tag("p", key, class_="note") for key in keys),
    )


def _course(node: str, stream: Stream) -> Picture:
    """The curve of one node; what began before its first point is marked there."""
    points = dict(sorted(stream.points[node].items()))
    marks = [
        Mark(at=max(one["since"], min(points)), text=one["text"], bad=one["bad"])
        for one in stream.findings.get(node, {}).values()
    ]
    return curve(node, points, say="row {:,.0f}".format, scale="linear", marks=marks)


def _rounds(state: RunState) -> Safe:
    curves = [curve(name, series).draw() for name, series in state.metrics.items() if len(series) > 1]
    spent = [facts["seconds"] for facts in state.rounds if "seconds" in facts]
    dropped = sum(not facts.get("committed", True) for facts in state.rounds)
    lead = words.many(state.round_count, "round")
    lead += f", {words.duration(sorted(spent)[len(spent) // 2])} each (median)" if spent else ""
    lead += f"; {words.many(dropped, 'round')} missed the quorum and did not count." if dropped else "."
    if len(state.rounds) == 1 and not state.stream.points:
        lead = "One round of sums decides the answer."
    return section("The rounds", tag("p", lead), tag("div", *curves, class_="pair") if curves else None)


def _plan(state: RunState) -> Safe:
    start, digest = state.get("start"), state.get("start").get("digest")
    lead = tag("p", "All that the run did, before any data moved. Its digest is ", tag("code", digest), ".")
    return section("The plan", lead if digest else None, tag("pre", start.get("plan", "")))


def _versions(state: RunState) -> Safe | None:
    versions = [f"{name} {version}" for name, version in state.get("log").get("versions", {}).items()]
    return tag("footer", " · ".join(versions)) if versions else None
