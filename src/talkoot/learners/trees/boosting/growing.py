"""Growing one tree from histograms of all nodes, best leaf first, as scikit-learn's grower does.

Leaves that will be wanted are divided a level at a time: the best-first order is followed as far as it is
known, and what it needs next is asked for at once. A leaf that was divided and not chosen stays a leaf.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import Any, final

import numpy as np

from talkoot.learners.trees.boosting.bins import Bins
from talkoot.learners.trees.boosting.sklearn_private import splitter

LEAST_HESSIAN = 1e-3  # of a leaf that may be divided


@final
@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """How the rows of a leaf are divided: bins up to `bin`, or those of the set `bins`, go to the left.

    `bin` is -1 where only missing values do.
    """

    gain: float
    feature: int
    bin: int
    missing_left: bool
    bins: np.ndarray | None = None  # (8,) uint32, a bit for each bin of categories


@final
@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A leaf, or an inner node, of a tree that grows.

    Args:
        histogram: (features, bins) sums of its rows, until both of its children have theirs.
        evaluated: whether its best split was looked for, or it cannot have one.
        found: its best split, as scikit-learn gives it; None where there is none.
        split: how it is divided, as soon as its children are there.
        left: the number of its left child; the right one is the next.
        allowed, groups: the columns that interaction constraints allow, and the groups that they are of.
    """

    depth: int
    rows: int
    gradients: float
    hessians: float
    value: float
    low: float = -np.inf
    high: float = np.inf
    histogram: np.ndarray | None = None
    evaluated: bool = False
    found: Any = None
    split: Split | None = None
    left: int = -1
    allowed: np.ndarray | None = None
    groups: tuple[int, ...] = ()


