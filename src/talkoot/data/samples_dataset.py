"""Samples of a map-style dataset, such as those of torch: `dataset[i]` and `len(dataset)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.data.samples_arrays import from_arrays
from talkoot.data.samples_base import Samples, array, plain


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DatasetSamples(Samples):
    """Items of a dataset, stacked.

    Args:
        data: anything with ``data[i]`` and ``len(data)``; its items are x, or pairs (x, y).
        paired: whether items are pairs.
    """

    data: Any
    paired: bool

    @property
    def rows(self) -> int:
        """Number of items."""
        return len(self.data)

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Items, one after another."""
        items = [self.data[index] for index in indices.tolist()]
        if not self.paired:
            return _stack(items), None
        return _stack([x for x, _ in items]), _stack([y for _, y in items], target=True)


def from_dataset(name: str, data: Any) -> Samples:
    """Samples of a dataset; one that holds tensors gives these. Reads the first item.

    Raises:
        DataError: no items, or items that are neither numbers nor pairs of them.
    """
    if hasattr(data, "tensors") and len(data.tensors) in (1, 2):
        return from_arrays(name, *data.tensors)
    first = data[0] if len(data) else None
    if isinstance(first, dict | str) or (isinstance(first, tuple | list) and len(first) != 2):
        raise DataError(
            f"the items of {type(data).__name__} are {type(first).__name__}s",
            cure="Make them pairs (x, y), or arrays x.",
        )
    samples = DatasetSamples(name=name, data=data, paired=isinstance(first, tuple | list))
    samples.take(np.zeros(1, np.int64))
    return samples


def _stack(values: Sequence[Any], *, target: bool = False) -> np.ndarray:
    what = "targets" if target else "items"
    arrays = [np.asarray(v.detach() if hasattr(v, "detach") else v) for v in values]
    shapes = sorted({a.shape for a in arrays})
    if len(shapes) > 1:
        raise DataError(
            f"the dataset's {what} differ in shape: {shapes[0]} and {shapes[1]}",
            cure="Pad or resize them in the dataset.",
        )
    found = array(np.stack(arrays), target=target)
    return found.astype(plain(found.dtype, target=target), copy=False)
