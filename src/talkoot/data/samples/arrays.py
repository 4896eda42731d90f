"""Samples of arrays, in memory or memory-mapped."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.data.samples.base import Samples, array, readable
from talkoot.data.tables.reading import reading


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class OnDisk:
    """A memory-mapped array, pickled as the file's path."""

    path: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int = 0  # bytes before the array
    order: Literal["C", "F"] = "C"

    def take(self, indices: np.ndarray, axis: int) -> np.ndarray:
        """Copies of entries along an axis, as `numpy.take`."""
        with reading(self.path):
            mapped = np.memmap(self.path, self.dtype, "r", self.offset, self.shape, self.order)
        return np.asarray(mapped.take(indices, axis=axis))


Stored = np.ndarray | OnDisk


def portable(values: np.ndarray) -> Stored:
    """An array to send to a node: a memory map of a file becomes its path."""
    if not isinstance(values, np.memmap):
        return values
    if not isinstance(values.base, mmap.mmap) or values.filename is None:
        return np.asarray(values)  # a slice of a map does not know its offset in the file
    order: Literal["C", "F"] = "C" if values.flags.c_contiguous else "F"
    return OnDisk(
        path=str(values.filename), dtype=values.dtype, shape=values.shape, offset=values.offset, order=order
    )


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ArraySamples(Samples):
    """Rows of arrays of any number of dimensions.

    >>> X, y = ArraySamples(name="a", X=np.eye(3), y=np.arange(3)).take(np.array([2, 0]))
    >>> X.dtype, y.tolist()
    (dtype('float64'), [2, 0])
    """

    X: Stored  # features, (rows, ...)
    y: Stored | None = None  # targets, (rows, ...)
    columns: tuple[str, ...] = ()  # names of the features, where they come from a table's number columns

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.X.shape[0]

    @property
    def ready(self) -> bool:
        """Whether all arrays are in memory."""
        return not isinstance(self.X, OnDisk) and not isinstance(self.y, OnDisk)

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Copies of the rows."""
        X = readable(self.X.take(indices, axis=0))
        if self.y is None:
            return X, None
        return X, readable(self.y.take(indices, axis=0), target=True)


def from_arrays(name: str, X: Any, y: Any = None, columns: tuple[str, ...] = ()) -> ArraySamples:
    """Samples of array-likes, (rows, ...): numpy arrays, memory maps, torch tensors, nested lists.

    `columns` are the features' names, where they come from a table's number columns.

    Raises:
        DataError: text, rows of several shapes, no rows, or lengths that differ.
    """
    features = array(X)
    targets = None if y is None else array(y, target=True)
    if targets is not None and len(features) != len(targets):
        raise DataError(
            f"X has {len(features)} rows, but the target has {len(targets)}", cure="Give one for each row."
        )
    y = None if targets is None else portable(targets)
    return ArraySamples(name=name, X=portable(features), y=y, columns=columns)
