"""The bins of a node's rows, block by block: a byte for each value, in memory or in a file without a name."""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.data.free_memory import free_memory
from talkoot.learners.trees.boosting.bins import Bins

PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
PIECE = 1 << 22  # bytes of the pieces that blocks are collected in
STATE = 80  # bytes that a row takes beside its bins, at most at once


@final
class Binned:
    """Collects the bins of blocks of rows.

    Args:
        bins: how values become bins.
    """

    def __init__(self, bins: Bins) -> None:
        from talkoot.kernels.intervals import tables

        self._missing, self._features = bins.count - 1, len(bins.thresholds)
        self._edges = np.concatenate(bins.thresholds) if bins.thresholds else np.zeros(0)
        self._spans = np.cumsum([0, *map(len, bins.thresholds)])
        self._table = tables(self._edges, self._spans)
        self._pieces: list[np.ndarray] = []
        self._room = max(1, PIECE // max(1, self._features))  # rows of a piece
        self.rows = 0

    def add(self, X: np.ndarray) -> None:
        """Add rows, (rows, features)."""
        from talkoot.kernels.intervals import bins_of

        found = np.empty(X.shape[::-1], np.uint8)
        columns = np.ascontiguousarray(X.T, np.float64)
        bins_of(columns, self._edges, self._spans, self._table, self._missing, found)
        at = 0
        while at < len(X):
            place = self.rows % self._room
            if not place:
                self._pieces.append(_reserved(self._features, self._room, self.rows))
            take = min(self._room - place, len(X) - at)
            self._pieces[-1][:, place : place + take] = found[:, at : at + take]
            at, self.rows = at + take, self.rows + take

    def words(self) -> np.ndarray:
        """(words, rows) the bins of all rows, of four columns in each; what was collected is gone then."""
        from talkoot.kernels.trees.histograms import pack

        words, at = -(-self._features // 4), 0
        found = (
            _reserved(4 * words, self.rows, self.rows).reshape(-1).view(np.uint32).reshape(words, self.rows)
        )
        self._pieces.reverse()
        while self._pieces:
            piece = self._pieces.pop()
            take = min(self._room, self.rows - at)
            pack(piece[:, :take], at, found)
            at += take
        return found


def _reserved(features: int, rows: int, before: int) -> np.ndarray:
    """(features, rows) uint8 zeros, in a file where memory is short for them and the state of `before` rows.

    Raises:
        DataError: there is no room for the file.
    """
    size = max(1, features * rows)
    if size + STATE * before <= free_memory():
        memory = mmap.mmap(-1, size, flags=PRIVATE)
        memory.madvise(mmap.MADV_HUGEPAGE)
        return np.frombuffer(memory, np.uint8)[: features * rows].reshape(features, rows)
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile() as file:  # which has no name, and is gone with the last array
            os.posix_fallocate(file.fileno(), 0, size)
            buffer = mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise DataError(
            f"the bins of the rows fit neither into memory nor into {folder}: {error}",
            cure="Set TMPDIR to a folder with more room, or spread the rows over more machines.",
        ) from None
    return np.frombuffer(buffer, np.uint8)[: features * rows].reshape(features, rows)
