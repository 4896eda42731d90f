"""Sums that fade with each row."""

from __future__ import annotations

import numpy as np

from talkoot.kernels.compiled import kernel

Reals = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Ints = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
HIGH = 1e100


@kernel
def fade(sums: Reals, weight: Reals, keep: float, cells: Ints, values: Reals) -> None:
    """For each row add `values[i, k]` to cell `cells[i, k]`; earlier rows then count `keep` times as much.

    What a row adds grows instead of the others becoming smaller: divide by `weight[0]` to read the sums.
    """
    for i in range(cells.shape[0]):
        weight[0] /= keep
        if weight[0] > HIGH:
            sums /= weight[0]
            weight[0] = 1.0
        for k in range(cells.shape[1]):
            sums[cells[i, k]] += weight[0] * values[i, k]
