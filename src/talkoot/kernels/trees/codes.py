"""Hashes of categories become small codes."""

from __future__ import annotations

import numpy as np

from talkoot.kernels.compiled import kernel
from talkoot.kernels.trees.layout import Array


@kernel
def encode(hashes: Array, known: Array, sizes: Array, most: int, codes: Array) -> int:
    """Fill `codes` row by row: 0 for missing, -1 for a category beyond the first `most` of its column.

    A category that is new joins `known`; where its table is full and may be larger, the row's number is
    returned.
    """
    for i in range(hashes.shape[0]):
        for j in range(hashes.shape[1]):
            value = hashes[i, j]
            code = 0
            if value != np.uint64(0):
                code = 1
                while code <= sizes[j] and known[j, code - 1] != value:
                    code += 1
                if code > sizes[j]:
                    if sizes[j] >= most:
                        code = -1
                    elif sizes[j] == known.shape[1]:
                        return i
                    else:
                        known[j, sizes[j]] = value
                        sizes[j] += 1
            codes[i, j] = code
    return int(hashes.shape[0])
