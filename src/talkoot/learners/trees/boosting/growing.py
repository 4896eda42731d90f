"""Growing one tree from histograms of all nodes, best leaf first, as scikit-learn's grower does.

Leaves that will be wanted are divided a level at a time: the best-first order is followed as far as it is
known, and what it needs next is asked for at once. A leaf that was divided and not chosen stays a leaf.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, final

import numpy as np

from talkoot.learners.trees.boosting.bins import Bins
from talkoot.learners.trees.boosting.sklearn_private import splitter

LEAST_HESSIAN = 1e-3  # of a leaf that may be divided
Bound = tuple[float, float]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A leaf, or an inner node, of a tree that grows.

    Args:
        rows: how many it has.
        gradients, hessians: their sums.
        value: what it would predict.
        low, high: between what its value and those below it may lie.
        allowed, groups: the columns that interaction constraints allow, and the groups that they are of.
    """

    depth: int
    rows: int
    gradients: float
    hessians: float
    value: float
    low: float = -np.inf
    high: float = np.inf
    allowed: np.ndarray | None = None
    groups: tuple[int, ...] = ()


@final
@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """How the rows of a part are divided: bins up to `bin`, or those of the set `bins`, go to the left.

    Args:
        left: the number of its left child; the right one is the next.
    """

    left: int
    feature: int
    bin: int
    missing_left: bool
    bins: np.ndarray | None = None  # (8,) uint32, a bit for each bin of categories


