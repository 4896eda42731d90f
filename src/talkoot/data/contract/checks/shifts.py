"""Checks of the values of columns: missing values, codes, categories, distributions, labels.

A difference is reported when it is large and significant: every test has the level `ALPHA` divided by the
number of tests (Bonferroni), so rows split at random give no findings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
from scipy.special import bdtr, bdtrc

from talkoot.data.contract.checks.recorded import in_other_units, recorded_otherwise, shown
from talkoot.data.contract.contract import Finding, percent
from talkoot.data.contract.node_profile import (
    ColumnProfile,
    contingency_table,
    p_value,
    stability_index,
    total_variation,
)
from talkoot.data.tables.columns import TEXT

ALPHA = 0.001  # probability of any finding where nodes do not differ
MISSING_WARNING, MISSING_NOTE = 0.2, 0.05  # difference in the share of missing values
SHIFT_WARNING, SHIFT_NOTE = 0.25, 0.1  # population stability index, the usual thresholds
LABELS_WARNING, LABELS_NOTE = 0.1, 0.05  # total variation distance of labels
CATEGORY_WARNING = 0.05  # share of rows with values that only this node has
MAX_DISTINCT = 10  # distinct numbers up to which they are compared like categories

Profiles = Mapping[str, ColumnProfile]  # one column at every node that has it
MakeFinding = Callable[..., Finding]


def column(name: str, profiles: Profiles, tests: int) -> Iterator[Finding]:
    """All findings about one feature, from its column at each node; `tests` is the number of all tests."""
    level = ALPHA / tests
    yield from missing(name, profiles, level)
    known = {node: profile for node, profile in profiles.items() if profile.described}
    if len(known) < 2:
        return
    findings = list(recorded_otherwise(name, known, level))
    yield from findings
    if all(profile.values is not None and profile.complete for profile in known.values()):
        coded = list(categories(name, known, level))
        yield from coded
        if any(finding.severity == "warning" for finding in coded):
            return  # distributions can be compared once the categories agree
    if any(profile.values is not None and not profile.complete for profile in known.values()):
        return  # too many texts to compare
    yield from shift(name, _without(known, findings), level)


def _without(known: Profiles, findings: list[Finding]) -> Profiles:
    """The nodes whose values can still be compared; a note about units does not prevent it."""
    odd = {f.node for f in findings if f.kind != "units" or f.severity == "warning"}
    return {node: profile for node, profile in known.items() if node not in odd}


def missing(name: str, profiles: Profiles, level: float) -> Iterator[Finding]:
    """Infinite values, columns without any value, and shares of missing values that differ."""
    shares = {node: profile.absent for node, profile in profiles.items()}
    for node, profile in profiles.items():
        if profile.infinite:
            what, cure = f"{profile.infinite} values are infinite", "Learners refuse them: cap or clear them."
            yield Finding(severity="warning", kind="infinite", node=node, column=name, what=what, cure=cure)
    most = max(shares, key=shares.__getitem__)
    if min(shares.values()) == 1:
        what, cure = "no node has a value", "Leave it out with columns=."
        yield Finding(severity="warning", kind="missing", column=name, what=what, cure=cure, size=1.0)
        return
    possible = [max(p.missing, min(p.least - 1, shares[most] * p.rows)) for p in profiles.values()]
    counts = np.array([[m, p.rows - m] for m, p in zip(possible, profiles.values(), strict=True)])
    gap = shares[most] - min(counts[:, 0] / counts.sum(axis=1))
    if gap < MISSING_NOTE or p_value(counts) >= level:
        return
    order = sorted(shares, key=lambda node: -shares[node])
    named = order if len(order) <= 5 else [*order[:3], *order[-2:]]
    few = [node for node in named if profiles[node].least > 1 and not profiles[node].missing]
    listed = ", ".join(f"{percent(shares[node])} at {node}" for node in named if node not in few)
    listed += f", in fewer than {max(profiles[k].least for k in few)} rows at {', '.join(few)}" if few else ""
    yield Finding(
        severity="warning" if gap >= MISSING_WARNING else "note",
        kind="missing",
        node=most,
        column=name,
        what=f"missing in {listed}",
        cure="Agree on how to fill them, or leave the column out.",
        size=shares[most],
    )


def categories(name: str, known: Profiles, level: float) -> Iterator[Finding]:
    """Values that only one node has, of text and of numbers with few distinct values."""
    values = {node: profile.values or {} for node, profile in known.items()}
    if any(p.kind != TEXT for p in known.values()) and max(map(len, values.values())) > MAX_DISTINCT:
        return
    if {value for own in values.values() for value in own} <= {0.0, 1.0}:
        return  # an indicator that is never set is reported as constant
    rows = sum(profile.known for profile in known.values())
    for node, own in values.items():
        others = {value for k, there in values.items() if k != node for value in there}
        share = known[node].known / rows
        alone = [value for value in own if value not in others]
        spelt = {_plain(value): value for value in others}
        alike = [value for value in alone if isinstance(value, str) and _plain(value) in spelt]
        if alike:
            what = f"writes {alike[0]!r} where others write {spelt[_plain(alike[0])]!r}"
            cure = "Spell categories alike, or they count as different ones."
            yield Finding(severity="warning", kind="spelling", node=node, column=name, what=what, cure=cure)
        hidden = sum(there.least - 1 for k, there in known.items() if k != node)
        strange = [v for v in alone if v not in alike and bdtrc(own[v] - 1, own[v] + hidden, share) < level]
        part = sum(own[value] for value in strange) / known[node].known
        if strange:
            named = ", ".join(map(shown, strange[:5])) + (" ..." if len(strange) > 5 else "")
            yield Finding(
                severity="warning" if part >= CATEGORY_WARNING else "note",
                kind="category",
                node=node,
                column=name,
                what=f"{percent(part)} of the rows have values that {_nobody(known[node])}: {named}",
                cure="Check whether they are coded differently; if not, other nodes know nothing about them.",
                size=part,
            )


def shift(name: str, known: Profiles, level: float) -> Iterator[Finding]:
    """Nodes whose distribution differs from that of all others together."""
    if len(known) < 2:
        return
    counts = contingency_table(known.values())
    for i, node in _each(known):
        here, rest = counts[i], np.delete(counts, i, axis=0).sum(axis=0)
        size = stability_index(here, rest)
        if size < SHIFT_NOTE or p_value(np.array([here, rest])) >= level:
            continue
        yield Finding(
            severity="warning" if size >= SHIFT_WARNING else "note",
            kind="shift",
            node=node,
            column=name,
            what=f"distributed differently than at the other nodes (index {size:.2f})",
            cure="Compare alone with together (tk.compare): the others may not help here.",
            size=size,
        )


def labels(name: str, profiles: Profiles, level: float) -> Iterator[Finding]:
    """Classes that a node lacks or has in other shares; numeric targets are checked like features."""
    finding = partial(Finding, kind="labels", column=name)
    known = {node: profile for node, profile in profiles.items() if profile.described}
    for node, profile in profiles.items():
        if profile.missing:
            what, cure = f"{profile.missing} rows have no target", "Leave those rows out."
            yield finding(severity="error", node=node, what=what, cure=cure)
    if len(known) < 2:
        return
    if any(profile.values is None for profile in known.values()):
        units = list(in_other_units(name, known))
        yield from units
        yield from shift(name, _without(known, units), level)
        return
    if len({profile.kind for profile in known.values()}) > 1:
        text = next(node for node, profile in known.items() if profile.kind == TEXT)
        what, cure = "labels are text here and numbers elsewhere", "Name the classes alike at all nodes."
        yield finding(severity="error", node=text, what=what, cure=cure)
        return
    every = sorted({value for profile in known.values() for value in profile.values or ()})
    if not all(profile.complete for profile in known.values()):
        return
    counts = contingency_table(known.values())
    chosen = dict(_each(known))
    for i, node in enumerate(known):
        here, rest = counts[i], np.delete(counts, i, axis=0).sum(axis=0)
        yield from _lacking(partial(finding, node=node), every, here, rest, level, known[node].least)
        if i in chosen:
            yield from _uneven(partial(finding, node=node), every, known[node], here, rest, level)


def _lacking(
    finding: MakeFinding,
    classes: list[float | str],
    here: np.ndarray,
    rest: np.ndarray,
    level: float,
    least: int,
) -> Iterator[Finding]:
    usual = dict(zip(classes, rest / rest.sum(), strict=True))
    absent = [c for c, count in zip(classes, here, strict=True) if count < least]
    lacking = [c for c in absent if bdtr(least - 1, int(here.sum()), usual[c]) < level]
    nobody = "no row has" if least == 1 else f"fewer than {least} rows have"
    if len(absent) == len(classes) - 1 and least == 1:
        what = f"every row has the label {shown(classes[int(here.argmax())])}"
        cure = "No model can be trained here alone; together one can."
        yield finding(severity="warning", what=what, cure=cure, size=1.0)
    elif lacking:
        part = sum(usual[c] for c in lacking)
        what = f"{nobody} the label {', '.join(map(shown, lacking))}, which {percent(part)} have elsewhere"
        cure = "Check whether labels mean the same here."
        yield finding(severity="warning", what=what, cure=cure, size=part)


def _uneven(
    finding: MakeFinding,
    classes: list[float | str],
    profile: ColumnProfile,
    here: np.ndarray,
    rest: np.ndarray,
    level: float,
) -> Iterator[Finding]:
    own, usual = here / here.sum(), rest / rest.sum()
    size = total_variation(here, rest)
    if size < LABELS_NOTE or p_value(np.array([here, rest])) >= level:
        return
    most = int(np.abs(own - usual).argmax())
    yield finding(
        severity="warning" if size >= LABELS_WARNING else "note",
        what=f"label {shown(classes[most])} has {_part(profile, classes[most])} of the rows here and "
        f"{percent(usual[most])} elsewhere (total variation {size:.2f})",
        cure="Weigh classes, or judge models by the ranking of rows rather than by accuracy.",
        size=size,
    )


def _each(known: Profiles) -> list[tuple[int, str]]:
    """The nodes to compare with the others, with their positions; of two only the smaller."""
    places = sorted(enumerate(known), key=lambda place: known[place[1]].known)
    return places[:1] if len(places) == 2 else sorted(places)


def _part(profile: ColumnProfile, value: float | str) -> str:
    """The share of the rows with a value, in words."""
    hidden = profile.least > 1 and not profile.share(value)
    about = "about " if profile.least > 1 else ""
    return f"fewer than {profile.least}" if hidden else f"{about}{percent(profile.share(value))}"


def _nobody(profile: ColumnProfile) -> str:
    """Who else has a value, in words."""
    least = profile.least
    return "no other node has" if least == 1 else f"at no other node {least} rows have"


def _plain(value: object) -> str:
    return " ".join(str(value).casefold().split())
