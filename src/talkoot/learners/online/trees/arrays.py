"""The arrays of a tree in a state: made, grown in place and read as a `Tree`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from talkoot.learners.online.state import State

MOST_CODES = 255  # categories of a column that are told apart; later ones share one code
FIRST = 8  # nodes and blocks of a fresh tree


class Shape(NamedTuple):
    """The sizes that the arrays of a tree depend on; `codes` counts code 0 too."""

    nodes: int
    blocks: int
    columns: int
    categories: int
    classes: int
    codes: int

    def node_bytes(self) -> int:
        """Bytes of a node."""
        return 72 + 12 * self.classes

    def block_bytes(self) -> int:
        """Bytes of the statistics of an active leaf."""
        cells = self.classes * (7 * self.columns + self.categories * self.codes)
        return 8 * cells + 4 * self.classes + self.columns + self.categories + 4


def blank(shape: Shape) -> State:
    """Arrays of a tree without nodes."""
    n, b, d, c, k, v = shape
    numbers = np.zeros((b, k, 7, d))
    numbers[:, :, 3], numbers[:, :, 4] = np.inf, -np.inf
    return {
        "head": np.zeros(8, np.int64),
        "links": np.full((n, 8), -1, np.int32),
        "values": np.zeros((n, 5)),
        "counts": np.zeros((n, k)),
        "order": np.full((n, k), -1, np.int32),
        "numbers": numbers,
        "tables": np.zeros((b, c, k, v)),
        "seen": np.full((b, k), -1, np.int32),
        "mask": np.ones((b, d + c), np.bool_),
        "free": np.zeros(b, np.int32),
    }


def shape_of(state: Mapping[str, np.ndarray[Any, Any]], prefix: str) -> Shape:
    """The shape of the tree whose arrays have this prefix."""
    blocks, classes, _, columns = state[prefix + "numbers"].shape
    _, categories, _, codes = state[prefix + "tables"].shape
    return Shape(len(state[prefix + "links"]), blocks, columns, categories, classes, codes)


def reshape(state: State, prefix: str, shape: Shape) -> None:
    """Give a tree arrays of another shape, no smaller, with what was in the old ones."""
    for name, array in blank(shape).items():
        old = state[prefix + name]
        array[tuple(slice(size) for size in old.shape)] = old
        state[prefix + name] = array


def grow(state: State, prefix: str, nodes: int, blocks: int, splits: int = 1) -> None:
    """Double the room for nodes and blocks until so many splits fit, up to the limits."""
    shape = shape_of(state, prefix)
    head = state[prefix + "head"]
    need = splits * (max(2, shape.codes) + 1)
    n, b = shape.nodes, shape.blocks
    while head[0] + need > n < nodes:
        n = min(2 * n, nodes)
    while head[1] - head[2] + need > b < blocks:
        b = min(2 * b, blocks)
    reshape(state, prefix, shape._replace(nodes=n, blocks=b))


def tree_of(state: Mapping[str, np.ndarray[Any, Any]], prefix: str) -> Any:
    """The arrays of one tree as a kernel reads them."""
    from talkoot.kernels.trees.layout import Tree

    return Tree(*(state[prefix + name] for name in Tree._fields))
