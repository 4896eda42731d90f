"""Sums of whole gradients in bins, and which rows of a leaf go where."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkoot.kernels.compiled import inlined, kernel


@inlined
def _add(into: Any, b: Any, gradient: Any) -> None:
    into[b, 0] += gradient
    into[b, 1] += 1


@inlined
def _add_both(into: Any, b: Any, gradient: Any, hessian: Any) -> None:
    into[b, 0] += gradient
    into[b, 1] += hessian
    into[b, 2] += 1


@kernel
def sums_in_bins(columns: Any, rows: Any, gradients: Any, hessians: Any, sums: Any) -> None:
    """Add the gradients, the Hessians and the number of some rows to the bins of each column.

    Two columns at a time wait less for memory than one; all is read before anything is written.

    Args:
        columns: (features, rows) uint8, the bins of all rows.
        rows: (some,) which of them.
        gradients: (rows,) int64 of all rows.
        hessians: (rows,) int64 of all rows; empty where all are 1.
        sums: (features, bins, 3) int64, or (features, bins, 2) without Hessians; the number comes last.
    """
    count, features, both = len(rows), columns.shape[0], len(hessians) > 0
    own, other = np.empty(count, np.int64), np.empty(count if both else 0, np.int64)
    for i in range(count):
        own[i] = gradients[rows[i]]
    for i in range(len(other)):
        other[i] = hessians[rows[i]]
    for j in range(0, features - 1, 2):
        one, two, first, second = columns[j], columns[j + 1], sums[j], sums[j + 1]
        if both:
            for i in range(count):
                row, gradient, hessian = rows[i], own[i], other[i]
                a, b = one[row], two[row]
                _add_both(first, a, gradient, hessian)
                _add_both(second, b, gradient, hessian)
        else:
            for i in range(count):
                row, gradient = rows[i], own[i]
                a, b = one[row], two[row]
                _add(first, a, gradient)
                _add(second, b, gradient)
    if features % 2:
        one, first = columns[features - 1], sums[features - 1]
        for i in range(count):
            if both:
                _add_both(first, one[rows[i]], own[i], other[i])
            else:
                _add(first, one[rows[i]], own[i])


@kernel
def sums_of_leaves(columns: Any, order: Any, places: Any, gradients: Any, hessians: Any, sums: Any) -> None:
    """Add the rows of some leaves to a histogram each.

    Args:
        columns: (features, rows) uint8, the bins of all rows.
        order: (rows,) the numbers of the rows, those of a leaf side by side.
        places: (leaves, 2) from where to where each has its rows.
        gradients: see `sums_in_bins`.
        hessians: see `sums_in_bins`.
        sums: (leaves, features, bins, 3 or 2) int64.
    """
    for leaf in range(len(places)):
        sums_in_bins(columns, order[places[leaf, 0] : places[leaf, 1]], gradients, hessians, sums[leaf])


@kernel
def scale(sums: Any, gradient: Any, hessian: Any, into: Any) -> None:
    """Histograms as floats.

    Args:
        sums: (features, bins, 3 or 2), as `sums_in_bins` leaves them.
        gradient: what a unit of gradients is.
        hessian: what a unit of Hessians is.
        into: (features, bins) with fields `sum_gradients`, `sum_hessians` and `count`; the second is left
            as it is where there are no Hessians.
    """
    features, bins, last = sums.shape[0], sums.shape[1], sums.shape[2] - 1
    for j in range(features):
        for b in range(bins):
            into[j, b].sum_gradients = sums[j, b, 0] * gradient
            into[j, b].count = sums[j, b, last]
            if last == 2:
                into[j, b].sum_hessians = sums[j, b, 1] * hessian


@kernel
def difference(histogram: Any, other: Any, into: Any) -> None:
    """A histogram of floats less another, both (features, bins) as `scale` leaves them."""
    for j in range(histogram.shape[0]):
        for b in range(histogram.shape[1]):
            every, own, rest = histogram[j, b], other[j, b], into[j, b]
            rest.sum_gradients = every.sum_gradients - own.sum_gradients
            rest.sum_hessians = every.sum_hessians - own.sum_hessians
            rest.count = every.count - own.count


@kernel
def _part(rows: Any, column: Any, goes_left: Any) -> Any:
    """How many rows go to the left: these come first then."""
    right = np.empty_like(rows)
    a = b = 0
    for i in range(len(rows)):
        row = rows[i]
        left = goes_left[column[row]]
        rows[a] = row
        right[b] = row
        a += left
        b += not left
    rows[a:] = right[:b]
    return a


@kernel
def divide(columns: Any, order: Any, places: Any, splits: Any, goes_left: Any) -> None:
    """Divide leaves one after the other; rows stay in the order that they have.

    Args:
        columns: (features, rows) uint8, the bins of all rows.
        order: (rows,) the numbers of the rows, those of a leaf side by side; changed in place.
        places: (parts, 2) from where to where each part has its rows; changed in place.
        splits: (splits, 3 or more) left child, parent, feature.
        goes_left: (splits, bins) whether a bin goes to the left.
    """
    for s in range(len(splits)):
        child, parent = splits[s, 0], splits[s, 1]
        start, stop = places[parent, 0], places[parent, 1]
        middle = start + _part(order[start:stop], columns[splits[s, 2]], goes_left[s])
        places[parent, 1] = start
        places[child, 0], places[child, 1] = start, middle
        places[child + 1, 0], places[child + 1, 1] = middle, stop
