"""tk.report: a run as one HTML file that opens anywhere, without a network and without scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from talkoot.watch import words
from talkoot.watch.charts import Mark, Stream, curve, flow, flow_on_phone
from talkoot.watch.events import Event, plain, read, unwritable
from talkoot.watch.findings import advice_of, agreement, comparison_of, notes_of, sameness, transfer_of
from talkoot.watch.markup import Safe, join, tag
from talkoot.watch.mishaps import mishaps
from talkoot.watch.page import page, section
from talkoot.watch.steps import RATE
from talkoot.watch.story import Facts, Story, tell


class Told(Protocol):
    """What can say what it found: a comparison, a data contract, a verification."""

    def facts(self) -> Mapping[str, Any]:
        """Its findings as plain values."""


def report(
    log: str | Path | Iterable[Event],
    path: str | Path,
    *,
    comparison: Told | None = None,
    contract: Told | None = None,
    verification: Told | None = None,
) -> Path:
    """Write the report of a run.

    Args:
        log: an event log's file, the folder of a run, or events.
        path: where to write the HTML file; its folders are made.
        comparison: what `compare` returned, if the log does not tell of it.
        contract: what `check` returned, likewise.
        verification: what `verify` returned, likewise.

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
    story = tell(read(log) if isinstance(log, str | Path) else log)
    found = {"compare": comparison, "check": contract, "verify": verification}
    given = {name: plain(told.facts()) for name, told in found.items() if told is not None}
    path, page = Path(path), render(replace(story, facts={**story.facts, **given}))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise unwritable("the report", path, error) from error
    return path


def render(story: Story) -> str:
    """A story as an HTML document; sections of which nothing is known are left out."""
    title = _title(story)
    parts = [
        _head(story, title),
        _nodes(story) if story.nodes else None,
        _steps(story) if story.steps.reports else None,
        _rounds(story) if story.rounds else None,
        _found(story, "note", notes_of),
        _found(story, "advice", advice_of),
        _found(story, "compare", comparison_of),
        _found(story, "transfer", transfer_of),
        _found(story, "verify", sameness),
        _found(story, "check", agreement),
        _plan(story) if story.get("start") else None,
        _versions(story),
    ]
    return page(title, *parts)


def _title(story: Story) -> str:
    if story.get("compare") and not story.get("start"):
        return f"Alone or together: {words.many(len(story.get('compare')['nodes']), 'node')}"
    nodes = words.many(len(story.nodes), "node")
    if story.get("end") and not story.get("end").get("ok"):
        return f"A run of {nodes} that did not finish"
    return f"One model from {nodes}"


def _found(story: Story, event: str, draw: Any) -> Safe | None:
    facts = story.get(event)
    return draw(facts) if facts else None


def _head(story: Story, title: str) -> Safe:
    when = story.began or story.now
    began = datetime.fromtimestamp(when).astimezone() if when else None
    end, error, ran = story.get("end"), story.get("end").get("error"), bool(story.get("start"))
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
    return join(over, tag("h1", title), tag("p", _lead(story), class_="lead") if ran else None, stop)


def _lead(story: Story) -> str:
    schema, seconds = story.get("schema"), story.get("end").get("seconds")
    what = "" if story.rows is None else f"{words.many(story.rows, 'row')}, "
    if schema.get("features"):
        width = words.many(schema["features"], "feature")
        classes = f" and {words.count(len(schema['classes']))} classes" if schema.get("classes") else ""
        what = f"{what.removesuffix(', ')} with {width}{classes}; "
    took = "" if seconds is None else f" in {words.duration(seconds)}"
    return f"{what}{words.many(*story.counted)}{took}."


