"""Sums of whole gradients in bins, and which rows of a leaf go where."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkoot.kernels.compiled import kernel


@kernel
def sums_in_bins(columns: Any, rows: Any, gradients: Any, hessians: Any, sums: Any) -> None:
    """Add the gradients, the Hessians and the number of some rows to the bins of each column.

    Args:
        columns: (features, rows) uint8, the bins of all rows.
        rows: (some,) which of them.
        gradients: (rows,) int64 of all rows.
        hessians: (rows,) int64 of all rows; empty where all are 1.
        sums: (features, bins, 3) int64, or (features, bins, 2) without Hessians; the number comes last.
    """
    own = np.empty(len(rows), np.int64)
    for i in range(len(rows)):
        own[i] = gradients[rows[i]]
    if len(hessians) == 0:
        for j in range(columns.shape[0]):
            column, into = columns[j], sums[j]
            for i in range(len(rows)):
                b = column[rows[i]]
                into[b, 0] += own[i]
                into[b, 1] += 1
        return
    other = np.empty(len(rows), np.int64)
    for i in range(len(rows)):
        other[i] = hessians[rows[i]]
    for j in range(columns.shape[0]):
        column, into = columns[j], sums[j]
        for i in range(len(rows)):
            b = column[rows[i]]
            into[b, 0] += own[i]
            into[b, 1] += other[i]
            into[b, 2] += 1


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
