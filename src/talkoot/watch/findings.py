"""Sections of a report on comparisons, verifications and data contracts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from talkoot.watch import words
from talkoot.watch.markup import Child, Safe, join, tag
from talkoot.watch.page import section, table
from talkoot.watch.scores import VARIANTS, dots, matrix, transfer
from talkoot.watch.sites import APPROVED, SiteState
from talkoot.watch.state import Facts

NAMED = 6  # nodes up to which each is named


def comparison_of(facts: Facts) -> Safe:
    """Alone, together and pooled, node by node."""
    metric, nodes = facts["metric"], facts["nodes"]
    summary = facts.get("summary") if len(nodes) <= NAMED else None
    shown = {variant for scores in nodes.values() for variant in scores}
    key = "; ".join(f"{variant}: {how}" for variant, how in VARIANTS.items() if variant in shown)
    return section(
        "Does working together pay?",
        tag("p", summary or _verdict(nodes)),
        tag("div", dots(nodes, metric).draw(), class_="draw"),
        tag(
            "p",
            f"How the model was learned. {key}. Each is tested on rows that it has not seen.",
            class_="note",
        ),
    )


def _verdict(nodes: Facts) -> str:
    """For how many nodes learning together is better or worse, by intervals that do not overlap."""
    known = [(n, w["together"], w["alone"]) for n, w in nodes.items() if {"together", "alone"} <= w.keys()]
    sure = [(n, t, a) for n, t, a in known if None not in (*t, *a)]
    better = [n for n, together, alone in sure if together[1] > alone[2]]
    worse = [n for n, together, alone in sure if together[2] < alone[1]]
    level = len(nodes) - len(better) - len(worse)
    parts = [
        f"better for {_names(better)}" if better else "",
        f"worse for {_names(worse)}" if worse else "",
        f"not clearly different for {words.many(level, 'node')}" if level else "",
    ]
    return f"On a node's own rows, learning together is {'; '.join(part for part in parts if part)}."


def _names(nodes: list[str]) -> str:
    return words.listed(nodes) if len(nodes) <= NAMED else words.many(len(nodes), "node")


def sites_of(sites: Mapping[str, SiteState]) -> Safe:
    """What each site of a federation decided, how often it was lost, and how long it was waited for."""

    def row(name: str, site: SiteState) -> list[Child]:
        word = tag("span", site.state, class_=f"word {'good' if site.state == APPROVED else 'warn'}")
        away = f"{words.many(site.losses, 'time')}, {words.duration(site.away)}" if site.losses else ""
        gone = "" if site.connected else " and not back"
        held = words.duration(site.held) if site.held else ""
        day = f"{datetime.fromtimestamp(site.decided).astimezone():%Y-%m-%d %H:%M:%S}"
        return [name, word, day, site.reason, f"{away}{gone}" if away else "", held]

    heads = ["site", "has", "since", "why", "was lost", "waited for"]
    rows = [row(name, site) for name, site in sites.items()]
    lead = "Each site decides itself whether it takes part. A round waits for all that it needs."
    return section("The sites", tag("p", lead), tag("div", table(heads, rows), class_="draw"))


def transfer_of(facts: Facts) -> Safe:
    """The score of each node's model on the other nodes' rows."""
    return section(
        "Who can predict for whom?",
        tag("p", facts["summary"]) if facts.get("summary") else None,
        tag("div", transfer(facts["scores"], facts["metric"]).draw(), class_="draw"),
    )


def advice_of(facts: Facts) -> Safe:
    """How the training would be faster, as measured in the run."""
    text, alone, together = facts["text"], facts["alone"], facts["together"]
    rows: list[list[Child]] = [["one process", words.rate(alone)], ["as it ran", words.rate(together)]]
    shown = table(["", ""], rows, numbers=(1,))
    return section("Would it be faster another way?", tag("p", words.sentence(text)), shown)


def notes_of(facts: Facts) -> Safe:
    """Notes on how the model was made."""
    return section("Notes", *[tag("p", words.sentence(text)) for text in facts["texts"]])


def sameness(facts: Facts) -> Safe:
    """The differences from the model of a single machine with all rows."""
    unequal = [row for row in facts["rows"] if row["difference"] or not row["ok"]]
    equal = [row["name"] for row in facts["rows"] if not row["difference"] and row["ok"]]
    rows: list[list[Child]] = [
        [
            tag("code", row["name"]),
            words.number(row["difference"]),
            words.number(row["tolerance"]),
            tag("span", "same" if row["ok"] else "differs", class_=f"word {'good' if row['ok'] else 'bad'}"),
        ]
        for row in unequal
    ]
    heads = ["", "largest difference", "allowed", ""]
    lead = "The model learned over nodes, compared with scikit-learn's on all rows on one machine."
    notes = [f"Equal to the last bit: {words.listed(equal)}."] if equal else []
    lines = [tag("p", note, class_="note") for note in (*notes, *facts.get("notes", ()))]
    shown = table(heads, rows, numbers=(1, 2)) if rows else None
    return section("Is it the same answer?", tag("p", lead), shown, *lines)


def agreement(facts: Facts) -> Safe:
    """The findings of the data contract by cure; shifts of columns as a picture."""
    found = facts["findings"]
    title, lead = "Do the nodes' data agree?", "Checked before training, from counts and sums: no rows moved."
    if not found:
        return section(title, tag("p", "They do: nothing was found. ", lead))
    shifts = [row for row in found if row.get("kind") == "shift"]
    others = [row for row in found if row.get("kind") != "shift"]
    levels = Counter(row["level"] for row in found)
    counts = words.listed([words.many(count, level) for level, count in levels.items()])
    return section(
        title,
        tag("p", f"{counts}. {lead}"),
        _findings(others) if others else None,
        _shifts(shifts) if shifts else None,
    )


def _findings(found: list[Facts]) -> Safe:
    """A table of findings, grouped by cure."""
    groups: dict[str, list[Facts]] = {}
    for row in found:
        groups.setdefault(row.get("cure") or "", []).append(row)
    rows = [
        line
        for cure, alike in groups.items()
        for line in (
            tag("tr", tag("td", cure, colspan=4, class_="cure")) if cure else None,
            *(_finding(row) for row in alike),
        )
    ]
    heads = tag("tr", *(tag("th", head) for head in ("", "node", "column", "what was found")))
    return tag("table", tag("thead", heads), tag("tbody", *rows))


def _finding(row: Facts) -> Safe:
    level = tag("span", row["level"], class_="word bad" if row["level"] == "error" else "word")
    return tag(
        "tr",
        tag("td", level),
        tag("td", row.get("node") or "", class_="place"),
        tag("td", row.get("column") or ""),
        tag("td", row.get("what") or row["text"]),
    )


def _shifts(found: list[Facts]) -> Safe:
    """How differently columns are distributed, for the nodes and columns where they differ most."""
    found = sorted(found, key=lambda row: -row["size"])
    nodes = list(dict.fromkeys(row["node"] for row in found))[:NAMED]
    columns = list(dict.fromkeys(row["column"] for row in found))[: 2 * NAMED]
    sizes = {(row["column"], row["node"]): row["size"] for row in found}
    cells = {
        column: {node: sizes[column, node] for node in sorted(nodes) if (column, node) in sizes}
        for column in columns
    }
    drawn = matrix(
        {column: row for column, row in cells.items() if row},
        ("column", "how differently it is distributed at"),
        "{:.2f}".format,
        full=1.0,
    )
    note = (
        "Population stability index of a node against the others: from 0.1 worth knowing, from 0.25 large. "
        "Where it is large, the others may not help: compare alone with together."
    )
    return join(tag("div", drawn.draw(), class_="draw"), tag("p", note, class_="note"))
