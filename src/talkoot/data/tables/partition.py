"""The partition of files: which rows of which files belong to which node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import Any, final

import numpy as np
import pyarrow as pa

from talkoot.data.tables.columns import factorize
from talkoot.data.tables.reading import Part, groups, read
from talkoot.data.tables.source import even_slices

EVEN = 1.1  # largest part relative to equal parts, where parts end between row groups


def partition(parts: Sequence[Part], nodes: int) -> list[tuple[tuple[Part, ...], int]]:
    """Files split into `nodes` consecutive lists of parts, with the number of rows of each."""
    sizes = [groups(part) for part in parts]
    ends = [0, *accumulate(size for file in sizes for size in file)]
    exact = even_slices(ends[-1], nodes)
    nearest = [min(ends, key=lambda end: abs(end - cut.stop)) for cut in exact[:-1]]
    edges = [0, *nearest, ends[-1]]
    snapped = [slice(a, b) for a, b in pairwise(edges)]
    even = max(s.stop - s.start for s in snapped) <= EVEN * ends[-1] / nodes
    starts = [0, *accumulate(sum(file) for file in sizes)]
    return [
        (tuple(_within(parts, starts, chosen)), chosen.stop - chosen.start)
        for chosen in (snapped if even else exact)
    ]


def _within(parts: Sequence[Part], starts: Sequence[int], chosen: slice) -> Iterator[Part]:
    for i, part in enumerate(parts):
        begin, end = max(chosen.start, starts[i]), min(chosen.stop, starts[i + 1])
        if begin < end:
            whole = begin == starts[i] and end == starts[i + 1]
            yield part if whole else replace(part, start=begin - starts[i], stop=end - starts[i])


@final
@dataclass(slots=True)
class Site:
    """The spans of rows, one in each file, that hold all rows with one value of a column."""

    spans: dict[Part, tuple[int, int]] = field(default_factory=dict)
    rows: int = 0

    def add(self, part: Part, start: int, stop: int, rows: int) -> None:
        """Add rows of a file, after those added before."""
        self.spans[part] = (self.spans.get(part, (start, 0))[0], stop)
        self.rows += rows

    def parts(self) -> tuple[Part, ...]:
        """The parts to read."""
        return tuple(replace(part, start=start, stop=stop) for part, (start, stop) in self.spans.items())


def sites(parts: Sequence[Part], by: str) -> tuple[dict[Any, Site], int]:
    """The spans of each value of the column `by`, and the number of rows without a value."""
    found, missing = dict[Any, Site](), 0
    for part in parts:
        at = 0
        for batch in read(part, [by], 1 << 16, {by: pa.string()}):
            codes, levels = factorize(batch.column(by))
            missing += int((codes < 0).sum())
            values, first, rows = np.unique(codes, return_index=True, return_counts=True)
            last = len(codes) - np.unique(codes[::-1], return_index=True)[1]
            for value, *span in zip(levels[values].tolist(), first + at, last + at, rows, strict=True):
                found.setdefault(value, Site()).add(part, *map(int, span))
            at += len(batch)
    found.pop(None, None)
    return found, missing
