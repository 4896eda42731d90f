"""Samples as text that is the same in every process, to be compared between runs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from talkoot.core.errors import DataError
from talkoot.data.loading.generators import restore_generators
from talkoot.data.loading.loader import draw_samples
from talkoot.data.samples.base import Samples
from talkoot.formats.describe import digest_of

_ALL = 64 << 20  # bytes of arrays in memory that are read as a whole
_FEW = 16  # samples of a dataset, of each end and the middle of files


def describe_samples(source: Samples) -> Iterator[tuple[str, str]]:
    """Shape, type and a sample of the content of X and y; no content where it is random."""
    rows = _sample_rows(source)
    seeds = np.zeros(rows.shape, np.int64)
    try:
        with restore_generators():
            first = draw_samples(source, rows, seeds)
            again = first if source.ready else draw_samples(source, rows, seeds)
    except DataError:  # other processes may be able to read them
        return
    for what, one, other in zip(("X", "y"), first, again, strict=True):
        if one is None or other is None:
            yield what, "none"
            continue
        yield what, f"{one.dtype} of shape {one.shape[1:]}"
        if one.shape == other.shape and one.tobytes() == other.tobytes():
            yield f"{what} content", digest_of(one)


def _sample_rows(source: Samples) -> np.ndarray:
    """Rows spread evenly over a source; of files some of the first, the middle and the last group."""
    if source.ready:
        size = max(1, sum(a.nbytes for a in source.take(np.zeros(1, np.int64)) if a is not None))
        return _evenly(0, source.rows, max(_FEW, _ALL // size))
    if source.groups is None:
        return _evenly(0, source.rows, _FEW)
    ends = np.cumsum(source.groups)
    filled = [group for group, rows in enumerate(source.groups) if rows]
    chosen = sorted({filled[0], filled[len(filled) // 2], filled[-1]})
    parts = [_evenly(int(ends[g]) - source.groups[g], int(ends[g]), _FEW * _FEW) for g in chosen]
    return np.concatenate(parts)


def _evenly(start: int, stop: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(start, stop - 1, min(most, stop - start)).astype(np.int64))
