"""Sources: the rows of one node, with their own columns until they are bound to a schema."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self, final

import numpy as np

from talkoot.core.shard import Block, Schema, Shard
from talkoot.data.tables.columns import EMPTY, NUMBER, USABLE
from talkoot.data.tables.strays import Stray

BLOCK_BYTES = 1 << 20  # bytes of features in a block, about a core's own cache
STEP = "agreeing on a schema"
ALIKE = "If it stands for a missing value, read it as one; else make the column alike everywhere."


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """The feature columns of one node."""

    names: tuple[str, ...]  # names in the node's order; positions as text where the columns have no names
    # for each "number", "whole", "text", "empty" (only missing values), or the name of an unusable type
    kinds: tuple[str, ...]
    named: bool  # whether the names are the user's
    dtype: np.dtype[Any]  # float32 if all number columns are float32, else float64
    dtypes: tuple[str, ...]  # for each its dtype in pandas, see `dtypes`; empty without rows
    sparse: bool = False
    # of text columns a value, if possible no number
    strays: Mapping[str, Stray] = field(default_factory=dict)
    # columns that are not features because they only name or number the rows, with the reason
    left_out: Mapping[str, str] = field(default_factory=dict)

    def schema(self) -> Schema:
        """The schema of this node alone, without unusable columns and without a target."""
        every = zip(self.names, self.kinds, self.dtypes, strict=True)
        usable = [(name, kind, dtype) for name, kind, dtype in every if kind in USABLE]
        return Schema(
            names=tuple(name for name, *_ in usable) if self.named else None,
            kinds=tuple(NUMBER if kind == EMPTY else kind for _, kind, _ in usable),
            dtypes=tuple(dtype for *_, dtype in usable),
            dtype=self.dtype,
            sparse=self.sparse,
            rows=0,
            center=np.zeros(len(usable)),
        )


def block_rows(features: int, itemsize: int) -> int:
    """Rows of a block."""
    return max(256, BLOCK_BYTES // max(1, features * itemsize))


class Source(Shard, ABC):
    """The rows of one node. `blocks` reads them in their own form, `bind` converts them to a schema."""

    @property
    @abstractmethod
    def rows(self) -> int | None:
        """Number of rows, where it is known without reading them."""

    @property
    @abstractmethod
    def has_target(self) -> bool:
        """Whether the rows have a target."""

    @abstractmethod
    def layout(self) -> Layout:
        """The feature columns. May open files, so only the node calls it."""

    @abstractmethod
    def targets(self) -> Iterator[tuple[np.ndarray | None, np.ndarray | None, int]]:
        """(target, weights, rows) of each block, without features where possible; targets are not encoded."""

    @abstractmethod
    def bind(self, schema: Schema, *, target: bool = True) -> Source:
        """The same rows with the schema's columns, order and dtype, and with encoded targets or none."""

    @abstractmethod
    def deal(self, names: Sequence[str]) -> list[Source]:
        """Consecutive parts of nearly equal size, with these names."""

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """The rows in order. Targets are encoded once the source is bound."""


class MemoryShard(Source):
    """Rows in memory."""

    y: np.ndarray | None
    w: np.ndarray | None
    qid: np.ndarray | None

    @property
    @abstractmethod
    def rows(self) -> int:
        """Number of rows."""

    @property
    def has_target(self) -> bool:
        """Whether the rows have a target."""
        return self.y is not None

    def targets(self) -> Iterator[tuple[np.ndarray | None, np.ndarray | None, int]]:
        """All rows at once."""
        yield self.y, self.w, self.rows

    @abstractmethod
    def pick(self, rows: slice | np.ndarray, name: str) -> Self:
        """Some of the rows under another name; views where `rows` is a slice."""

    def deal(self, names: Sequence[str]) -> list[Source]:
        """Consecutive views; where rows have queries, whole ones."""
        parts: Sequence[slice | np.ndarray] = even_slices(self.rows, len(names))
        if self.qid is not None:
            codes = np.unique(self.qid, return_inverse=True)[1]
            slices = even_slices(int(codes.max(initial=-1)) + 1, len(names))
            parts = [np.flatnonzero((codes >= part.start) & (codes < part.stop)) for part in slices]
        return [self.pick(part, name) for part, name in zip(parts, names, strict=True)]


def even_slices(rows: int, parts: int) -> list[slice]:
    """`parts` consecutive slices of `rows`; their lengths differ by one at most."""
    edges = [rows * i // parts for i in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]
