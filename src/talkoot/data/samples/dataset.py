"""Samples of a map-style dataset, such as those of torch: `dataset[i]` and `len(dataset)`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from talkoot.core.errors import DataError, TalkootError, place_of
from talkoot.data.loading.generators import exclusive_generators, generators, restore_generators
from talkoot.data.samples.arrays import from_arrays
from talkoot.data.samples.base import Samples, array, as_numpy, readable


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DatasetSamples(Samples):
    """Items of a dataset, stacked.

    The numbers that an item draws from the generators of torch, numpy or Python depend on its seed only.
    """

    data: Any  # anything with data[i] and len(data); its items are x, or pairs (x, y)
    paired: bool  # whether items are pairs
    # generators that items have drawn from so far; only these are seeded for each item
    drawn: set[str] = field(default_factory=set)

    @property
    def rows(self) -> int:
        """Number of items."""
        return len(self.data)

    @property
    def own_code(self) -> bool:
        """User code makes the items."""
        return True

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Items, each with the same random numbers at every call."""
        return self.draw(indices, indices)

    def draw(self, indices: np.ndarray, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Items, read one after another."""
        with exclusive_generators():
            items = self._items(indices.tolist(), seeds.tolist())
        if not self.paired:
            return _stack(items), None
        return _stack([x for x, _ in items]), _stack([y for _, y in items], target=True)

    def _items(self, indices: Sequence[int], seeds: Sequence[int]) -> list[Any]:
        """The items. If they draw from a generator that was not seeded, they are read again."""
        every = generators()
        drawn = [every[name] for name in every if name in self.drawn]
        others = {name: every[name] for name in every if name not in self.drawn}
        for generator in others.values():
            generator.mark()
        items = []
        for index, seed in zip(indices, seeds, strict=True):
            for generator in drawn:
                generator.seed(seed)
            items.append(_item(self.data, index))
        found = {name for name, generator in others.items() if not generator.is_fresh()}
        if found:
            self.drawn.update(found)
            return self._items(indices, seeds)
        return items


def from_dataset(name: str, data: Any) -> Samples:
    """Samples of a dataset; the tensors themselves where it holds some. Reads the first item.

    Raises:
        DataError: no items, or items that are neither numbers nor pairs of them.
    """
    if hasattr(data, "tensors") and len(data.tensors) in (1, 2):
        return from_arrays(name, *data.tensors)
    with restore_generators():
        return _from_items(name, data)


def _from_items(name: str, data: Any) -> DatasetSamples:
    with exclusive_generators(seed=0):
        first = _item(data, 0) if len(data) else None
    if isinstance(first, dict | str) or (isinstance(first, tuple | list) and len(first) != 2):
        raise DataError(
            f"the items of {type(data).__name__} are {type(first).__name__}s",
            cure="Make them pairs (x, y), or arrays x.",
        )
    samples = DatasetSamples(name=name, data=data, paired=isinstance(first, tuple | list))
    if len(data):
        _check_repeats(samples, type(data).__name__)
    return samples


def _item(data: Any, index: int) -> Any:
    """An item; a `DataError` where the dataset raised, or ended the program."""
    try:
        return data[index]
    except TalkootError:
        raise
    except SystemExit as error:
        cause = f"{type(data).__name__} ended the program at item {index}: sys.exit({error.code!r})"
        cure = "Raise an exception there instead."
        raise DataError(f"{cause}{place_of(error)}", cure=cure) from error
    except Exception as error:
        cause = f"item {index} of {type(data).__name__} cannot be read: {type(error).__name__}: {error}"
        raise DataError(f"{cause}{place_of(error)}", cure=f"Try dataset[{index}] by hand.") from error


def _check_repeats(samples: DatasetSamples, name: str) -> None:
    """Warn where an item changes between two reads with the same seed."""
    once, again = (samples.take(np.zeros(1, np.int64)) for _ in range(2))
    for one, other in zip(once, again, strict=True):
        if one is not None and other is not None and one.tobytes() != other.tobytes():
            warnings.warn(
                f"item 0 of {name} changed when it was read again, so training cannot be repeated: draw from "
                "torch.rand, numpy.random or random, not from a generator of its own, and use nothing else "
                "that changes",
                stacklevel=2,
            )
            return


def _stack(values: Sequence[Any], *, target: bool = False) -> np.ndarray:
    what = "targets" if target else "items"
    arrays = [np.asarray(as_numpy(value)) for value in values]
    shapes = sorted({a.shape for a in arrays})
    if len(shapes) > 1:
        raise DataError(
            f"the dataset's {what} differ in shape: {shapes[0]} and {shapes[1]}",
            cure="Pad or resize them in the dataset.",
        )
    return readable(array(np.stack(arrays), target=target), target=target)
