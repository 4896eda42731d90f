"""Growing one tree from the sums of all nodes, level by level, by scikit-learn's rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, NamedTuple, final

import numpy as np

from talkoot.learners.trees.boosting.bins import Bins
from talkoot.learners.trees.decision.rows import Entries
from talkoot.learners.trees.decision.units import Units

EPSILON = 2.0**-52  # an impurity up to it is none
BYTES = 1 << 25  # of what a node gets and sends in a round, unless it is for one leaf


@final
class Part(NamedTuple):
    """A leaf, or an inner node, of a tree that grows.

    Args:
        depth: 0 for the root.
        sums: (sums,) int64 of its rows, whose number comes last.
        weight, impurity: of its rows.
        low, high: between what its value must lie.
    """

    depth: int
    sums: np.ndarray
    weight: float
    impurity: float
    low: float = -np.inf
    high: float = np.inf

    @property
    def rows(self) -> int:
        """How many it has."""
        return int(self.sums[-1])


@final
class Split(NamedTuple):
    """How the rows of a part are divided: bins up to `bin` go to the left.

    Args:
        left: the number of its left child; the right one is the next.
        feature, bin, missing_left: where they go.
        threshold: up to which values go to the left.
        gain: how much the impurity of the tree falls.
    """

    left: int
    feature: int
    bin: int
    missing_left: bool
    threshold: float
    gain: float


@final
@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A tree that grows.

    Args:
        parts: leaves and inner nodes, children behind their parents.
        splits: of the parts that have children, in the order of these.
        unseen: the parts whose best split was not looked for yet, and the bins that each may have.
        wanted: those of which nodes send sums next.
        chosen: the parts that are divided in the finished tree, in that order; None while it grows.
    """

    parts: tuple[Part, ...] = ()
    splits: Mapping[int, Split] = field(default_factory=dict)
    unseen: Mapping[int, Entries] = field(default_factory=dict)
    wanted: tuple[int, ...] = (0,)
    chosen: tuple[int, ...] | None = None


