"""Who shares masks with whom, and how many must agree: everybody among few, a random ring of many.

Sources: Bonawitz et al. 2017 (CCS) for all pairs; Bell et al. 2020 (CCS) for graphs of logarithmic degree.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

COMPLETE = 50  # nodes up to which all pairs share masks
LEAST = 3  # nodes in a sum: of two, each could subtract its own


def threshold(nodes: int, cheats: int = 0) -> int:
    """How many nodes must agree: more than half of all that could, so that no two sets of them can.

    Args:
        nodes: that were to take part.
        cheats: of them, that may work together with the coordinator.

    >>> [threshold(n) for n in (3, 4, 5, 50)], threshold(10, cheats=3)
    ([2, 3, 3, 26], 7)
    """
    return (nodes + cheats) // 2 + 1


def degree(nodes: int) -> int:
    """Neighbours of each node: all others up to COMPLETE, else an even number that grows by the logarithm.

    If a fifth of the nodes cheat and another fifth is lost, a round fails with less than 2**-40.

    >>> degree(50), degree(1000)
    (49, 120)
    """
    if nodes <= COMPLETE:
        return nodes - 1
    return min(nodes - 1, 2 * math.ceil(6 * math.log2(nodes)))


@final
@dataclass(frozen=True, slots=True)
class Graph:
    """The neighbours of every node: those next to it on a circle in random order.

    Args:
        nodes: that posted keys.
        seed: a digest of the keys of all: whoever posts the last ones chooses among the graphs that it tries.
    """

    nodes: tuple[str, ...]
    seed: bytes
    circle: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        def rank(node: str) -> bytes:
            return hashlib.sha256(self.seed + node.encode()).digest()

        object.__setattr__(self, "circle", tuple(sorted(self.nodes, key=rank)))

    def neighbours(self, node: str) -> tuple[str, ...]:
        """Whom a node shares masks with, sorted; if it is one's neighbour, so is one its."""
        count, size = degree(len(self.circle)), len(self.circle)
        if count == size - 1:
            return tuple(sorted(set(self.nodes) - {node}))
        at = self.circle.index(node)
        steps = (*range(1, count // 2 + 1), *range(-(count // 2), 0))
        return tuple(sorted(self.circle[(at + step) % size] for step in steps))

    def group(self, node: str) -> tuple[str, ...]:
        """Who holds shares of a node's secrets: its neighbours and itself."""
        return tuple(sorted((*self.neighbours(node), node)))


def quota(graph: Graph, cohort: Sequence[str], cheats: int) -> int:
    """How many shares give a secret."""
    complete = degree(len(graph.nodes)) == len(graph.nodes) - 1
    return threshold(len(cohort) if complete else degree(len(graph.nodes)) + 1, cheats)
