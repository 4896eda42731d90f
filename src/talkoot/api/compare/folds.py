"""Folds of a shard's rows: each node deals its own rows, the same way in every pass, without holding them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from scipy import sparse

from talkoot.core.context import stream_rng
from talkoot.core.shard import Block, Shard

FEW = 1 << 23  # entries of a table that a node holds in memory to read them again


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Folds:
    """Deals rows into `count` folds whose sizes differ by one at most, within each class of each node.

    Of every `count` rows of one class that follow each other, one goes to each fold, in an order of
    their own that is a function of (seed, node, class).

    Args:
        count: number of folds.
        seed: another seed, another deal.
        stratify: deal each class by itself, where rows have class indices.
    """

    count: int
    seed: int = 0
    stratify: bool = True

    def dealt(self, shard: Shard) -> Iterator[tuple[Block, np.ndarray]]:
        """The shard's blocks with the fold of each row, (rows,) intp."""
        deal = self.dealer(shard.name)
        for block in shard.blocks():
            yield block, deal(block)

    def dealer(self, node: str) -> Callable[[Block], np.ndarray]:
        """A function that gives the folds of a node's blocks, one block after the other from the first."""
        decks: dict[int, _Deck] = {}

        def deal(block: Block) -> np.ndarray:
            labels = self._labels(block)
            fold = np.empty(len(block), dtype=np.intp)
            for label in np.unique(labels).tolist():
                if label not in decks:
                    decks[label] = _Deck(self.count, stream_rng("folds", self.seed, node, label))
                rows = labels == label
                fold[rows] = decks[label].draw(int(rows.sum()))
            return fold

        return deal

    def _labels(self, block: Block) -> np.ndarray:
        if self.stratify and block.y is not None and block.y.dtype.kind == "i":
            return block.y
        return np.zeros(len(block), dtype=np.intp)


@final
@dataclass(slots=True)
class _Deck:
    """Endless shuffled rounds of 0 .. count - 1."""

    count: int
    rng: np.random.Generator
    left: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.intp))

    def draw(self, rows: int) -> np.ndarray:
        rounds = -(-(rows - len(self.left)) // self.count)
        if rounds > 0:
            new = self.rng.permuted(np.tile(np.arange(self.count), (rounds, 1)), axis=1)
            self.left = np.concatenate([self.left, new.ravel()])
        drawn, self.left = self.left[:rows], self.left[rows:]
        return drawn


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Shard):
    """Rows of a shard: one fold, or all others.

    Args:
        shard: the rows.
        folds: how they are dealt.
        fold: which fold.
        held_out: that fold, instead of all others.
    """

    shard: Shard
    folds: Folds
    fold: int
    held_out: bool = False

    @property
    def name(self) -> str:
        """The node's name."""
        return self.shard.name

    def blocks(self) -> Iterator[Block]:
        """The rows in order; blocks without any are left out."""
        for block, fold in self.folds.dealt(self.shard):
            rows = self._rows(fold)
            if len(rows):
                yield take(block, rows)

    def beside(self, other: Folds) -> Iterator[tuple[Block, np.ndarray]]:
        """The same blocks, and the fold of each row in another deal of the whole shard."""
        deal = other.dealer(self.shard.name)
        for block, fold in self.folds.dealt(self.shard):
            rows, fold_there = self._rows(fold), deal(block)
            if len(rows):
                yield take(block, rows), fold_there[rows]

    def _rows(self, fold: np.ndarray) -> np.ndarray:
        return np.flatnonzero((fold == self.fold) == self.held_out)


@final
@dataclass(frozen=True, slots=True)
class Blocks(Shard):
    """Rows in memory.

    Args:
        node: the node's name.
        held: the rows.
    """

    node: str
    held: tuple[Block, ...]

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node

    def blocks(self) -> Iterator[Block]:
        """The rows in order."""
        return iter(self.held)


@final
@dataclass(frozen=True, slots=True)
class Relabel:
    """Class indices into fewer classes, for `Mapped` shards.

    Args:
        index: (old classes,) the new index of each old class; -1 for classes that no row has.
    """

    index: tuple[int, ...]

    def __call__(self, block: Block) -> Block:
        """The block with new indices."""
        assert block.y is not None
        return Block(X=block.X, y=np.asarray(self.index, dtype=np.intp)[block.y], w=block.w)


def take(block: Block, rows: np.ndarray) -> Block:
    """Some rows of a block, by index."""
    X: Any = block.X
    X = {name: column[rows] for name, column in X.items()} if isinstance(X, Mapping) else X[rows]
    y, w = (None if values is None else values[rows] for values in (block.y, block.w))
    return Block(X=X, y=y, w=w)


def joined(blocks: Sequence[Block]) -> Block:
    """Blocks one after the other, as one; rows without weights among others count 1."""
    first: Any = blocks[0].X
    Xs: Any = [block.X for block in blocks]
    if isinstance(first, Mapping):
        X: Any = {name: np.concatenate([columns[name] for columns in Xs]) for name in first}
    elif sparse.issparse(first):
        X = sparse.csr_array(sparse.vstack(Xs, format="csr"))
    else:
        X = np.concatenate(Xs)
    y = None if blocks[0].y is None else np.concatenate([np.asarray(block.y) for block in blocks])
    ws = [np.ones(len(block)) if block.w is None else block.w for block in blocks]
    some = any(block.w is not None for block in blocks)
    return Block(X=X, y=y, w=np.concatenate(ws) if some else None)
