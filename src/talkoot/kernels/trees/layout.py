"""How a tree lies in arrays: nodes with links and values, and blocks of statistics for active leaves."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

# head: counts of a tree
NODES, BLOCKS, FREE, INACTIVE, SPLITS, SEED, DRAWS, DEAD = range(8)
HEAD = 8
# links: integers of a node
FEATURE, KIND, CHILD, SIBLING, PARENT, DEPTH, BLOCK, CODE = range(8)
LINKS = 8
# values: numbers of a node
THRESHOLD, WEIGHT, ATTEMPT, MAJORITY, BAYES = range(5)
VALUES = 5
# numbers: statistics of a numeric column for one class in a block
COUNT, MEAN, SPREAD, LOW, HIGH, SCALE, LOG = range(7)
STATISTICS = 7
# kinds of tests
NUMBER, EQUAL, MULTIWAY = range(3)
# leaf predictions
BY_MAJORITY, BY_BAYES, BY_ADAPTIVE = range(3)
NONE = -1


class Tree(NamedTuple):
    """The arrays of one tree.

    `tables[block, column, class, code]` counts categories, code 0 being the sum of all; `order` and `seen`
    list classes as they arrived at a node and at a block, so that sums have one order.
    """

    head: npt.NDArray[np.int64]
    links: Ints
    values: Floats
    counts: Floats
    order: Ints
    numbers: Floats
    tables: Floats
    seen: Ints
    mask: npt.NDArray[np.bool_]
    free: Ints


class Rules(NamedTuple):
    """What a tree's growth depends on; with `patch` all leaves of a tree observe the same columns."""

    grace: float
    delta: float
    tau: float
    leaf: int
    depth: int
    fraction: float
    smoothing: float
    binary: bool
    nodes: int
    blocks: int
    subspace: int
    patch: bool
