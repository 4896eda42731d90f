"""Checks of how columns were recorded: other units, columns that never vary, codes for missing values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from talkoot.data.contract.checks.units import other_units
from talkoot.data.contract.contract import Finding, percent
from talkoot.data.contract.views import View, chance
from talkoot.data.tables.columns import TEXT

CODES = (0.0, -1.0, -9.0, -99.0, -999.0, -9999.0, 99.0, 999.0, 9999.0, 99999.0)  # may stand for "missing"
CODED = 0.05  # share of rows with such a code from which it is told
USUAL = 0.5  # share of the values elsewhere from which it is no warning that all are the same here
VARIED = 10  # distinct quantiles that a column must have for a code to stand out


def recorded_otherwise(name: str, known: Mapping[str, View], level: float) -> Iterator[Finding]:
    """Other units, columns that are constant at one node, codes for missing values."""
    yield from in_other_units(name, known)
    for node, view in known.items():
        rest = [other for k, other in known.items() if k != node]
        found = _constant(name, node, view, rest, level)
        if found is None and view.kind != TEXT:
            found = _code(name, node, view, rest, level)
        if found is not None:
            yield found


def in_other_units(name: str, known: Mapping[str, View]) -> Iterator[Finding]:
    """Nodes that record a column in another unit than most."""
    for node, odd in other_units(name, known).items():
        others = ", ".join(odd.against[:3])
        others += f" and {len(odd.against) - 3} more" if len(odd.against) > 3 else ""
        medians = [float(np.median(known[k].quantiles)) for k in (node, odd.against[0])]
        yield Finding(
            severity="warning" if odd.sure else "note",
            kind="units",
            node=node,
            column=name,
            what=f"the unit {'looks' if odd.sure else 'may be'} different from {others}: {odd.meaning}; "
            f"the medians are {medians[0]:.4g} and {medians[1]:.4g}",
            cure="Convert it at the node.",
        )


def _constant(name: str, node: str, view: View, rest: list[View], level: float) -> Finding | None:
    """A column that varies elsewhere and not here, more often than chance allows."""
    value = _only(view)
    if value is None or all(_only(other) is not None for other in rest):
        return None
    usual = np.average([other.share(value) for other in rest], weights=[other.known for other in rest])
    if usual**view.known >= level:
        return None
    return Finding(
        severity="warning" if usual < USUAL else "note",
        kind="constant",
        node=node,
        column=name,
        what=f"every value is {shown(value)}, which {percent(usual)} of the values elsewhere are",
        cure="It may stand for a missing value, or not have been recorded.",
        size=1 - float(usual),
    )


def _only(view: View) -> float | None:
    """The one value that a column has; None where it has more."""
    if view.values is not None:
        return next(iter(view.values)) if len(view.values) == 1 else None
    assert view.grid is not None
    return float(view.grid[0]) if view.grid[0] == view.grid[-1] else None


def _code(name: str, node: str, view: View, rest: list[View], level: float) -> Finding | None:
    """A code for missing values that this node uses and others hardly do."""
    if view.grid is None or len(np.unique(view.grid)) <= VARIED:
        return None
    ends = np.median([np.quantile(other.quantiles, (0.02, 0.98)) for other in rest], axis=0)
    for code in CODES:
        here = view.share(code)
        if here < CODED or ends[0] <= code <= ends[1]:
            continue
        fair = [other for other in rest if other.share(code) < 0.5]  # not those that know nothing else
        total = sum(other.known for other in fair)
        usual = sum(other.share(code) * other.known for other in fair) / max(1, total)
        if usual > here / 4:
            continue
        counts = np.array([[here, 1 - here], [usual, 1 - usual]]) * [[view.known], [total]]
        if chance(counts) < level:
            return Finding(
                severity="warning",
                kind="code",
                node=node,
                column=name,
                what=f"{percent(here)} of the values are {code:g}, and {percent(usual)} elsewhere",
                cure="If the code means missing, make it so.",
                size=here,
            )
    return None


def shown(value: object) -> str:
    """A value as findings print it."""
    return f"{value:g}" if isinstance(value, float) else repr(value)
