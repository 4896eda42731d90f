"""How many rows lie in each bin, feature by feature."""

from __future__ import annotations

import numpy as np

from talkoot.kernels.compiled import kernel

Reals = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Ints = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Hashes = np.ndarray[tuple[int, ...], np.dtype[np.uint64]]


@kernel
def count_bins(numbers: Reals, categories: Hashes, edges: Reals, counts: Ints) -> None:
    """Add rows to `counts` (features, bins + 1): numbers by edges, categories by hash, missing ones last."""
    rows, columns = numbers.shape
    bins = counts.shape[1] - 1
    for i in range(rows):
        for j in range(columns):
            value = numbers[i, j]
            place = 0
            for k in range(bins - 1):
                place += value > edges[j, k]
            counts[j, bins if np.isnan(value) else place] += 1
        for j in range(categories.shape[1]):
            code = categories[i, j]
            mixed = (code ^ (code >> np.uint64(31))) % np.uint64(bins)
            counts[columns + j, bins if code == 0 else np.int64(mixed)] += 1
