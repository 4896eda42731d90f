"""What left a site, as its data-protection officer reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from talkoot.api.evidence.document import Record, decisions, document, span, text, when, wide
from talkoot.watch import words
from talkoot.watch.markup import Child, Safe, tag
from talkoot.watch.page import section, table

if TYPE_CHECKING:
    from talkoot.engines.federation.audit import AuditLog, Entry
    from talkoot.engines.federation.consent.words import Part


def site_evidence(site: str, run: str, log: AuditLog, parts: Sequence[Part]) -> str:
    """The page as an HTML document.

    Args:
        site: whose log it is.
        run: the run's whole name.
        log: the site's audit log.
        parts: the proposal in words.
    """
    record = Record.of(log, run)
    sent = record.of_event("sent")
    sections = [
        decisions(record, by="who"),
        section("What left, and when", *_left(sent)),
        section("What others can read", *_readable(record)),
    ]
    return document(f"What left {site}", run, _lead(sent, record.entries), record, parts, sections)


def _lead(sent: Sequence[Entry], entries: Sequence[Entry]) -> str:
    if not entries:
        return "This log holds nothing of that run."
    if not sent:
        return "Nothing left."
    total = sum(_size(entry) for entry in sent)
    return (
        f"{words.many(len(sent), 'answer')} with {words.many(total, 'byte')} altogether, "
        f"from {when(sent[0].at)} to {when(sent[-1].at)}."
    )


def _left(sent: Sequence[Entry]) -> Iterator[Safe]:
    """What left: answers of one kind and size one after the other as one row."""
    if not sent:
        yield tag("p", "Nothing left.")
        return
    rows: list[list[Child]] = []
    for (what, size), group in groupby(sent, key=lambda entry: (_what(entry), _size(entry))):
        found = list(group)
        digest = tag("code", text(found[0], "digest")[:12], ", ..." if found[1:] else "")
        moment = span(found[0].at, found[-1].at)
        rows.append([moment, what, words.count(len(found)), words.count(size), digest])
    yield tag("p", "Each answer is in the audit log with its SHA-256; the other end's log holds the same.")
    yield wide(table(["when", "what", "answers", "bytes each", "SHA-256"], rows, numbers=(2, 3)))


def _readable(record: Record) -> Iterator[Safe]:
    """What stands in the ledger of this run, and what was withheld because of it or of other runs."""
    from talkoot.engines.federation.ledger.ledger import Sum

    found: list[list[Child]] = []
    for entry in record.of_event("disclosed"):
        sites, masked = tuple(map(str, entry.facts.get("sites", ()))), bool(entry.facts.get("masked"))
        readable = Sum(run="", dataset="", sites=sites, masked=masked).in_words()
        found.append([when(entry.at), readable, words.count(int(entry.facts.get("rows", 0)))])
    if found:
        yield wide(table(["since", "what others can read", "rows of this site"], found, numbers=(2,)))
    else:
        yield tag("p", "Nothing.")
    for entry in record.of_event("withheld"):
        yield tag("p", f"Withheld {when(entry.at)}: {text(entry, 'why')}")


def _what(entry: Entry) -> str:
    if entry.facts.get("error"):
        return f"an error: {text(entry, 'error')}"
    query, phase = text(entry, "query"), text(entry, "phase")
    if query:
        return f"the answer to {query}"
    return "sums of a round" if phase in ("", "update") else f"{phase} of a round"


def _size(entry: Entry) -> int:
    return int(entry.facts.get("bytes", 0))
