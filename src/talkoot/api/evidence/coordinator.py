"""What went through a coordinator: who decided, what each site sent and was sent, and who was waited for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from talkoot.api.evidence.document import Record, decisions, document, span, text, when, wide
from talkoot.core.round import UPDATE
from talkoot.watch import words
from talkoot.watch.markup import Child, Safe, tag
from talkoot.watch.page import section, table

if TYPE_CHECKING:
    from talkoot.engines.federation.audit import AuditLog, Entry
    from talkoot.engines.federation.consent.words import Part

TROUBLE = {"lost": "was lost while it was waited for", "returned": "was back"}


def coordinator_evidence(
    name: str, run: str, sites: Sequence[str], log: AuditLog, parts: Sequence[Part]
) -> str:
    """The page as an HTML document.

    Args:
        name: of the coordinator.
        run: the run's whole name.
        sites: those of the proposal.
        log: the coordinator's audit log.
        parts: the proposal in words.
    """
    record = Record.of(log, run)
    rounds = record.of_event("received")
    sections = [
        decisions(record, by="site"),
        section("What went to and fro", *_sites(sites, rounds)),
        section("The rounds", *_rounds(rounds, len(sites))),
        section("Who was lost, or did not answer", _trouble(record.entries)),
    ]
    return document(f"What went through {name}", run, _lead(record, rounds), record, parts, sections)


def _lead(record: Record, rounds: Sequence[Entry]) -> str:
    if not record.entries:
        return "This log holds nothing of that run."
    over = "The run is over." if record.of_event("finished") else "The run has not ended."
    if not rounds:
        return f"No round was held. {over}"
    came, went = (sum(sum(_of(entry, way).values()) for entry in rounds) for way in ("in", "out"))
    answers = sum(len(_of(entry, "sites")) for entry in rounds)
    return (
        f"{words.many(answers, 'answer')} with {words.many(came, 'byte')} came from sites, and "
        f"{words.many(went, 'byte')} went to them, from {when(rounds[0].at)} to {when(rounds[-1].at)}. {over}"
    )


def _sites(sites: Sequence[str], rounds: Sequence[Entry]) -> Iterator[Safe]:
    """What each site sent and was sent, altogether."""
    rows: list[list[Child]] = []
    for name in sites:
        answers = sum(name in _of(entry, "sites") for entry in rounds)
        numbers = [sum(_of(entry, way).get(name, 0) for entry in rounds) for way in ("in", "out")]
        missed = sum(name in _of(entry, "failed") for entry in rounds)
        rows.append([name, *map(words.count, (answers, *numbers, missed))])
    heads = ["site", "answers", "bytes from it", "bytes to it", "rounds missed"]
    yield tag(
        "p", "To a site go plans and questions; from it come its answers. Each has its SHA-256 in the log."
    )
    yield wide(table(heads, rows, numbers=(1, 2, 3, 4)))


def _rounds(rounds: Sequence[Entry], sites: int) -> Iterator[Safe]:
    """Rounds of one kind with the same sites as one row."""
    if not rounds:
        yield tag("p", "No round was held.")
        return
    kinds: dict[tuple[str, tuple[str, ...]], list[Entry]] = {}
    for entry in rounds:
        kinds.setdefault((text(entry, "phase"), tuple(_of(entry, "sites"))), []).append(entry)
    rows: list[list[Child]] = []
    for (phase, arrived), found in kinds.items():
        came, went = (sum(sum(_of(entry, way).values()) for entry in found) for way in ("in", "out"))
        numbers = (
            words.count(len(found)),
            f"{len(arrived)} of {sites}",
            words.count(came),
            words.count(went),
        )
        what = "sums" if phase == UPDATE else phase
        rows.append([span(found[0].at, found[-1].at), what, *numbers, _slowest(found)])
    heads = ["when", "what", "rounds", "sites", "bytes in", "bytes out", "longest at work"]
    yield wide(table(heads, rows, numbers=(2, 3, 4, 5)))


def _slowest(found: Sequence[Entry]) -> str:
    """The site that was at work longest in these rounds, and how long."""
    spent = [(float(s), name) for entry in found for name, s in _of(entry, "seconds").items()]
    seconds, name = max(spent, default=(0.0, ""))
    return f"{name}, {words.duration(seconds)}" if name else ""


def _trouble(entries: Sequence[Entry]) -> Safe:
    rows: list[list[Child]] = []
    for entry in entries:
        if entry.event in TROUBLE:
            rows.append([when(entry.at), text(entry, "site"), TROUBLE[entry.event]])
        for name, cause in _of(entry, "failed").items():
            rows.append([when(entry.at), name, f"no answer in round {text(entry, 'round')}: {cause}"])
    if not rows:
        return tag("p", "Nobody: each site answered each round that it took part in.")
    return wide(table(["when", "site", "what"], rows))


def _of(entry: Entry, name: str) -> dict[str, Any]:
    """What an entry holds by site."""
    found = entry.facts.get(name)
    return found if isinstance(found, dict) else {}
