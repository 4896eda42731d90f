"""Checks of what columns hold: missing values, codes, categories, distributions, labels.

A difference is told when it is large enough to matter and too large for chance: every test is held to
`ALPHA` divided by the number of tests (Bonferroni), so rows dealt at random give no findings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from talkoot.data.contract.checks.recorded import in_other_units, recorded_otherwise, shown
from talkoot.data.contract.contract import Finding, percent
from talkoot.data.contract.views import View, apart, chance, stability, table
from talkoot.data.tables.columns import TEXT

ALPHA = 0.001  # the chance of any finding at all where nodes are alike
GONE, SOME = 0.2, 0.05  # difference in the share of missing values: a warning, a note
STRONG, SLIGHT = 0.25, 0.1  # population stability index (the usual marks): a warning, a note
SKEWED, UNEVEN = 0.1, 0.05  # total variation of labels: a warning, a note
TELLING = 0.05  # share of rows with values of one node only: a warning
FEW = 10  # distinct numbers up to which a value that one node alone has is told

Views = Mapping[str, View]  # one column at every node that has it


def column(name: str, views: Views, tests: int) -> Iterator[Finding]:
    """All that is to say about one feature.

    Args:
        name: the column.
        views: what it is at each node.
        tests: number of tests that are made in all.
    """
    level = ALPHA / tests
    yield from missing(name, views, level)
    known = {node: view for node, view in views.items() if view.known}
    if len(known) < 2:
        return
    told = list(recorded_otherwise(name, known, level))
    yield from told
    if all(view.values is not None and view.complete for view in known.values()):
        coded = list(categories(name, known, level))
        yield from coded
        if any(finding.severity == "warning" for finding in coded):
            return  # its distribution cannot be compared before the codes are
    if any(view.values is not None and not view.complete for view in known.values()):
        return  # too many texts to compare
    yield from shift(name, _without(known, told), level)


def _without(known: Views, told: list[Finding]) -> Views:
    """The nodes whose values can be compared after what was found; a unit that may be another can."""
    odd = {f.node for f in told if f.kind != "units" or f.severity == "warning"}
    return {node: view for node, view in known.items() if node not in odd}


def missing(name: str, views: Views, level: float) -> Iterator[Finding]:
    """Nodes that lack values in different shares, and values that nobody has."""
    shares = {node: view.absent for node, view in views.items()}
    infinite = {node: view.infinite for node, view in views.items() if view.infinite}
    for node, count in infinite.items():
        what = f"{count} values are infinite"
        cure = "Learners refuse them: cap or clear them."
        yield Finding(severity="warning", kind="infinite", node=node, column=name, what=what, cure=cure)
    most, least = max(shares, key=shares.__getitem__), min(shares, key=shares.__getitem__)
    if shares[least] == 1:
        what, cure = "no node has a value", "Leave it out with columns=."
        yield Finding(severity="warning", kind="missing", column=name, what=what, cure=cure, size=1.0)
        return
    counts = np.array([[view.missing, view.rows - view.missing] for view in views.values()], dtype=float)
    gap = shares[most] - shares[least]
    if gap < SOME or chance(counts) >= level:
        return
    order = sorted(shares, key=lambda node: -shares[node])
    named = order if len(order) <= 5 else [*order[:3], *order[-2:]]
    told = ", ".join(f"{percent(shares[node])} at {node}" for node in named)
    yield Finding(
        severity="warning" if gap >= GONE else "note",
        kind="missing",
        node=most,
        column=name,
        what=f"missing in {told}",
        cure="Agree on how to fill them, or leave the column out.",
        size=shares[most],
    )


def categories(name: str, known: Views, level: float) -> Iterator[Finding]:
    """Values that one node alone has: told for text, and for numbers that are few."""
    values = {node: view.values or {} for node, view in known.items()}
    if any(view.kind != TEXT for view in known.values()) and max(map(len, values.values())) > FEW:
        return
    if {value for own in values.values() for value in own} <= {0.0, 1.0}:
        return  # an indicator: where it is never set it is constant, which is told
    rows = sum(view.known for view in known.values())
    for node, own in values.items():
        others = {value for k, there in values.items() if k != node for value in there}
        share = known[node].known / rows
        alone = [value for value in own if value not in others]
        spelt = {_plain(value): value for value in others}
        alike = [value for value in alone if isinstance(value, str) and _plain(value) in spelt]
        if alike:
            yield Finding(
                severity="warning",
                kind="spelling",
                node=node,
                column=name,
                what=f"writes {alike[0]!r} where others write {spelt[_plain(alike[0])]!r}",
                cure="Spell categories alike, or they count as different ones.",
            )
        strange = [v for v in alone if v not in alike and share ** own[v] < level]
        part = sum(own[value] for value in strange) / known[node].known
        if strange:
            named = ", ".join(map(shown, strange[:5])) + (" ..." if len(strange) > 5 else "")
            yield Finding(
                severity="warning" if part >= TELLING else "note",
                kind="category",
                node=node,
                column=name,
                what=f"{percent(part)} of the rows have values that no other node has: {named}",
                cure="Look whether they are coded differently; else nothing can be learned from others here.",
                size=part,
            )


def shift(name: str, known: Views, level: float) -> Iterator[Finding]:
    """Nodes whose values are distributed differently than those of all others together."""
    if len(known) < 2:
        return
    counts = table(known.values())
    for i, node in _each(known):
        here, rest = counts[i], np.delete(counts, i, axis=0).sum(axis=0)
        size = stability(here, rest)
        if size < SLIGHT or chance(np.array([here, rest])) >= level:
            continue
        yield Finding(
            severity="warning" if size >= STRONG else "note",
            kind="shift",
            node=node,
            column=name,
            what=f"distributed differently than at the other nodes (index {size:.2f})",
            cure="Compare alone with together (tk.compare): the others may not help here.",
            size=size,
        )


def labels(name: str, views: Views, level: float) -> Iterator[Finding]:
    """Targets: classes that a node lacks, and classes in other shares; numbers as any column."""
    known = {node: view for node, view in views.items() if view.known}
    for node, view in views.items():
        if view.missing:
            what, cure = f"{view.missing} rows have no target", "Leave those rows out."
            yield Finding(severity="error", kind="labels", node=node, column=name, what=what, cure=cure)
    if len(known) < 2:
        return
    if any(view.values is None for view in known.values()):
        units = list(in_other_units(name, known))
        yield from units
        yield from shift(name, _without(known, units), level)
        return
    if len({view.kind for view in known.values()}) > 1:
        text = next(node for node, view in known.items() if view.kind == TEXT)
        what, cure = "labels are text here and numbers elsewhere", "Name the classes alike at all nodes."
        yield Finding(severity="error", kind="labels", node=text, column=name, what=what, cure=cure)
        return
    every = sorted({value for view in known.values() for value in view.values or ()})
    counts = table(known.values())
    chosen = dict(_each(known))
    for i, node in enumerate(known):
        here, rest = counts[i], np.delete(counts, i, axis=0).sum(axis=0)
        yield from _lacking(name, node, every, here, rest, level)
        if i in chosen:
            yield from _uneven(name, node, every, here, rest, level)


def _lacking(
    name: str, node: str, classes: list[float | str], here: np.ndarray, rest: np.ndarray, level: float
) -> Iterator[Finding]:
    usual = rest / rest.sum()
    lacking = [
        c for c, n, p in zip(classes, here, usual, strict=True) if not n and (1 - p) ** here.sum() < level
    ]
    if (here > 0).sum() == 1:
        what = f"every row has the label {shown(classes[int(here.argmax())])}"
        cure = "No model can be trained here alone; together one can."
        yield Finding(
            severity="warning", kind="labels", node=node, column=name, what=what, cure=cure, size=1.0
        )
    elif lacking:
        part = sum(p for c, p in zip(classes, usual, strict=True) if c in lacking)
        what = f"no row has the label {', '.join(map(shown, lacking))}, which {percent(part)} have elsewhere"
        cure = "Look whether labels mean the same here."
        yield Finding(
            severity="warning", kind="labels", node=node, column=name, what=what, cure=cure, size=part
        )


def _uneven(
    name: str, node: str, classes: list[float | str], here: np.ndarray, rest: np.ndarray, level: float
) -> Iterator[Finding]:
    usual = rest / rest.sum()
    size = apart(here, rest)
    if size < UNEVEN or chance(np.array([here, rest])) >= level:
        return
    most = int(np.abs(here / here.sum() - usual).argmax())
    yield Finding(
        severity="warning" if size >= SKEWED else "note",
        kind="labels",
        node=node,
        column=name,
        what=f"label {shown(classes[most])} has {percent(here[most] / here.sum())} of the rows here and "
        f"{percent(usual[most])} elsewhere (total variation {size:.2f})",
        cure="Weigh classes, or judge models by the ranking of rows rather than by accuracy.",
        size=size,
    )


def _each(known: Views) -> list[tuple[int, str]]:
    """The nodes to hold against the others, with their places; of two only the smaller."""
    places = sorted(enumerate(known), key=lambda place: known[place[1]].known)
    return places[:1] if len(places) == 2 else sorted(places)


def _plain(value: object) -> str:
    return " ".join(str(value).casefold().split())