@final
@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A tree that grows.

    Args:
        parts: leaves and inner nodes, children behind their parents.
        found: the best split of each part that gains by one, as scikit-learn gives it.
        splits: of the parts that have children, in the order of these.
        histograms: (features, bins) sums of the parts that may still be divided.
        unseen: the parts whose best split was not looked for yet.
        wanted: the parts with children whose histograms are wanted next; before the first, the root.
        chosen: the parts that are divided in the finished tree; None while it grows.
    """

    parts: tuple[Part, ...] = ()
    found: Mapping[int, Any] = field(default_factory=dict)
    splits: Mapping[int, Split] = field(default_factory=dict)
    histograms: Mapping[int, np.ndarray] = field(default_factory=dict)
    unseen: frozenset[int] = frozenset()
    wanted: tuple[int, ...] = (0,)
    chosen: frozenset[int] | None = None


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

    def grown(self, tree: Tree, histograms: Mapping[int, np.ndarray]) -> Tree:
        """The tree with what was found in the histograms that it wanted, and with what it wants next."""
        held = dict(tree.found), dict(tree.splits), dict(tree.histograms)
        growth = _Growth(self, list(tree.parts), *held, set(tree.unseen))
        find = self.splitter.find_node_split
        if not tree.parts:
            growth.plant(find, histograms[0])
        else:
            for at in tree.wanted:
                growth.look(find, at, histograms)
        return growth.followed()

    def root(self, part: Part) -> Part:
        """The root with its value: none, as there is a prediction before the tree."""
        return part

    def is_leaf(self, part: Part) -> bool:
        """Whether a part is never divided, whatever its best split is."""
        few = part.rows < 2 * self.estimator.min_samples_leaf
        flat = not part.depth and part.hessians < LEAST_HESSIAN
        return bool(few or flat or part.depth == self.estimator.max_depth)

    def missing_left(self, info: Any) -> bool:
        """Whether missing values go to the left of a split."""
        if not self.bins.missing[info.feature_idx]:
            return bool(info.n_samples_left > info.n_samples_right)
        return bool(info.missing_go_to_left)


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Growth:
    """What a tree holds, while it changes."""

    rules: Grower
    parts: list[Part]
    found: dict[int, Any]
    splits: dict[int, Split]
    histograms: dict[int, np.ndarray]
    unseen: set[int]

    def plant(self, find: Any, histogram: np.ndarray) -> None:
        """The root."""
        groups = self.rules.groups
        allowed = None if groups is None else _columns(frozenset().union(*groups))
        first = histogram[0 if allowed is None else allowed[0]]
        rows = int(first["count"].sum())
        hessians = float(rows) if self.rules.constant else float(first["sum_hessians"].sum())
        gradients, every = float(first["sum_gradients"].sum()), tuple(range(len(groups or ())))
        self.parts.append(
            self.rules.root(Part(0, rows, gradients, hessians, 0.0, allowed=allowed, groups=every))
        )
        if not self.rules.is_leaf(self.parts[0]):
            self._find(find, 0, histogram)

    def look(self, find: Any, at: int, histograms: Mapping[int, np.ndarray]) -> None:
        """Look for the splits of the children of a part: one has its histogram, the other has the rest."""
        from talkoot.kernels.trees.histograms import difference

        left = self.splits[at].left
        small = _smaller(self.parts, left)
        rest = np.empty_like(histograms[small])
        difference(self.histograms.pop(at), histograms[small], rest)
        for child in (left, left + 1):
            if child in self.unseen:
                self.unseen.remove(child)
                self._find(find, child, histograms[small] if child == small else rest)

    def _find(self, find: Any, at: int, histogram: np.ndarray) -> None:
        """Look for the best split of a part."""
        part = self.parts[at]
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
        if info.gain > 0:
            self.found[at], self.histograms[at] = info, histogram

    def followed(self) -> Tree:
        """The tree after the best-first order, as far as it is known."""
        heap, chosen, wanted = list[_Best](), list[int](), list[int]()
        most = self.rules.estimator.max_leaf_nodes
        if 0 in self.found:
            heap.append(_Best(self.found[0].gain, 0))
        while heap and len(chosen) + 1 != most:
            at = heappop(heap).at
            chosen.append(at)
            if at not in self.splits:
                self._divide(at)
            if len(chosen) + 1 == most:
                break
            left = self.splits[at].left
            if left in self.unseen or left + 1 in self.unseen:
                wanted.append(at)
            for child in (left, left + 1):
                if child in self.found:
                    heappush(heap, _Best(self.found[child].gain, child))
        done = None if wanted else frozenset(chosen)
        histograms = {} if done else self.histograms
        unseen = frozenset(self.unseen)
        return Tree(tuple(self.parts), self.found, self.splits, histograms, unseen, tuple(wanted), done)

    def _divide(self, at: int) -> None:
        """Give a part its children."""
        parent, info, left = self.parts[at], self.found[at], len(self.parts)
        allowed, groups = self._allowed(parent, info)
        bins = info.left_cat_bitset if info.is_categorical else None
        self.splits[at] = Split(left, info.feature_idx, info.bin_idx, self.rules.missing_left(info), bins)
        sides = (
            (info.n_samples_left, info.sum_gradient_left, info.sum_hessian_left, info.value_left),
            (info.n_samples_right, info.sum_gradient_right, info.sum_hessian_right, info.value_right),
        )
        depth = parent.depth + 1
        for child, (facts, bound) in enumerate(zip(sides, self._bounds(parent, info), strict=True), left):
            self.parts.append(Part(depth, *facts, *bound, allowed, groups))
            if not self.rules.is_leaf(self.parts[child]):
                self.unseen.add(child)
        if not self.unseen.intersection((left, left + 1)):
            del self.histograms[at]

    def _bounds(self, parent: Part, info: Any) -> Iterator[Bound]:
        """Between what values the children of each child may lie."""
        direction = self.rules.monotonic[info.feature_idx]
        middle = (info.value_left + info.value_right) / 2
        yield (middle if direction < 0 else parent.low), (middle if direction > 0 else parent.high)
        yield (middle if direction > 0 else parent.low), (middle if direction < 0 else parent.high)

    def _allowed(self, parent: Part, info: Any) -> tuple[np.ndarray | None, tuple[int, ...]]:
        """The columns that children may use, and the groups of interaction that they are of."""
        every = self.rules.groups
        if every is None:
            return None, ()
        groups = tuple(g for g in parent.groups if info.feature_idx in every[g])
        return _columns(frozenset().union(*(every[g] for g in groups))), groups


@dataclass(frozen=True, slots=True)
class _Best:
    """An entry of the heap: a greater gain comes first; among equals the order is that of the heap."""

    gain: float
    at: int

    def __lt__(self, other: _Best) -> bool:
        return self.gain > other.gain


def _columns(columns: frozenset[int]) -> np.ndarray:
    return np.fromiter(columns, dtype=np.uint32, count=len(columns))


def _smaller(parts: list[Part] | tuple[Part, ...], left: int) -> int:
    """The child with fewer rows, whose histogram nodes sum; the right one where both have as many."""
    return left if parts[left].rows < parts[left + 1].rows else left + 1


def sought(tree: Tree) -> list[int]:
    """The parts whose histograms nodes sum next."""
    return [_smaller(tree.parts, tree.splits[at].left) for at in tree.wanted] if tree.parts else [0]


def leaf_values(tree: Tree, rate: float) -> np.ndarray:
    """(parts,) what the finished tree adds to the prediction of rows in a part; NaN for its inner nodes."""
    assert tree.chosen is not None
    values = np.full(len(tree.parts), np.nan)
    for at, part in enumerate(tree.parts):  # children are behind their parents
        if at in tree.chosen:
            continue
        if np.isnan(values[at]):
            values[at] = part.value * rate
        if at in tree.splits:
            left = tree.splits[at].left
            values[left : left + 2] = values[at]
    return values
