"""Samples: rows that can be read one by one, in any order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Shard
from talkoot.data.tables.source import BLOCK_BYTES, even_slices

NUMBERS = "biuf"  # numpy's letters of the dtypes that can be trained on
MAX_INT = 2**63 - 1  # the largest whole number of torch


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Samples(Shard, ABC):
    """Rows that can be read one by one: features of any shape, and targets. It can be sent to a node."""

    name: str
    whole: str = ""  # the name of the source before it was shared; the shuffle of the source depends on it
    part: int = 0  # this node's index among the nodes that share the source
    of: int = 1  # number of nodes that share the source
    quota: int | None = None  # samples in each step, where nodes have own sources; None for its part of all

    def __post_init__(self) -> None:
        object.__setattr__(self, "whole", self.whole or self.name)
        if not self.rows:
            raise DataError("it has no rows", node=self.name, cure="Leave the node out.")

    @property
    @abstractmethod
    def rows(self) -> int:
        """Number of rows of the whole source, one or more."""

    @property
    def groups(self) -> tuple[int, ...] | None:
        """Rows of each group that is read at once; None where single rows are cheap to read."""
        return None

    @property
    def ready(self) -> bool:
        """Whether rows are cheap to read, so that prefetching is not needed."""
        return False

    @property
    def own_code(self) -> bool:
        """Whether user code makes the rows; it may draw random numbers."""
        return False

    @abstractmethod
    def take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Some of the rows, in the order of `indices`.

        Args:
            indices: rows of the whole source, (b,) int64 with b of one or more.

        Returns:
            X (b, ...) in the dtype of `plain`; y (b, ...) of int64 or floats, or None without a target.

        Raises:
            DataError: rows that cannot be read, or that differ in shape.
        """

    def draw(self, indices: np.ndarray, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Some of the rows, as `take`, each with its own random numbers.

        Args:
            indices: rows of the whole source, (b,) int64 with b of one or more.
            seeds: the seed of each row, (b,) int64 of 0 or more.
        """
        return self.take(indices)

    def blocks(self) -> Iterator[Block]:
        """The rows in order; of a shared source the node's consecutive part."""
        mine = even_slices(self.rows, self.of)[self.part]
        step = max(32, BLOCK_BYTES // max(1, self.take(np.array([mine.start % self.rows]))[0].nbytes))
        for at in range(mine.start, mine.stop, step):
            X, y = self.take(np.arange(at, min(at + step, mine.stop)))
            yield Block(X=X, y=y)

    def share(self, names: Sequence[str]) -> list[Self]:
        """The same samples for each of several nodes."""
        return [replace(self, name=name, part=i, of=len(names)) for i, name in enumerate(names)]

    def deal(self, names: Sequence[str]) -> list[Self]:
        """The same as `share`."""
        return self.share(names)


def samples_of(shards: Mapping[str, Shard]) -> dict[str, Samples]:
    """Those of the shards that are samples."""
    return {node: shard for node, shard in shards.items() if isinstance(shard, Samples)}


def plain(dtype: np.dtype[Any], *, target: bool = False) -> np.dtype[Any]:
    """The dtype that numbers are read as: their own where torch supports it.

    Floats are converted to the module's dtype batch by batch. Whole numbers and booleans are unchanged, but
    targets become int64, and unsigned ones of more than 8 bits a wider signed dtype.

    >>> plain(np.dtype(np.float64)), plain(np.dtype(np.uint8)), plain(np.dtype(np.uint16))
    (dtype('float64'), dtype('uint8'), dtype('int32'))
    >>> plain(np.dtype(bool), target=True)
    dtype('int64')
    """
    if dtype.kind == "f":
        return np.dtype(np.float64) if dtype.itemsize > 8 else dtype.newbyteorder("=")
    if target or (dtype.kind == "u" and dtype.itemsize > 2):
        return np.dtype(np.int64)
    return np.dtype(np.int32) if dtype.kind == "u" and dtype.itemsize == 2 else dtype.newbyteorder("=")


def readable(values: np.ndarray, *, target: bool = False) -> np.ndarray:
    """Numbers in the dtype of `plain`.

    Raises:
        DataError: whole numbers beyond those of torch.
    """
    wide = values.dtype.kind == "u" and values.dtype.itemsize == 8 and values.size
    if wide and (most := int(values.max())) > MAX_INT:
        raise DataError(
            f"it holds {most}, and the largest whole number of torch is 2**63 - 1",
            cure="Number such ids from 0, for example by numpy.unique(ids, return_inverse=True).",
        )
    return values.astype(plain(values.dtype, target=target), copy=False)


def as_numpy(values: Any) -> np.ndarray:
    """An array or tensor as an array, without a copy where possible; bfloat16 becomes float32, exactly."""
    if not hasattr(values, "detach"):
        return np.asanyarray(values)
    here = values.detach().cpu()
    return np.asarray((here.float() if str(here.dtype) == "torch.bfloat16" else here).numpy())


def array(values: Any, *, target: bool = False) -> np.ndarray:
    """Any array-like of numbers (tensors, series, lists) as an array, without a copy where possible.

    Raises:
        DataError: text, objects, or rows of several lengths.
    """
    what = "the target" if target else "the array"
    try:
        found = as_numpy(values)
    except ValueError:
        raise DataError(
            f"{what} is ragged: its rows have several shapes", cure="Pad or cut them to one shape."
        ) from None
    except TypeError as error:
        raise DataError(f"{what} cannot be read: {error}", cure="Make it a numpy array.") from None
    if found.dtype.kind not in NUMBERS:
        raise _no_numbers(found, what, target)
    if not found.ndim:
        raise DataError(f"{what} is a single number", cure="Give one value for each row.")
    return np.asarray(found) if not isinstance(found, np.memmap) else found


def _no_numbers(found: np.ndarray, what: str, target: bool) -> DataError:
    example = next((value for value in found.flat if isinstance(value, str)), None)
    held = f"text (for example {str(example)!r})" if example is not None else str(found.dtype)
    cure = "Encode the labels as integers." if target else "Make it an array of numbers of one shape."
    return DataError(f"{what} holds {held}", cure=cure)
