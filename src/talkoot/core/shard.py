"""The rows that a node brings, read in blocks, and the schema that all nodes agree on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np

Rows = Any  # (rows, features): numpy.ndarray, scipy.sparse CSR, or Columns
Columns = Mapping[str, np.ndarray]  # named one-dimensional arrays of one length, text as object


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Block:
    """A few thousand rows of a shard.

    Args:
        X: features, (rows, features). A float32 or float64 array or CSR matrix where all columns are
            numbers; a mapping of one-dimensional arrays where some hold text.
        y: targets, (rows,) or (rows, outputs) float64; None without a target. Where the schema has
            classes: their indices, (rows,) intp.
        w: sample weights, (rows,) float64; None when every row counts 1.
        qid: query ids, (rows,) int64, or objects that are text; None where rows belong to no queries.
    """

    X: Rows
    y: np.ndarray | None = None
    w: np.ndarray | None = None
    qid: np.ndarray | None = None

    def __len__(self) -> int:
        if isinstance(self.X, Mapping):
            return len(next(iter(self.X.values()))) if self.X else 0
        return int(self.X.shape[0])


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Schema:
    """What all nodes agreed on in round 0.

    Args:
        names: feature names in their agreed order; None for arrays without names.
        kinds: "number", "whole" (numbers beyond 2**53, which stay integers) or "text", one for each feature.
        dtype: float32 if every number column is float32 at every node, else float64.
        dtypes: for each feature its dtype in pandas, such as "bool", "int64" or "category", with the values'
            where it does not tell, as in "category[int64]". Empty where rows were transformed.
        sparse: the rows come as CSR.
        rows: number of rows over all nodes.
        center: (features,) float64, near the mean of each number column: what sums are taken about, so
            that squares do not cancel. Zeros for text and for sparse rows.
        classes: sorted labels seen at any node, for classifiers.
        target: name of the target column, if it has one.
        target_center: near the mean of a numeric target, (outputs,) float64.
        outputs: number of target columns; 0 for a one-dimensional target or none.
        strays: for text columns that are numbers for the most part: a text among them, and where.
    """

    names: tuple[str, ...] | None
    kinds: tuple[str, ...]
    dtype: np.dtype[Any]
    dtypes: tuple[str, ...] = ()
    sparse: bool = False
    rows: int
    center: np.ndarray
    classes: np.ndarray | None = None
    target: str | None = None
    target_center: np.ndarray | None = None
    outputs: int = 0
    strays: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def features(self) -> int:
        """Number of feature columns."""
        return len(self.kinds)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the features; positions as text where they have none."""
        return self.names if self.names is not None else tuple(map(str, range(self.features)))

    @property
    def mixed(self) -> bool:
        """Whether blocks are mappings of columns, since some hold text or whole numbers beyond 2**53."""
        return any(kind != "number" for kind in self.kinds)

    def dtype_of(self, index: int) -> np.dtype[Any]:
        """The dtype of a column of numbers in blocks."""
        if self.kinds[index] != "whole":
            return self.dtype
        return np.dtype(np.uint64 if "uint64" in self.dtypes[index] else np.int64)

    def floats(self) -> Schema:
        """The same with floats in place of whole numbers beyond 2**53, as most learners read them."""
        return replace(self, kinds=tuple("number" if kind == "whole" else kind for kind in self.kinds))

    def column(self, index: int) -> str:
        """The name of a feature as errors should print it."""
        return self.names[index] if self.names is not None else f"{index}"


UNKNOWN = Schema(
    names=None, kinds=(), dtype=np.dtype(np.float64), rows=0, center=np.empty(0)
)  # before round 0


class Shard(ABC):
    """One node's rows. A shard is a description that travels; only its node reads the rows."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The node's name."""

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """The rows in order, in blocks that fit a cache. May be called again for every pass."""

    def reading(self, rows: int) -> None:
        """Called by learners that read otherwise than by blocks, before they work on so many rows more.

        Engines show it as progress, and may end the node's work there.
        """
        del rows


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class InMemory(Shard):
    """Blocks in memory, under a node's name."""

    name: str
    held: tuple[Block, ...]

    def blocks(self) -> Iterator[Block]:
        """The blocks in order."""
        return iter(self.held)


@final
@dataclass(frozen=True, slots=True)
class Mapped(Shard):
    """A view of a shard whose blocks go through a function, such as the fitted steps of a pipeline."""

    shard: Shard
    change: Callable[[Block], Block]

    @property
    def name(self) -> str:
        """The node's name."""
        return self.shard.name

    def blocks(self) -> Iterator[Block]:
        """The changed blocks, one at a time."""
        return map(self.change, self.shard.blocks())
