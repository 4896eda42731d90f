"""Which masks a node adds, and which secrets take them away: pairs cancel, one's own does not.

A node adds the stream that it shares with a node behind it in the cohort, subtracts the one that it shares
with a node before it, and adds one of its own. In the sum of those who are not lost, the streams of pairs of
a survivor and a lost node are left, and those of the survivors' own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal, Protocol

import numpy as np

from talkoot.guards.limbs import add_all
from talkoot.guards.ring import Ring

TILE = 1 << 14  # numbers at a time; part of the protocol, as streams are read tile by tile


class Words(Protocol):
    """A stream of words."""

    def fill(self, out: np.ndarray) -> None:
        """Write the next words into an array."""


Term = tuple[Literal[1, -1], Words]  # a stream that is added or subtracted
Own = Callable[[str], Words]
Pair = Callable[[str, str], Words]


Order = Mapping[str, int]  # the nodes of the cohort, numbered


def node_terms(node: str, peers: Iterable[str], order: Order, own: Own, pair: Pair) -> list[Term]:
    """The masks of a node's update."""
    return [(1, own(node)), *((sign(node, peer, order), pair(node, peer)) for peer in peers)]


def left_terms(
    survivors: Collection[str],
    lost: Collection[str],
    neighbours: Callable[[str], Iterable[str]],
    order: Order,
    own: Own,
    pair: Pair,
) -> Iterator[Term]:
    """What the sum of the survivors' updates still holds, each with the sign that takes it away."""
    for node in survivors:
        yield -1, own(node)
    for node in lost:
        for peer in neighbours(node):
            if peer in survivors:
                yield sign(node, peer, order), pair(node, peer)


def sign(node: str, peer: str, order: Order) -> Literal[1, -1]:
    """1 for the first of a pair, -1 for the second."""
    return 1 if order[node] < order[peer] else -1


def released(node: str, survivors: Iterable[str]) -> Literal["seed", "key"]:
    """Which of a node's secrets is released: the seed of its own mask, or if it is lost its pairs' key."""
    return "seed" if node in survivors else "key"


def masked(values: Mapping[str, Ring], terms: Sequence[Term]) -> dict[str, Ring]:
    """The values plus the terms, leaf by leaf in the order of their names."""
    found = {name: values[name].with_words(np.empty_like(values[name].words)) for name in sorted(values)}
    for name, leaf in found.items():
        space = np.empty(TILE, leaf.words.dtype.newbyteorder("<"))
        for first in range(0, leaf.words.shape[1], TILE):
            part = slice(first, first + TILE)
            tile = leaf.words[:, part]
            tile[...] = values[name].words[:, part]
            add_all(tile, [(plus, _limbs(stream, tile.shape, space)) for plus, stream in terms])
    return found


def _limbs(stream: Words, shape: tuple[int, ...], space: np.ndarray) -> Iterator[np.ndarray]:
    """The next words of a stream limb by limb, each written over the one before, so that caches hold it."""
    limbs, size = shape
    for _ in range(limbs):
        stream.fill(space[:size])
        yield space[:size]
