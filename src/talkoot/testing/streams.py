"""Streams with a known truth: the usual generators, made at once from a seed, and drift between concepts.

Each returns a record batch whose last column is `label`; the same seed and rows give the same batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

DIGITS = np.array(
    [
        [1, 1, 1, 0, 1, 1, 1],
        [0, 0, 1, 0, 0, 1, 0],
        [1, 0, 1, 1, 1, 0, 1],
        [1, 0, 1, 1, 0, 1, 1],
        [0, 1, 1, 1, 0, 1, 0],
        [1, 1, 0, 1, 0, 1, 1],
        [1, 1, 0, 1, 1, 1, 1],
        [1, 0, 1, 0, 0, 1, 0],
        [1, 1, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 0, 1, 1],
    ]
)  # which of seven lights each digit has


def sea(rows: int, *, seed: int, concept: int = 0, noise: float = 0.1) -> pa.RecordBatch:
    """Street and Kim's SEA: whether x0 + x1 is below a bound, four bounds, one number without meaning.

    >>> sea(3, seed=0).num_columns
    4
    """
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 10, (rows, 3))
    label = x[:, 0] + x[:, 1] <= (8.0, 9.0, 7.0, 9.5)[concept]
    return _batch(x, label ^ (rng.uniform(size=rows) < noise))


def hyperplane(
    rows: int, *, seed: int, concept: int = 0, noise: float = 0.05, turn: float = 0.0
) -> pa.RecordBatch:
    """Ten numbers on one side or the other of a plane, which turns by `turn` from the first row to the last.

    >>> hyperplane(3, seed=0).num_columns
    11
    """
    rng = np.random.default_rng(seed)
    planes = np.random.default_rng([concept, 17])  # the plane belongs to the concept
    weights, direction = planes.uniform(0, 1, 10), planes.choice([-1.0, 1.0], 10)
    x = rng.uniform(0, 1, (rows, 10))
    moving = weights + np.linspace(0, turn, rows)[:, None] * direction
    label = np.einsum("ij,ij->i", x, moving) >= moving.sum(axis=1) / 2
    return _batch(x, label ^ (rng.uniform(size=rows) < noise))


def led(rows: int, *, seed: int, concept: int = 0, noise: float = 0.1) -> pa.RecordBatch:
    """A digit by seven lights, each wrong with a chance of `noise`, among seventeen that mean nothing.

    Concepts give the lights other places.

    >>> led(3, seed=0).num_columns
    25
    """
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 10, rows)
    lights = DIGITS[label] ^ (rng.uniform(size=(rows, 7)) < noise)
    x = np.concatenate([lights, rng.integers(0, 2, (rows, 17))], axis=1)
    return _batch(np.roll(x, 5 * concept, axis=1).astype(float), label)


def random_tree(
    rows: int, *, seed: int, concept: int = 0, classes: int = 2, depth: int = 6
) -> pa.RecordBatch:
    """Domingos and Hulten's random tree over five numbers and five categories of five values.

    >>> random_tree(3, seed=0).num_columns
    11
    """
    rng, tree = np.random.default_rng(seed), np.random.default_rng([concept, 23])
    x, c = rng.uniform(0, 1, (rows, 5)), rng.integers(0, 5, (rows, 5))
    label = np.zeros(rows, np.int64)
    _grow(tree, x, c, np.arange(rows), [(0.0, 1.0)] * 5, depth, classes, label)
    numbers = {f"x{j}": x[:, j] for j in range(5)}
    texts = {f"c{j}": np.char.add("v", c[:, j].astype(str)) for j in range(5)}
    return pa.record_batch({**numbers, **texts, "label": label})


def _grow(
    tree: np.random.Generator,
    x: NDArray[Any],
    c: NDArray[Any],
    at: NDArray[Any],
    ranges: list[tuple[float, float]],
    depth: int,
    classes: int,
    label: NDArray[Any],
) -> None:
    """Label the rows `at` by a tree that is drawn while it is walked, the same for all rows."""
    if depth == 0 or (depth < 4 and tree.uniform() < 0.15):
        label[at] = tree.integers(classes)
        return
    split = int(tree.integers(10))
    if split < 5:
        low, high = ranges[split]
        cut = tree.uniform(low, high)
        left, right = ranges.copy(), ranges.copy()
        left[split], right[split] = (low, cut), (cut, high)
        below = x[at, split] < cut
        _grow(tree, x, c, at[below], left, depth - 1, classes, label)
        _grow(tree, x, c, at[~below], right, depth - 1, classes, label)
    else:
        for value in range(5):
            _grow(
                tree,
                x,
                c,
                at[c[at, split - 5] == value],
                ranges,
                depth - 2 if depth > 1 else 0,
                classes,
                label,
            )


def drifting(
    make: Callable[..., pa.RecordBatch],
    rows: int,
    *,
    seed: int,
    concepts: tuple[int, ...],
    width: int = 1,
    **settings: Any,
) -> pa.RecordBatch:
    """A stream through several concepts, equally long: abrupt for `width` 1, else gradual over so many rows.

    >>> drifting(sea, 1000, seed=0, concepts=(0, 2, 1), width=100).num_rows
    1000
    """
    rng = np.random.default_rng([seed, 29])
    each = rows / len(concepts)
    now = np.zeros(rows, np.intp)
    for change in range(1, len(concepts)):
        chance = 1 / (1 + np.exp(-np.clip(4 * (np.arange(rows) - round(change * each)) / width, -500, 500)))
        if width == 1:
            chance = (chance >= 0.5).astype(float)
        now[rng.uniform(size=rows) < chance] = change
    batches = [make(rows, seed=seed, concept=concept, **settings) for concept in concepts]
    table = pa.Table.from_batches(batches).take(now * rows + np.arange(rows))
    return table.combine_chunks().to_batches()[0]


def _batch(x: NDArray[Any], label: NDArray[Any]) -> pa.RecordBatch:
    columns = {f"x{j}": np.ascontiguousarray(x[:, j]) for j in range(x.shape[1])}
    return pa.record_batch({**columns, "label": label.astype(np.int64)})
