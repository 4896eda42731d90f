"""What was approved and what left a site, as one HTML file for a data-protection officer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import talkoot
from talkoot.core.errors import DataError
from talkoot.watch import words
from talkoot.watch.events import unwritable
from talkoot.watch.markup import Child, Safe, tag
from talkoot.watch.page import page, section, table

if TYPE_CHECKING:
    from talkoot.engines.federation.audit import AuditLog, Entry
    from talkoot.engines.federation.consent.words import Part

STATES = {"approved": "good", "refused": "warn", "withdrawn": "warn", "expired": "warn", "pending": "muted"}


def evidence(site: str, run: str, log: AuditLog, parts: Sequence[Part], path: Path) -> Path:
    """Write the page.

    Args:
        site: whose log it is.
        run: the run's whole name.
        log: the site's audit log.
        parts: the proposal in words.
        path: the HTML file.

    Returns:
        The path.

    Raises:
        DataError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(site, run, log, parts), encoding="utf-8")
    except OSError as error:
        raise unwritable("the evidence", path, error) from error
    return path


def render(site: str, run: str, log: AuditLog, parts: Sequence[Part]) -> str:
    """The page as an HTML document."""
    whole, record = _chain(log)
    entries = [] if whole is None else list(log.entries(run))
    sent = [entry for entry in entries if entry.event == "sent"]
    title, today = f"What left {site}", datetime.now().astimezone()
    dated = tag("span", f"{today:%-d %B %Y, %H:%M %Z}")
    over = tag("div", tag("span", "Talkoot: evidence"), dated, class_="over")
    lead = tag("p", _lead(sent, entries), class_="lead")
    return page(
        f"{title}, run {run[:8]}",
        over,
        tag("h1", title),
        lead,
        record if whole is None else None,
        *(section(part.title, tag("ul", *(tag("li", line) for line in part.lines))) for part in parts),
        section("Who decided", _decisions(entries)),
        section("What left, and when", *_left(sent)),
        section("Is this record whole?", record) if whole is not None else None,
        _versions(log) if whole is not None else None,
    )


def _chain(log: AuditLog) -> tuple[int | None, Safe]:
    """The number of lines, None if the log is not whole; and that in words."""
    try:
        head = log.verify()
    except DataError as error:
        word = tag("span", "This record cannot be relied on. ", class_="word bad")
        return None, tag("div", tag("p", word, str(error)), class_="stop")
    good = tag("span", "Yes. ", class_="word good")
    text = (
        f"Each of the {words.many(head.lines, 'line')} of {log.path.name} follows from the one before; none "
        "was changed, moved or left out. Write the hash of the last one down elsewhere: it is "
    )
    return head.lines, tag("p", good, text, tag("code", head.hash), ".")


def _lead(sent: Sequence[Entry], entries: Sequence[Entry]) -> str:
    if not entries:
        return "This log holds nothing of that run."
    if not sent:
        return "Nothing left."
    total = sum(int(entry.facts.get("bytes", 0)) for entry in sent)
    return (
        f"{words.many(len(sent), 'answer')} with {words.many(total, 'byte')} altogether, "
        f"from {_when(sent[0].at)} to {_when(sent[-1].at)}."
    )


def _decisions(entries: Sequence[Entry]) -> Safe:
    rows: list[list[Child]] = []
    for entry in entries:
        facts = entry.facts
        if entry.event == "proposed":
            rows.append([_when(entry.at), "proposed", _text(facts, "researcher"), ""])
        elif entry.event == "decided":
            state = _text(facts, "state")
            word = tag("span", state, class_=f"word {STATES.get(state, 'muted')}")
            rows.append([_when(entry.at), word, _text(facts, "who"), _text(facts, "why")])
    return table(["when", "what", "by", "why"], rows) if rows else tag("p", "Nothing was decided.")


def _left(sent: Sequence[Entry]) -> Iterator[Safe]:
    """What left: answers of one kind and size one after the other as one row."""
    if not sent:
        yield tag("p", "Nothing left.")
        return
    rows: list[list[Child]] = []
    for (what, size), group in groupby(sent, key=lambda e: (_what(e), int(e.facts.get("bytes", 0)))):
        found = list(group)
        first, last = found[0], found[-1]
        more = "" if len(found) == 1 else f" to {_when(last.at, after=first.at)}"
        digest = tag("code", _text(first.facts, "digest")[:12], ", ..." if more else "")
        rows.append([_when(first.at) + more, what, words.count(len(found)), words.count(size), digest])
    yield tag("p", "Each answer is in the audit log with its SHA-256; the other end's log holds the same.")
    yield tag(
        "div",
        table(["when", "what", "answers", "bytes each", "SHA-256"], rows, numbers=(2, 3)),
        class_="draw",
    )


def _what(entry: Entry) -> str:
    facts = entry.facts
    if facts.get("error"):
        return f"an error: {_text(facts, 'error')}"
    query, phase = _text(facts, "query"), _text(facts, "phase")
    if query:
        return f"the answer to {query}"
    return "sums of a round" if phase in ("", "update") else f"{phase} of a round"


def _versions(log: AuditLog) -> Safe:
    found: dict[str, Any] = {"talkoot": talkoot.__version__}
    for entry in log.entries():
        if entry.event == "start":
            found = dict(entry.facts.get("versions", {}))
    return tag("footer", " · ".join(f"{name} {version}" for name, version in found.items()))


def _text(facts: dict[str, Any], name: str) -> str:
    return str(facts.get(name, ""))


def _when(at: float, *, after: float = 0.0) -> str:
    """A day and a time, with hyphens that do not break; the time alone on the day of `after`."""
    when, before = (datetime.fromtimestamp(moment).astimezone() for moment in (at, after))
    day = f"{when:%Y-%m-%d} ".replace("-", "\u2011")
    return f"{'' if when.date() == before.date() else day}{when:%H:%M:%S}"
