"""Sections of a report on what was found beside the run: does it pay, is it the same, do the data agree."""

from __future__ import annotations

from talkoot.watch import words
from talkoot.watch.markup import Child, Safe, tag
from talkoot.watch.page import section, table
from talkoot.watch.scores import dots, matrix
from talkoot.watch.story import Facts


def comparison_of(facts: Facts) -> Safe:
    """Alone, together and pooled, node by node."""
    metric, nodes = facts["metric"], facts["nodes"]
    return section(
        "Does working together pay?",
        tag("p", facts.get("said") or _verdict(nodes)),
        tag("div", dots(nodes, metric).draw(), class_="draw"),
    )


def _verdict(nodes: Facts) -> str:
    better = [n for n, ways in nodes.items() if ways["together"][1] > ways["alone"][2]]
    worse = [n for n, ways in nodes.items() if ways["together"][2] < ways["alone"][1]]
    level = len(nodes) - len(better) - len(worse)
    parts = [
        f"better for {words.listed(better)}" if better else "",
        f"worse for {words.listed(worse)}" if worse else "",
        f"no different within the intervals for {words.many(level, 'node')}" if level else "",
    ]
    return f"On its own unseen rows, together is {'; '.join(p for p in parts if p)}."


def transfer_of(facts: Facts) -> Safe:
    """Who predicts for whom."""
    return section(
        "Who can predict for whom?",
        tag("p", facts["said"]) if facts.get("said") else None,
        tag("div", matrix(facts["scores"], facts["metric"]).draw(), class_="draw"),
    )


def sameness(facts: Facts) -> Safe:
    """The model beside the one that a single machine with all rows makes."""
    rows: list[list[Child]] = [
        [
            tag("code", row["name"]),
            words.number(row["difference"]),
            words.number(row["tolerance"]),
            tag("span", "same" if row["ok"] else "differs", class_=f"word {'good' if row['ok'] else 'bad'}"),
        ]
        for row in facts["rows"]
    ]
    heads = ["", "largest difference", "allowed", ""]
    lead = "The same rows on one machine, fitted by scikit-learn alone, against the model learned apart."
    return section("Is it the same answer?", tag("p", lead), table(heads, rows, numbers=(1, 2)))


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
