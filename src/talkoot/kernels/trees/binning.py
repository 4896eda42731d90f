"""Which bin each value of a table is in."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkoot.kernels.compiled import kernel

BLOCK = 512  # rows at a time, so that those of one column are still at hand for the next


@kernel
def bin_values(X: Any, thresholds: Any, categorical: Any, missing: Any, into: Any) -> None:
    """The number of a column's thresholds below each value; `missing` for NaN and for categories below 0.

    A step of the search is taken for all rows of a block before the next, as the processor then waits for
    many of them at once.

    Args:
        X: (rows, features) floats.
        thresholds: (features, 2^k - 1) rising, filled up with infinity.
        categorical: (features,) whether a column holds codes of categories, which are thresholds too.
        missing: the bin of missing values.
        into: (features, rows) uint8.
    """
    values, below = np.empty(BLOCK), np.empty(BLOCK, np.int64)
    for start in range(0, len(X), BLOCK):
        count = min(BLOCK, len(X) - start)
        for j in range(X.shape[1]):
            own, step = thresholds[j], (thresholds.shape[1] + 1) // 2
            for i in range(count):
                values[i], below[i] = X[start + i, j], 0
            while step > 0:
                for i in range(count):
                    below[i] += step if own[below[i] + step - 1] < values[i] else 0
                step >>= 1
            least = 0.0 if categorical[j] else -np.inf
            for i in range(count):
                into[j, start + i] = below[i] if values[i] >= least else missing