@final
@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A tree that grows.

    Args:
        parts: leaves and inner nodes, children behind their parents.
        wanted: the parts whose histograms are wanted next.
        chosen: the parts that are divided in the finished tree; None while it grows.
    """

    parts: tuple[Part, ...] = ()
    wanted: tuple[int, ...] = (0,)
    chosen: frozenset[int] | None = None

    @property
    def splits(self) -> list[int]:
        """The parts that have children, in the order of their children."""
        return sorted((at for at, part in enumerate(self.parts) if part.left >= 0), key=self._left)

    def _left(self, at: int) -> int:
        return self.parts[at].left


@dataclass(frozen=True, slots=True, eq=False)
class Grower:
    """The rules that trees grow by: scikit-learn's, unless a subclass has others.

    Args:
        estimator: whose parameters they are.
        bins: of the columns.
        constant: whether all Hessians are 1.
        monotonic: (features,) 1, -1, or 0 for a column without constraint.
        groups: of columns that may interact; None where all may.
    """

    estimator: Any
    bins: Bins
    constant: bool
    monotonic: np.ndarray
    groups: tuple[frozenset[int], ...] | None = None

    @property
    def splitter(self) -> Any:
        """What finds the best split of a histogram."""
        return splitter(
            self.estimator,
            self.bins.thresholds,
            self.bins.missing,
            self.bins.categories,
            monotonic_cst=self.monotonic.astype(np.int8),
            hessians_are_constant=self.constant,
            min_hessian_to_split=LEAST_HESSIAN,
        )

    def grown(self, tree: Tree, histograms: dict[int, np.ndarray]) -> Tree:
        """The tree with what was found in the histograms that it wanted, and with what it wants next."""
        parts, find = list(tree.parts), self.splitter.find_node_split
        if not parts:
            self._plant(parts, find, histograms[0])
        for at in tree.wanted if tree.parts else ():
            self._evaluate(parts, find, at, histograms)
        return self._chosen(parts)

    def _plant(self, parts: list[Part], find: Any, histogram: np.ndarray) -> None:
        """The root."""
        allowed = None if self.groups is None else _columns(frozenset().union(*self.groups))
        first = histogram[0 if allowed is None else allowed[0]]
        rows = int(first["count"].sum())
        hessians = float(rows) if self.constant else float(first["sum_hessians"].sum())
        root = Part(0, rows, float(first["sum_gradients"].sum()), hessians, 0.0, allowed=allowed)
        root = self.root(replace(root, groups=tuple(range(len(self.groups or ())))))
        parts.append(root if root.evaluated else _with_split(root, histogram, find))

    def root(self, part: Part) -> Part:
        """The root with its value; evaluated where it stays a leaf."""
        few = part.rows < 2 * self.estimator.min_samples_leaf
        return replace(part, evaluated=few or part.hessians < LEAST_HESSIAN)

    def missing_left(self, info: Any) -> bool:
        """Whether missing values go to the left of a split."""
        if not self.bins.missing[info.feature_idx]:
            return bool(info.n_samples_left > info.n_samples_right)
        return bool(info.missing_go_to_left)

    def _evaluate(self, parts: list[Part], find: Any, at: int, histograms: dict[int, np.ndarray]) -> None:
        """Look for the splits of the children of a part: one has its histogram, the other has the rest."""
        parent = parts[at]
        assert parent.histogram is not None
        small = _smaller(parts, parent.left)
        own = histograms[small]
        rest = parent.histogram.copy()
        for name in ("sum_gradients", "sum_hessians", "count"):
            rest[name] -= own[name]
        for child in (parent.left, parent.left + 1):
            if not parts[child].evaluated:
                parts[child] = _with_split(parts[child], own if child == small else rest, find)
        parts[at] = replace(parent, histogram=None)

    def _chosen(self, parts: list[Part]) -> Tree:
        """Follow the best-first order as far as it is known."""
        heap, chosen, wanted = list[_Best](), list[int](), list[int]()
        if parts[0].found is not None:
            heap.append(_Best(parts[0].found.gain, 0))
        while heap and len(chosen) + 1 != self.estimator.max_leaf_nodes:
            at = heappop(heap).at
            chosen.append(at)
            if parts[at].left < 0:
                self._divide(parts, at)
            if len(chosen) + 1 == self.estimator.max_leaf_nodes:
                break
            children = [(child, parts[child]) for child in (parts[at].left, parts[at].left + 1)]
            if not all(part.evaluated for _, part in children):
                wanted.append(at)
            for child, part in children:
                if part.found is not None:
                    heappush(heap, _Best(part.found.gain, child))
        done = None if wanted else frozenset(chosen)
        return Tree(tuple(parts), tuple(wanted), done)

    def _divide(self, parts: list[Part], at: int) -> None:
        """Give a part its children."""
        parent, info = parts[at], parts[at].found
        allowed, groups = self._allowed(parent)
        depth = parent.depth + 1
        bins = info.left_cat_bitset if info.is_categorical else None
        split = Split(info.gain, info.feature_idx, info.bin_idx, self.missing_left(info), bins)
        parts[at] = replace(parent, left=len(parts), split=split)
        for side, (low, high) in zip(("left", "right"), self._bounds(parent), strict=True):
            rows = getattr(info, f"n_samples_{side}")
            leaf = depth == self.estimator.max_depth or rows < 2 * self.estimator.min_samples_leaf
            sums = getattr(info, f"sum_gradient_{side}"), getattr(info, f"sum_hessian_{side}")
            child = Part(depth, rows, *sums, getattr(info, f"value_{side}"), low, high, evaluated=leaf)
            parts.append(replace(child, allowed=allowed, groups=groups))

    def _bounds(self, parent: Part) -> Iterator[tuple[float, float]]:
        """Between what values the children of each child may lie."""
        info, low, high = parent.found, parent.low, parent.high
        direction = self.monotonic[info.feature_idx]
        middle = (info.value_left + info.value_right) / 2
        yield (middle if direction < 0 else low), (middle if direction > 0 else high)
        yield (middle if direction > 0 else low), (middle if direction < 0 else high)

    def _allowed(self, parent: Part) -> tuple[np.ndarray | None, tuple[int, ...]]:
        """The columns that children may use, and the groups of interaction that they are of."""
        if self.groups is None:
            return None, ()
        groups = tuple(g for g in parent.groups if parent.found.feature_idx in self.groups[g])
        return _columns(frozenset().union(*(self.groups[g] for g in groups))), groups


@dataclass(frozen=True, slots=True)
class _Best:
    """An entry of the heap: a greater gain comes first; among equals the order is that of the heap."""

    gain: float
    at: int

    def __lt__(self, other: _Best) -> bool:
        return self.gain > other.gain


def _columns(columns: frozenset[int]) -> np.ndarray:
    return np.fromiter(columns, dtype=np.uint32, count=len(columns))


def _with_split(part: Part, histogram: np.ndarray, find: Any) -> Part:
    """A part with its best split, if one gains anything."""
    info = find(
        n_samples=part.rows,
        histograms=histogram,
        sum_gradients=part.gradients,
        sum_hessians=part.hessians,
        value=part.value,
        lower_bound=part.low,
        upper_bound=part.high,
        allowed_features=part.allowed,
    )
    if info.gain <= 0:
        return replace(part, evaluated=True)
    return replace(part, histogram=histogram, evaluated=True, found=info)


def _smaller(parts: list[Part] | tuple[Part, ...], left: int) -> int:
    """The child with fewer rows, whose histogram nodes sum; the right one where both have as many."""
    return left if parts[left].rows < parts[left + 1].rows else left + 1


def sought(tree: Tree) -> list[int]:
    """The parts whose histograms nodes sum next."""
    return [_smaller(tree.parts, tree.parts[at].left) for at in tree.wanted] if tree.parts else [0]


def leaf_values(tree: Tree, rate: float) -> np.ndarray:
    """(parts,) what the finished tree adds to the prediction of rows in a part; NaN for its inner nodes."""
    assert tree.chosen is not None
    values = np.full(len(tree.parts), np.nan)
    for at, part in enumerate(tree.parts):  # children are behind their parents
        if at in tree.chosen:
            continue
        if np.isnan(values[at]):
            values[at] = part.value * rate
        if part.left >= 0:
            values[part.left : part.left + 2] = values[at]
    return values
