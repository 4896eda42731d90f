"""Checks of how columns were recorded: other units, constant columns, codes for missing values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.special import bdtrc

from talkoot.data.contract.checks.units import other_units
from talkoot.data.contract.contract import Finding, percent
from talkoot.data.contract.node_profile import ColumnProfile, p_value
from talkoot.data.tables.columns import TEXT

CODES = (0.0, -1.0, -9.0, -99.0, -999.0, -9999.0, 99.0, 999.0, 9999.0, 99999.0)  # may stand for "missing"
MIN_CODE_SHARE = 0.05  # share of rows with a code from which there is a finding
MAX_USUAL = 0.5  # a constant with at least this share elsewhere is a note, not a warning
MIN_DISTINCT = 10  # a column needs more distinct quantiles than this for a code to stand out


def recorded_otherwise(name: str, known: Mapping[str, ColumnProfile], level: float) -> Iterator[Finding]:
    """All checks of this file for one column."""
    yield from in_other_units(name, known)
    for node, profile in known.items():
        rest = [other for k, other in known.items() if k != node]
        found = _constant(name, node, profile, rest, level)
        if found is None and profile.kind != TEXT:
            found = _code(name, node, profile, rest, level)
        if found is not None:
            yield found


def in_other_units(name: str, known: Mapping[str, ColumnProfile]) -> Iterator[Finding]:
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


def _constant(
    name: str, node: str, profile: ColumnProfile, rest: Sequence[ColumnProfile], level: float
) -> Finding | None:
    """A column that is constant at this node only, significantly."""
    value = _only(profile)
    if value is None or all(_only(other) is not None for other in rest):
        return None
    usual = np.average(
        [other.share_at_most(value) for other in rest], weights=[other.known for other in rest]
    )
    if bdtrc(profile.known - profile.least, profile.known, usual) >= level:
        return None
    return Finding(
        severity="warning" if usual < MAX_USUAL else "note",
        kind="constant",
        node=node,
        column=name,
        what=f"{profile.every} {shown(value)}, which {_bound(profile, usual)} of the values elsewhere are",
        cure="It may stand for a missing value, or not have been recorded.",
        size=1 - float(usual),
    )


def _only(profile: ColumnProfile) -> float | None:
    """The only value of a column; None where it has several."""
    if profile.values is not None:
        return next(iter(profile.values)) if profile.complete and len(profile.values) == 1 else None
    if profile.least > 1:
        return None  # nothing is known of the ends
    assert profile.grid is not None
    return float(profile.grid[0]) if profile.grid[0] == profile.grid[-1] else None


def _code(
    name: str, node: str, profile: ColumnProfile, rest: Sequence[ColumnProfile], level: float
) -> Finding | None:
    """A code for missing values that is frequent at this node only, significantly."""
    if profile.grid is None or len(np.unique(profile.grid)) <= MIN_DISTINCT:
        return None
    rest = [other for other in rest if other.grid is not None]
    if not rest:
        return None
    ends = np.median([np.quantile(other.quantiles, (0.02, 0.98)) for other in rest], axis=0)
    for code in CODES:
        here = profile.share(code)
        if here < MIN_CODE_SHARE or ends[0] <= code <= ends[1]:
            continue
        fair = [other for other in rest if other.share_at_most(code) < 0.5]  # not those that hold little else
        total = sum(other.known for other in fair)
        usual = sum(other.share_at_most(code) * other.known for other in fair) / max(1, total)
        if usual > here / 4:
            continue
        counts = np.array([[here, 1 - here], [usual, 1 - usual]]) * [[profile.known], [total]]
        if p_value(counts) < level:
            return Finding(
                severity="warning",
                kind="code",
                node=node,
                column=name,
                what=f"{percent(here)} of the values are {code:g}, and {_bound(profile, usual)} elsewhere",
                cure="If the code means missing, declare it missing.",
                size=here,
            )
    return None


def _bound(profile: ColumnProfile, share: float) -> str:
    """A share elsewhere, which is the greatest possible where thresholds leave it open."""
    return percent(share) if profile.least == 1 else f"at most {percent(share)}"


def shown(value: object) -> str:
    """A value as findings print it."""
    return f"{value:g}" if isinstance(value, float) else repr(value)
