"""Folds of a shard's rows: each node splits its own rows, the same way in every pass, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from talkoot.core.context import stream_rng
from talkoot.core.engine import View
from talkoot.core.errors import DataError, PlanError
from talkoot.core.shard import Block, Mapped, Schema, Shard
from talkoot.learners.common.rows import take

MOST = 10_000  # folds
IN_MEMORY = 1 << 23  # entries of a table up to which a node holds it in memory


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Folds:
    """Splits rows into `count` folds whose sizes differ by one at most, within each class of each node.

    Of every `count` consecutive rows of one class, one goes to each fold, in a random order that is a
    function of (seed, node, class).
    """

    count: int  # number of folds
    seed: int = 0  # of the random order
    stratify: bool = True  # split each class by itself, where rows have class indices

    def __post_init__(self) -> None:
        if not 2 <= self.count <= MOST:
            raise PlanError(f"folds={self.count}", cure=f"Take folds >= 2, and no more than {MOST}.")

    def blocks_with_folds(self, shard: Shard) -> Iterator[tuple[Block, np.ndarray]]:
        """The shard's blocks with the fold of each row, (rows,) intp."""
        assign = self.assigner(shard.name)
        for block in shard.blocks():
            yield block, assign(block)

    def assigner(self, node: str) -> Callable[[Block], np.ndarray]:
        """A function from a node's block to the folds of its rows; call it on all blocks in order."""
        sequences: dict[int, _FoldSequence] = {}

        def assign(block: Block) -> np.ndarray:
            labels = self._labels(block)
            fold = np.empty(len(block), dtype=np.intp)
            for label in np.unique(labels).tolist():
                if label not in sequences:
                    rng = stream_rng("folds", self.seed, node, label)
                    sequences[label] = _FoldSequence(self.count, rng)
                rows = labels == label
                fold[rows] = sequences[label].take(int(rows.sum()))
            return fold

        return assign

    def _labels(self, block: Block) -> np.ndarray:
        if self.stratify and block.y is not None and block.y.dtype.kind == "i":
            return block.y
        return np.zeros(len(block), dtype=np.intp)


@final
@dataclass(slots=True)
class _FoldSequence:
    """An endless sequence of random permutations of 0 .. count - 1."""

    count: int
    rng: np.random.Generator
    left: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.intp))

    def take(self, rows: int) -> np.ndarray:
        permutations = -(-(rows - len(self.left)) // self.count)
        if permutations > 0:
            new = self.rng.permuted(np.tile(np.arange(self.count), (permutations, 1)), axis=1)
            self.left = np.concatenate([self.left, new.ravel()])
        first, self.left = self.left[:rows], self.left[rows:]
        return first


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Shard):
    """Rows of a shard: one fold, or all others."""

    shard: Shard  # the rows
    folds: Folds  # how they are split
    fold: int  # which fold
    held_out: bool = False  # take that fold, instead of all others

    @property
    def name(self) -> str:
        """The node's name."""
        return self.shard.name

    def blocks(self) -> Iterator[Block]:
        """The rows in order, without empty blocks."""
        for block, fold in self.folds.blocks_with_folds(self.shard):
            rows = self._rows(fold)
            if len(rows):
                yield take(block, rows)

    def blocks_with_folds(self, other: Folds) -> Iterator[tuple[Block, np.ndarray]]:
        """The same blocks, and the fold of each row in another split of the whole shard."""
        assign = other.assigner(self.shard.name)
        for block, fold in self.folds.blocks_with_folds(self.shard):
            rows, other_fold = self._rows(fold), assign(block)
            if len(rows):
                yield take(block, rows), other_fold[rows]

    def _rows(self, fold: np.ndarray) -> np.ndarray:
        return np.flatnonzero((fold == self.fold) == self.held_out)


@final
@dataclass(frozen=True, slots=True)
class Relabel:
    """Maps class indices to those of fewer classes, for `Mapped` shards."""

    index: tuple[int, ...]  # (old classes,) the new index of each old class; -1 for classes without rows

    def __call__(self, block: Block) -> Block:
        """The block with new indices."""
        assert block.y is not None
        return replace(block, y=np.asarray(self.index, dtype=np.intp)[block.y])


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRows:
    """A view of each node's rows without one fold."""

    view: View  # of all rows
    folds: Folds  # how they are split
    fold: int  # the fold that is left out
    # the new index of each class, where some have no rows; see `Relabel`
    index: tuple[int, ...] | None = None

    def __call__(self, shard: Shard) -> Shard:
        """The rows."""
        part = Part(shard=self.view(shard), folds=self.folds, fold=self.fold)
        return part if self.index is None else Mapped(part, Relabel(self.index))


def splits_of(folds: int, repeats: int, seed: int) -> tuple[Folds, ...]:
    """One split into folds for each repeat.

    Raises:
        PlanError: fewer than two folds, or no repeat.
    """
    if repeats < 1:
        raise PlanError(f"repeats={repeats}", cure="Take repeats >= 1.")
    return tuple(Folds(count=folds, seed=seed + repeat) for repeat in range(repeats))


def training_schema(schema: Schema, counts: np.ndarray, fold: int) -> tuple[Schema, tuple[int, ...] | None]:
    """As `without_missing_classes`, of the rows of all nodes without one fold.

    Args:
        schema: of all rows.
        counts: (folds, classes) rows of all nodes.
        fold: which is left out.

    Raises:
        DataError: the rows of the other folds have one label.
    """
    try:
        return without_missing_classes(schema, counts.sum(axis=0) - counts[fold])
    except DataError as error:
        why = error.cause.replace("all its rows", "all rows")
        cure = "Take fewer folds, or another seed: a label has too few rows for so many folds."
        raise DataError(f"without fold {fold + 1} of {len(counts)}, {why}", cure=cure) from None


def without_missing_classes(schema: Schema, counts: np.ndarray) -> tuple[Schema, tuple[int, ...] | None]:
    """The schema of `counts`, (classes,) rows of each class: without the classes that have none.

    Returns:
        The schema, and for each old class its new index, or None where no class is missing.

    Raises:
        DataError: no rows, or rows of a single class.
    """
    rows, present = int(counts.sum()), counts > 0
    if not rows:
        raise DataError("it has no rows")
    if schema.classes is None or present.all():
        return replace(schema, rows=rows), None
    if present.sum() == 1:
        raise DataError(f"all its rows have the label {schema.classes[present].tolist()[0]!r}")
    index = tuple(np.where(present, np.cumsum(present) - 1, -1).tolist())
    return replace(schema, rows=rows, classes=schema.classes[present]), index
