"""Shards of arrays in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from talkoot.core.shard import Block, Schema
from talkoot.data.tables.columns import FLOAT32, FLOAT64, NUMBER, WHOLE
from talkoot.data.tables.facts import EXACT
from talkoot.data.tables.source import Layout, MemoryShard, Source, block_rows
from talkoot.data.targets import encode


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ArrayShard(MemoryShard):
    """Rows of one dense array or CSR matrix in memory.

    >>> shard = ArrayShard(name="a", X=np.eye(3), y=np.arange(3))
    >>> [block.X.shape for block in shard.blocks()]
    [(3, 3)]
    """

    name: str
    X: Any  # (rows, features) array or `scipy.sparse.csr_array`
    y: np.ndarray | None = None  # targets, (rows,) or (rows, outputs)
    w: np.ndarray | None = None  # sample weights, (rows,) float64
    qid: np.ndarray | None = None  # query ids, (rows,)
    own: Layout | None = None  # the columns' names and kinds, where they have names

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.X.shape[0])

    def layout(self) -> Layout:
        """The columns, by position where they have no names."""
        if self.own is not None:
            return self.own
        features = self.X.shape[1]
        return Layout(
            names=tuple(map(str, range(features))),
            kinds=(WHOLE if self._is_wide() else NUMBER,) * features,
            named=False,
            dtype=FLOAT32 if self.X.dtype == np.float32 else FLOAT64,
            dtypes=(self.X.dtype.name,) * features,
            sparse=not isinstance(self.X, np.ndarray),
        )

    def _is_wide(self) -> bool:
        """Whether some whole number is too large for float64; the whole array then stays integer."""
        whole = isinstance(self.X, np.ndarray) and self.X.dtype in (np.int64, np.uint64)
        return whole and self.X.size > 0 and max(int(self.X.max()), -int(self.X.min())) > EXACT

    def bind(self, schema: Schema, *, target: bool = True) -> Source:
        """The same arrays where they fit the schema, else a converted copy."""
        y = encode(self.y, schema) if target else None
        if not self.rows:
            X: Any = np.empty((0, schema.features), schema.dtype)
        else:
            X = self._ordered(schema).astype(schema.dtype, copy=False)
        if schema.sparse and isinstance(X, np.ndarray):
            from scipy.sparse import csr_array

            X = csr_array(X)
        return replace(self, X=X, y=y, own=None)

    def _ordered(self, schema: Schema) -> Any:
        names, want = self.layout().schema().names, schema.labels
        if names is None or names == want:
            return self.X
        return self.X[:, [names.index(name) for name in want]]

    def pick(self, rows: slice | np.ndarray, name: str) -> ArrayShard:
        """Some of the rows under another name; views where `rows` is a slice."""
        y, w, qid = (None if v is None else v[rows] for v in (self.y, self.w, self.qid))
        return replace(self, name=name, X=self.X[rows], y=y, w=w, qid=qid)

    def blocks(self) -> Iterator[Block]:
        """Views of consecutive rows."""
        dense, size = isinstance(self.X, np.ndarray), self.X.dtype.itemsize
        width = self.X.shape[1] if dense else 2 * self.X.nnz // max(1, self.rows)
        step = block_rows(width, size)
        for at in range(0, self.rows, step):
            part = slice(at, min(at + step, self.rows))
            y, w, qid = (None if v is None else v[part] for v in (self.y, self.w, self.qid))
            yield Block(X=self.X[part] if dense else self._csr_rows(part), y=y, w=w, qid=qid)

    def _csr_rows(self, part: slice) -> Any:
        from scipy.sparse import csr_array

        ends = self.X.indptr[part.start : part.stop + 1]
        entries = slice(ends[0], ends[-1])
        arrays = (self.X.data[entries], self.X.indices[entries], ends - ends[0])
        return csr_array(arrays, shape=(len(ends) - 1, self.X.shape[1]), copy=False)
