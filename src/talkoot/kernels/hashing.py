"""Stable 64-bit hashes of texts as Arrow holds them."""

from __future__ import annotations

import numpy as np

from talkoot.kernels.compiled import kernel


@kernel
def hash_texts(start: np.uint64, offsets: np.ndarray, data: np.ndarray) -> np.ndarray:
    """FNV-1a of each text, begun at `start` and mixed as murmur3 ends; never 0.

    Args:
        start: the hash to begin with, one for each column.
        offsets: where each text begins in `data`, and where the last one ends; (texts + 1,) integers.
        data: the bytes of all texts; uint8.
    """
    rows = offsets.shape[0] - 1
    out = np.empty(rows, np.uint64)
    for i in range(rows):
        h = start
        for at in range(offsets[i], offsets[i + 1]):
            h = (h ^ np.uint64(data[at])) * np.uint64(0x100000001B3)
        h ^= h >> np.uint64(33)
        h *= np.uint64(0xFF51AFD7ED558CCD)
        h ^= h >> np.uint64(33)
        h *= np.uint64(0xC4CEB9FE1A85EC53)
        h ^= h >> np.uint64(33)
        out[i] = h if h != np.uint64(0) else np.uint64(1)
    return out
