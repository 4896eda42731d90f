"""Sections of a report on what was found beside the run: does it pay, is it the same, do the data agree."""

from __future__ import annotations

from talkoot.watch import words
from talkoot.watch.markup import Child, Safe, tag
from talkoot.watch.page import section, table
from talkoot.watch.scores import dots, matrix
from talkoot.watch.story import Facts

WAYS = (
    ("alone", "from the node's own rows"),
    ("together", "from all nodes, by Talkoot"),
    ("pooled", "from all rows on one machine"),
    ("left out", "from all nodes but this one"),
)
FEW = 6  # nodes of which each gets a sentence


def comparison_of(facts: Facts) -> Safe:
    """Alone, together and pooled, node by node."""
    metric, nodes = facts["metric"], facts["nodes"]
    said = facts.get("said") if len(nodes) <= FEW else None
    shown = {way for ways in nodes.values() for way in ways}
    key = "; ".join(f"{way}: {how}" for way, how in WAYS if way in shown)
    return section(
        "Does working together pay?",
        tag("p", said or _verdict(nodes)),
        tag("div", dots(nodes, metric).draw(), class_="draw"),
        tag(
            "p",
            f"How the model was learned. {key}. Each is tested on rows that it has not seen.",
            class_="note",
        ),
    )


def _verdict(nodes: Facts) -> str:
    """How many nodes are better off, by intervals that do not touch."""
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
    return words.listed(nodes) if len(nodes) <= FEW else words.many(len(nodes), "node")


def transfer_of(facts: Facts) -> Safe:
    """Who predicts for whom."""
    return section(
        "Who can predict for whom?",
        tag("p", facts["said"]) if facts.get("said") else None,
        tag("div", matrix(facts["scores"], facts["metric"]).draw(), class_="draw"),
    )


def sameness(facts: Facts) -> Safe:
    """The model beside the one that a single machine with all rows makes."""
    told = [row for row in facts["rows"] if row["difference"] or not row["ok"]]
    equal = [row["name"] for row in facts["rows"] if not row["difference"] and row["ok"]]
    rows: list[list[Child]] = [
        [
            tag("code", row["name"]),
            words.number(row["difference"]),
            words.number(row["tolerance"]),
            tag("span", "same" if row["ok"] else "differs", class_=f"word {'good' if row['ok'] else 'bad'}"),
        ]
        for row in told
    ]
    heads = ["", "largest difference", "allowed", ""]
    lead = "The same rows on one machine, fitted by scikit-learn alone, against the model learned apart."
    notes = [f"Equal to the last bit: {words.listed(equal)}."] if equal else []
    said = [tag("p", note, class_="note") for note in (*notes, *facts.get("notes", ()))]
    shown = table(heads, rows, numbers=(1, 2)) if rows else None
    return section("Is it the same answer?", tag("p", lead), shown, *said)


def agreement(facts: Facts) -> Safe:
    """What the data contract found."""
    found = facts["findings"]
    if not found:
        return section("Do the nodes' data agree?", tag("p", "They do: nothing was found."))
    rows: list[list[Child]] = [
        [
            tag("span", row["level"], class_="word" + (" bad" if row["level"] == "error" else "")),
            row.get("node") or "",
            row.get("column") or "",
            row["text"],
        ]
        for row in found
    ]
    return section(
        "Do the nodes' data agree?",
        tag("p", "Checked before training, from counts and sums: no rows moved."),
        table(["", "node", "column", "what was found"], rows),
    )
