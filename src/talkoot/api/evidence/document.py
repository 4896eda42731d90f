"""A page of evidence: the parts that a site's and a coordinator's have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, final

import talkoot
from talkoot.core.errors import DataError
from talkoot.watch import words
from talkoot.watch.markup import Child, Safe, tag
from talkoot.watch.page import page, section, table

if TYPE_CHECKING:
    from talkoot.engines.federation.audit import AuditLog, Entry
    from talkoot.engines.federation.consent.words import Part

STATES = {"approved": "good", "refused": "warn", "withdrawn": "warn", "expired": "warn", "pending": "muted"}


@final
@dataclass(frozen=True, slots=True)
class Record:
    """What a log holds of a run.

    Args:
        whole: whether no line of the log was changed, moved or left out; else it has no entries.
        proof: that in words.
        entries: the lines about the run.
        versions: of the packages of the last start.
    """

    whole: bool
    proof: Safe
    entries: Sequence[Entry]
    versions: dict[str, Any]

    @classmethod
    def of(cls, log: AuditLog, run: str) -> Record:
        """What a log holds of a run, once it is verified."""
        try:
            head = log.verify()
        except DataError as error:
            word = tag("span", "This record cannot be relied on. ", class_="word bad")
            return cls(False, tag("div", tag("p", word, str(error)), class_="stop"), (), {})
        good = tag("span", "Yes. ", class_="word good")
        lines = (
            f"Each of the {words.many(head.lines, 'line')} of {log.path.name} follows from the one before; "
            "none was changed, moved or left out. Write the hash of the last one down elsewhere: it is "
        )
        versions: dict[str, Any] = {"talkoot": talkoot.__version__}
        for entry in log.entries():
            if entry.event == "start":
                versions = dict(entry.facts.get("versions", {}))
        proof = tag("p", good, lines, tag("code", head.hash), ".")
        return cls(True, proof, list(log.entries(run)), versions)

    def of_event(self, event: str) -> list[Entry]:
        """The lines of one kind."""
        return [entry for entry in self.entries if entry.event == event]


def document(
    title: str, run: str, lead: str, record: Record, parts: Sequence[Part], sections: Sequence[Safe]
) -> str:
    """The page as an HTML document.

    Args:
        title: of the page.
        run: the run's whole name.
        lead: one sentence.
        record: what the log holds.
        parts: the proposal in words.
        sections: what is the page's own.
    """
    today = datetime.now().astimezone()
    dated = tag("span", f"{today:%-d %B %Y, %H:%M %Z}")
    return page(
        f"{title}, run {run[:8]}",
        tag("div", tag("span", "Talkoot: evidence"), dated, class_="over"),
        tag("h1", title),
        tag("p", lead, class_="lead"),
        None if record.whole else record.proof,
        *(section(part.title, tag("ul", *(tag("li", line) for line in part.lines))) for part in parts),
        *sections,
        section("Is this record whole?", record.proof) if record.whole else None,
        _versions(record) if record.whole else None,
    )


def decisions(record: Record, by: str) -> Safe:
    """Who proposed and who decided what, when and why.

    Args:
        record: what the log holds.
        by: the fact that names who decided.
    """
    rows: list[list[Child]] = []
    for entry in record.entries:
        if entry.event == "proposed":
            rows.append([when(entry.at), "proposed", text(entry, "researcher"), ""])
        elif entry.event == "decided":
            state = text(entry, "state")
            word = tag("span", state, class_=f"word {STATES.get(state, 'muted')}")
            rows.append([when(entry.at), word, text(entry, by), text(entry, "why")])
        elif entry.event == "consented":
            why = f"its part may become known; signed {text(entry, 'signature')[:16]}..."
            rows.append([when(entry.at), "consented", text(entry, "site"), why])
    shown = wide(table(["when", "what", "by", "why"], rows)) if rows else tag("p", "Nothing was decided.")
    return section("Who decided", shown)


def wide(child: Safe) -> Safe:
    """What may be wider than a telephone; it is moved sideways there."""
    return tag("div", child, class_="draw")


def text(entry: Entry, name: str) -> str:
    """A fact as text."""
    return str(entry.facts.get(name, ""))


def when(at: float, *, after: float = 0.0) -> str:
    """A day and a time, with hyphens that do not break; the time alone on the day of `after`."""
    moment, before = (datetime.fromtimestamp(one).astimezone() for one in (at, after))
    day = f"{moment:%Y-%m-%d} ".replace("-", "\u2011")
    return f"{'' if moment.date() == before.date() else day}{moment:%H:%M:%S}"


def span(first: float, last: float) -> str:
    """From when to when; one time where both are the same."""
    return when(first) if first == last else f"{when(first)} to {when(last, after=first)}"


def _versions(record: Record) -> Safe:
    return tag("footer", " · ".join(f"{name} {version}" for name, version in record.versions.items()))
