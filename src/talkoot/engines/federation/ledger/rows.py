"""Which rows an answer was made of, as a sketch of fixed size: how many differ between two answers."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, final

import numpy as np

from talkoot.core.context import mixed
from talkoot.core.digest import digest
from talkoot.core.engine import View
from talkoot.core.errors import DataError
from talkoot.data.contract.hashing import hash_rows
from talkoot.data.contract.profile import columns_of
from talkoot.data.tables.source import Source
from talkoot.learners.held_out.folds import TrainingRows

BUCKETS = 1 << 14  # of a sketch; policies that demand more rows than that are never content
Hashed = tuple[np.ndarray, tuple[str, ...]]  # (rows,) hashes, and the names of the columns


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class RowSet:
    """Rows, as far as it must be known how many of them are others.

    Every row falls into a bucket by its hash, and each bucket holds the sum of its hashes. As many rows
    differ at least as buckets do; where fewer differ than there are buckets, about as many.

    Args:
        count: how many.
        columns: a digest of their names and of what was changed in them.
        sketch: (BUCKETS,) uint64.
    """

    count: int
    columns: str
    sketch: np.ndarray

    @classmethod
    def of(cls, hashes: np.ndarray, columns: str) -> Self:
        """The rows of these hashes; equal ones count as often as they are there.

        >>> of = lambda *rows: RowSet.of(np.array(rows, dtype=np.uint64), "")
        >>> of(1, 2, 2, 3).differing(of(3, 2, 1)), of(1, 2).differing(of(2, 1)), of(1, 2).differing(of(1, 3))
        (1, 0, 1)
        """
        ordered = np.sort(hashes)
        first = np.flatnonzero(np.diff(ordered, prepend=~ordered[:1]))
        nth = np.arange(len(ordered)) - np.repeat(first, np.diff(first, append=len(ordered)))
        each = mixed(ordered + mixed(nth.astype(np.uint64) + np.uint64(1)))
        sketch = np.zeros(BUCKETS, np.uint64)
        np.add.at(sketch, (each % np.uint64(BUCKETS)).astype(np.intp), mixed(each))
        return cls(count=len(hashes), columns=columns, sketch=sketch)

    @cached_property
    def digest(self) -> str:
        """Equal for equal rows."""
        return hashlib.sha256(f"{self.count} {self.columns} ".encode() + self.sketch.tobytes()).hexdigest()

    @property
    def packed(self) -> bytes:
        """The sketch as bytes; short where there are few rows."""
        return zlib.compress(self.sketch.tobytes(), 1)

    @classmethod
    def unpacked(cls, count: int, columns: str, packed: bytes) -> Self:
        """What `packed` was made of."""
        return cls(count=count, columns=columns, sketch=np.frombuffer(zlib.decompress(packed), np.uint64))

    def differing(self, other: RowSet) -> int:
        """How many rows were added or taken away at least, whichever are more; a changed row is both."""
        more = abs(self.count - other.count)
        return (max(int(np.count_nonzero(self.sketch != other.sketch)), more) + more + 1) // 2

    def is_near(self, other: RowSet, least: int) -> bool:
        """Whether the difference of two sums, one over each, would be about fewer than `least` rows.

        Where columns are others no row is the same, so that only their number can be compared.
        """
        more = abs(self.count - other.count)
        return 0 < self.differing(other) < least or (self.columns != other.columns and 0 < more < least)


def row_hashes(source: Source, target: str | None) -> Hashed:
    """A hash of each row of a source, in order, and the names of the columns that it is made of.

    Whether a column is the target changes nothing.
    """
    schema, found = source.layout().schema(), list[np.ndarray]()
    for block in source.blocks():
        columns = dict(columns_of(block, schema.labels))
        if target is not None and block.y is not None:
            parts = block.y.reshape(len(block), -1).T
            columns |= {f"{target}{at or ''}": part for at, part in enumerate(parts)}
        found.append(hash_rows(columns, len(block), "ledger"))
    names = sorted({*schema.labels, *([] if target is None else [target])})
    return np.concatenate([np.zeros(0, np.uint64), *found]), tuple(names)


def row_set_of(hashed: Hashed, source: Source, view: View | None, fixes: Sequence[Any]) -> RowSet:
    """The rows of a source that a view shows.

    Args:
        hashed: of all its rows, see `row_hashes`.
        source: the rows.
        view: how they are looked at.
        fixes: what was changed in its columns.
    """
    hashes, names = hashed
    columns = digest((names, [str(each) for each in fixes]))
    if isinstance(view, TrainingRows):
        folds = [fold for _, fold in view.folds.blocks_with_folds(view.view(source))]
        left = np.concatenate([np.zeros(0, np.intp), *folds]) != view.fold
        if len(left) != len(hashes):
            raise DataError("the rows have changed while they were read", cure="Have the run begin anew.")
        hashes = hashes[left]
    return RowSet.of(hashes, columns)
