"""Columns that one node records in another unit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from talkoot.data.views import View

# What one node's values are times another's, and what that would mean.
FACTORS = {
    1000.0: "a factor of 1000 (kilo or milli)",
    100.0: "a factor of 100 (percent, or metres and centimetres)",
    10.0: "a factor of 10",
    2.54: "a factor of 2.54 (inches and centimetres)",
    2.2046: "a factor of 2.205 (kilograms and pounds)",
    3.2808: "a factor of 3.281 (metres and feet)",
    1.6093: "a factor of 1.609 (miles and kilometres)",
    28.3495: "a factor of 28.35 (ounces and grams)",
    12.0: "a factor of 12 (years and months, or feet and inches)",
    24.0: "a factor of 24 (days and hours)",
    60.0: "a factor of 60 (hours, minutes, seconds)",
    3.6: "a factor of 3.6 (m/s and km/h)",
    4.184: "a factor of 4.184 (kilocalories and kilojoules)",
    18.016: "a factor of 18.02 (glucose in mmol/l and mg/dl)",
    38.67: "a factor of 38.67 (cholesterol in mmol/l and mg/dl)",
    88.42: "a factor of 88.42 (creatinine in mg/dl and umol/l)",
}
# Kolmogorov-Smirnov distance that must be there before (for factors under 10, which places differ by as
# well, and for larger ones), and that may be left after, besides what chance leaves (at 5%).
FAR, FARTHER, NEAR, LUCK = 0.7, 0.9, 0.1, 1.36


def other_units(views: Mapping[str, View]) -> dict[str, tuple[str, list[str]]]:
    """Nodes that record a column in another unit than most.

    Args:
        views: the column at each node.

    Returns:
        For each such node what the factor would mean, and the nodes that it differs from so.
    """
    fit = {node: v for node, v in views.items() if v.grid is not None and _spread(v)}
    found: dict[str, dict[str, str]] = {node: {} for node in fit}
    for a in fit:
        for b in fit:
            if a < b and (meaning := relation(fit[a], fit[b])) is not None:
                found[a][b] = found[b][a] = meaning
    odd: dict[str, tuple[str, list[str]]] = {}
    # The node at odds with most others is the one to convert; of two, the smaller.
    for node in sorted(found, key=lambda n: (-len(found[n]), fit[n].rows)):
        against = [other for other in found[node] if other not in odd]
        if against:
            odd[node] = (found[node][against[0]], against)
    return odd


def relation(a: View, b: View) -> str | None:
    """What turns one column's values into the other's best, if a known unit does; else None."""
    low, high = sorted((a.quantiles, b.quantiles), key=np.median)
    before = distance(low, high)
    if before < FAR:
        return None
    ratio = np.median(high) / np.median(low) if np.median(low) else 0.0
    left = {
        meaning: distance(low * factor, high)
        for factor, meaning in FACTORS.items()
        if before >= (FAR if factor >= 10 else FARTHER) and 0.8 < ratio / factor < 1.25
    }
    if before >= FARTHER:
        left["degrees Celsius and Fahrenheit"] = distance(low * 1.8 + 32, high)
    best = min(left, key=left.__getitem__, default=None)
    near = NEAR + LUCK * (1 / a.known + 1 / b.known) ** 0.5
    return best if best is not None and left[best] <= near else None


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance of two columns by their quantiles."""
    at = np.concatenate([a, b])
    below = [np.searchsorted(np.sort(grid), at, side="right") / len(grid) for grid in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def _spread(view: View) -> bool:
    assert view.grid is not None
    return view.known >= 20 and len(np.unique(view.grid)) > 10