def _nodes(story: Story) -> Safe:
    streams = [
        Stream(
            name=node.name,
            rows=node.rows,
            seconds=sum(story.seconds(node.name)) if story.seconds(node.name) else None,
            trouble=_trouble(story, node.name),
        )
        for node in story.nodes.values()
    ]
    lines = [words.many(story.rows, "row")] if story.rows is not None else []
    lines.append(words.many(*story.counted))
    drawn = join(
        tag("div", flow(streams, "one model", lines).draw(), class_="draw wide"),
        tag("div", flow_on_phone(streams, "one model", lines).draw(), class_="draw narrow"),
    )
    lost = [tag("li", _lost(facts)) for facts in story.lost if "name" not in facts]
    ranks = [tag("li", words.sentence(mishap.text)) for mishap in mishaps(story)]
    failed = [
        tag("li", f"{node} did not arrive in round {index}: {cause}")
        for node in story.nodes
        for index, cause in story.failed(node).items()
    ]
    told = "Rows stay at their node. What a node sends in a round is merged with what the others send."
    if story.stepwise:
        told = "Each node has its part of the samples of every step. The gradients of all are averaged."
    trouble = tag("ul", *lost, *ranks, *failed) if lost or ranks or failed else None
    return section("The nodes", tag("p", told, _place(story)), drawn, trouble)


def _place(story: Story) -> Safe | None:
    start = story.get("start")
    if "engine" not in start:
        return None
    return join(" They were on ", tag("code", start["engine"]), f": {start.get('reason') or 'as asked'}.")


def _trouble(story: Story, node: str) -> str:
    failed = story.failed(node)
    if failed:
        return f"did not arrive in {words.many(len(failed), 'round')}"
    if late := story.late(node):
        return f"was late in {words.many(late, 'round')}"
    return "its worker was lost and replaced" if story.nodes[node].replaced else ""


def _lost(facts: Facts) -> str:
    nodes = words.listed(list(map(str, facts.get("nodes", []))))
    return f"Worker {facts.get('worker', '?')}, which hosted {nodes}, was replaced: {facts.get('cause', '?')}"


def _steps(story: Story) -> Safe:
    steps, mean = story.steps, story.steps.mean_rate
    metrics = dict.fromkeys(name for report in steps.reports for name in report.metrics)
    by_step = [Mark(at=m.step, text=m.text, bad=m.bad) for m in mishaps(story)]
    by_time = [Mark(at=m.at - story.began, text=m.text, bad=m.bad) for m in mishaps(story)]
    curves = [
        curve(name, series, say="step {:,.0f}".format, scale="linear", marks=by_step).draw()
        for name in metrics
        if name != RATE and len(series := steps.series(name)) > 1
    ]
    rates = {
        report.at - story.began: report.metrics[RATE] for report in steps.reports if RATE in report.metrics
    }
    if len(rates) > 1:
        drawn = curve("samples/s", rates, say=words.duration, scale="from zero", marks=by_time)
        curves.append(drawn.draw())
    said = [f"{words.many(steps.done, 'step')} of {words.count(steps.total)}"]
    said += [f"by {words.many(steps.ranks, 'rank')} at the end"] if story.groups else []
    said += [words.rate(mean)] if mean is not None else []
    key = "Dashed lines: where ranks were lost, or others came." if by_step else None
    return section(
        "The steps",
        tag("p", f"{', '.join(said)}."),
        tag("div", *curves, class_="pair") if curves else None,
        tag("p", key, class_="note") if key else None,
    )


def _rounds(story: Story) -> Safe:
    curves = [curve(name, series).draw() for name, series in story.metrics.items() if len(series) > 1]
    spent = [facts["seconds"] for facts in story.rounds if "seconds" in facts]
    dropped = sum(not facts.get("committed", True) for facts in story.rounds)
    said = [f"{words.many(len(story.rounds), 'round')}"]
    if spent:
        said.append(f", {words.duration(sorted(spent)[len(spent) // 2])} each (median)")
    said.append(f"; {words.many(dropped, 'round')} missed the quorum and did not count." if dropped else ".")
    if len(story.rounds) == 1:
        said = ["One round of sums decides the answer."]
    return section(
        "The rounds", tag("p", "".join(said)), tag("div", *curves, class_="pair") if curves else None
    )


def _plan(story: Story) -> Safe:
    start, digest = story.get("start"), story.get("start").get("digest")
    lead = tag("p", "All that the run did, before any data moved. Its digest is ", tag("code", digest), ".")
    return section("The plan", lead if digest else None, tag("pre", start.get("plan", "")))


def _versions(story: Story) -> Safe | None:
    told = [f"{name} {version}" for name, version in story.get("log").get("versions", {}).items()]
    return tag("footer", " · ".join(told)) if told else None
