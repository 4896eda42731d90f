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
def parted(rows: Any, column: Any, goes_left: Any) -> Any:
    """(left, right): rows by the bin of a column, each in the order that they have.

    Args:
        rows: (some,) of a leaf.
        column: (rows,) the bins of all rows.
        goes_left: (bins,) whether a bin goes to the left.
    """
    count = 0
    for i in range(len(rows)):
        count += goes_left[column[rows[i]]]
    left = np.empty(count, rows.dtype)
    right = np.empty(len(rows) - count, rows.dtype)
    a = b = 0
    for i in range(len(rows)):
        if goes_left[column[rows[i]]]:
            left[a] = rows[i]
            a += 1
        else:
            right[b] = rows[i]
            b += 1
    return left, right