@final
@dataclass(frozen=True, slots=True, eq=False)
class Grower:
    """The rules that a tree grows by.

    Args:
        criterion: its number in `kernels.trees.impurity`.
        units: what whole sums count.
        bins: of the columns.
        values: (features, bins) float32 the value of each bin; NaN where it holds several.
        depth, split, leaves: max_depth, min_samples_split and max_leaf_nodes, -1 where there is no limit.
        least: (rows, weight) of a leaf.
        decrease: min_impurity_decrease.
        monotonic: (features,) 1, -1, or 0 for a column without a constraint.
    """

    criterion: int
    units: Units
    bins: Bins
    values: np.ndarray
    depth: int
    split: int
    leaves: int
    least: tuple[int, float]
    decrease: float
    monotonic: np.ndarray

    @property
    def measure(self) -> tuple[int, np.ndarray, np.ndarray]:
        """What the kernels measure impurity by."""
        return self.criterion, self.units.values, self.units.of

    def root(self) -> Entries:
        """The bins that the root may have."""
        edges, missing = self.bins.thresholds, self.bins.missing
        each = [
            np.append(np.arange(len(own) + 1), [self.bins.count - 1] * int(holes)).astype(np.uint8)
            for own, holes in zip(edges, missing, strict=True)
        ]
        return Entries(np.concatenate(each), np.cumsum([0, *map(len, each)]))

    def grown(self, tree: Tree, sums: np.ndarray) -> Tree:
        """The tree with what was found in the sums that it wanted, and with what it wants next."""
        growth = _Growth(self, list(tree.parts), dict(tree.splits), dict(tree.unseen))
        if not tree.parts:
            growth.plant(sums)
        at = 0
        for part in tree.wanted:
            entries = growth.unseen.pop(part)
            growth.look(part, entries, sums[at : at + len(entries.bins)])
            at += len(entries.bins)
        return growth.followed()

    def facts(self, sums: np.ndarray) -> tuple[float, float, np.ndarray]:
        """(weight, impurity, quantities) of rows."""
        from talkoot.kernels.trees.impurity import facts

        found = np.empty(self.units.quantities)
        weight, impurity = facts(self.measure, sums, found)
        return float(weight), float(impurity), found

    def is_leaf(self, part: Part) -> bool:
        """Whether a part is never divided, whatever its best split is."""
        few = part.rows < max(self.split, 2 * self.least[0]) or part.weight < 2 * self.least[1]
        return bool(few or part.depth == self.depth or part.impurity <= EPSILON)

    def value(self, part: Part) -> np.ndarray:
        """(classes,) or (1,) what it predicts."""
        found = self.facts(part.sums)[2][: self.units.classes or 1] / part.weight
        if not self.monotonic.any():
            return found
        found[0] = np.clip(found[0], part.low, part.high)
        found[1:] = 1 - found[0]
        return found

    def threshold(self, feature: int, bin: int, behind: int) -> float:
        """Half-way between the last bin on the left and the first one on the right that have rows."""
        if behind < 0:
            return float(np.inf)
        one, other = self.values[feature, [bin, behind]].astype(np.float64)
        if np.isnan(one):
            one, other = self.bins.thresholds[feature][[bin, behind - 1]]
        return float(one / 2.0 + other / 2.0)


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Growth:
    """What a tree holds, while it changes."""

    rules: Grower
    parts: list[Part]
    splits: dict[int, Split]
    unseen: dict[int, Entries]

    def plant(self, sums: np.ndarray) -> None:
        """The root."""
        entries = self.rules.root()
        self.parts.append(self._part(sums[: entries.spans[1]].sum(axis=0), 0, -np.inf, np.inf))
        self.unseen[0] = entries

    def _part(self, sums: np.ndarray, depth: int, low: float, high: float) -> Part:
        weight, impurity, _ = self.rules.facts(sums)
        return Part(depth, sums, weight, impurity, low, high)

    def look(self, at: int, entries: Entries, sums: np.ndarray) -> None:
        """Look for the best split of a part, and give it children if it has one."""
        from talkoot.kernels.trees.impurity import best_split

        rules, part = self.rules, self.parts[at]
        if rules.is_leaf(part):
            return
        left = np.zeros_like(part.sums)
        feature, last, behind, aside = best_split(
            rules.measure,
            rules.least,
            sums,
            entries.bins,
            entries.spans,
            rules.values,
            rules.bins.count - 1,
            rules.monotonic,
            (part.low, part.high),
            part.sums,
            left,
        )
        if feature < 0:
            return
        threshold = rules.threshold(feature, last, behind)
        last = rules.bins.count - 2 if behind < 0 else last
        split = Split(len(self.parts), feature, last, bool(aside), threshold, 0.0)
        if self._divide(at, split, left):
            for child, is_left in ((split.left, True), (split.left + 1, False)):
                if not rules.is_leaf(self.parts[child]):
                    self.unseen[child] = _filled(entries, sums, split, rules.bins.count - 1, is_left)

    def _divide(self, at: int, split: Split, left: np.ndarray) -> bool:
        """Give a part its children, of which one has the sums `left`; whether they are worth it."""
        part, sides = self.parts[at], (left, self.parts[at].sums - left)
        bounds = self._bounds(part, split.feature, sides)
        one, other = (self._part(own, part.depth + 1, *each) for own, each in zip(sides, bounds, strict=True))
        gain = (part.weight / self.parts[0].weight) * (
            part.impurity
            - (other.weight / part.weight * other.impurity)
            - (one.weight / part.weight * one.impurity)
        )
        if gain + EPSILON < self.rules.decrease:
            return False
        self.parts.extend((one, other))
        self.splits[at] = split._replace(gain=gain)
        return True

    def _bounds(
        self, part: Part, feature: int, sides: tuple[np.ndarray, np.ndarray]
    ) -> Iterator[tuple[float, float]]:
        """Between what the values of each child must lie."""
        direction = int(self.rules.monotonic[feature])
        middle = 0.0
        for sums in sides if direction else ():
            weight, _, found = self.rules.facts(sums)
            middle += found[0] / (2 * weight)
        yield (middle if direction < 0 else part.low), (middle if direction > 0 else part.high)
        yield (middle if direction > 0 else part.low), (middle if direction < 0 else part.high)

    def followed(self) -> Tree:
        """The tree after the order in which parts are divided, as far as it is known."""
        chosen = list(self.splits) if self.rules.leaves < 0 else self._best_first()
        children = (self.splits[at].left + side for at in chosen for side in (0, 1))
        wanted, size, each = list[int](), 0, 8 * self.rules.units.sums + 1
        for child in children:
            if child in self.unseen:
                size += len(self.unseen[child].bins) * each + 8 * len(self.rules.values)
                if wanted and size > BYTES:
                    break
                wanted.append(child)
        done = None if wanted else tuple(chosen)
        return Tree(tuple(self.parts), self.splits, self.unseen, tuple(wanted), done)

    def _best_first(self) -> list[int]:
        """The parts that are divided, the greatest gain first; of equal ones the older."""
        heap, chosen = list[tuple[float, int]](), list[int]()
        if 0 in self.splits:
            heap.append((-self.splits[0].gain, 0))
        while heap and len(chosen) + 1 < self.rules.leaves:
            chosen.append(heappop(heap)[1])
            left = self.splits[chosen[-1]].left
            for child in (left, left + 1):
                if child in self.splits:
                    heappush(heap, (-self.splits[child].gain, child))
        return chosen


def _filled(entries: Entries, sums: np.ndarray, split: Split, missing: int, is_left: bool) -> Entries:
    """The bins in which the rows of a part are, of those that its child on one side may have."""
    some = sums[:, -1] > 0
    own = slice(entries.spans[split.feature], entries.spans[split.feature + 1])
    bins = entries.bins[own]
    goes_left = np.where(bins == missing, split.missing_left, bins <= split.bin)
    some[own] &= goes_left if is_left else ~goes_left
    before = np.append(0, np.cumsum(some))
    return Entries(entries.bins[some], before[entries.spans])


def splits_of(tree: Tree, known: int) -> np.ndarray:
    """The splits behind the first `known`, as nodes read them."""
    rows: list[Any] = [
        (split.left, at, split.feature, split.bin, split.missing_left)
        for at, split in list(tree.splits.items())[known:]
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, 5)
