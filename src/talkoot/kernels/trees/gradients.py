"""Gradients as whole numbers, and what a tree adds to predictions."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkoot.kernels.compiled import kernel


@kernel
def rounded(values: Any, into: Any, unit: Any) -> Any:
    """(sum, greatest) of the magnitudes of floats in units of 1 / `unit`, rounded to whole ones in `into`.

    A number that does not fit into 64 bits leaves anything there; the sum shows that.
    """
    magnitude = greatest = 0.0
    for i in range(len(values)):
        value = np.rint(np.float64(values[i]) * unit)
        magnitude += abs(value)
        greatest = max(greatest, abs(value))
        into[i] = np.int64(value)
    return magnitude, greatest


@kernel
def raise_leaves(values: Any, order: Any, places: Any, by: Any) -> None:
    """Add to the values of the rows of each leaf.

    Args:
        values: (rows,) changed in place.
        order: (rows,) the numbers of the rows, those of a leaf side by side.
        places: (parts, 2) from where to where each has its rows; none for parts that were divided.
        by: (parts,) what is added.
    """
    for leaf in range(len(places)):
        for i in range(places[leaf, 0], places[leaf, 1]):
            values[order[i]] += by[leaf]
