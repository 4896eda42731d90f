"""Forests of Hoeffding trees that replace members when the stream changes."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from talkoot.core.errors import PlanError
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.model import Floats, OnlineModel, Task
from talkoot.learners.online.state import State
from talkoot.learners.online.trees.arrays import grow, reshape, shape_of, tree_of
from talkoot.learners.online.trees.codes import blank_codes, coded, looked_up, room
from talkoot.learners.online.trees.hoeffding import Growth, classes_of, plant_tree, shares

LEVELS, BUCKETS = 48, 6
DETECTORS = ("warning", "drift")


@dataclass(frozen=True, slots=True)
class Forest(OnlineModel):
    """What forests share: bagging, detectors, background trees and weighted votes."""

    members: int = 10
    columns: float = 0.6
    rate: float = 6.0
    grace: float = 50
    delta: float = 0.01
    megabytes: float = 32.0

    def __post_init__(self) -> None:
        if self.members < 1:
            raise PlanError(f"members={self.members} is below 1")
        if not 0 < self.columns <= 1:
            raise PlanError(
                f"columns={self.columns} is not a share of the columns", cure="Take one above 0, up to 1."
            )
        if not 0 < self.rate <= 100:
            raise PlanError(f"rate={self.rate} is not between 0 and 100")
        self._growth(1)

    @property
    def task(self) -> Task:
        """A probability for each class."""
        return "classes"

    @abstractmethod
    def _growth(self, columns: int) -> Growth:
        """How the trees grow that see so many columns."""

    @abstractmethod
    def _alarms(self) -> tuple[float, float]:
        """Significance of warning and of drift."""

    def _rules(self, state: State, prefix: str) -> Any:
        shape = shape_of(state, prefix)
        return self._growth(shape.columns + shape.categories).rules(shape)

    def start(self, layout: Layout, seed: int) -> State:
        """Members of one leaf each."""
        classes_of(layout, type(self).__name__)
        state = blank_codes(len(layout.categories))
        growth = self._growth(len(layout.numbers) + len(layout.categories))
        seeds = np.random.SeedSequence(seed).generate_state(3 * self.members, np.uint64) >> np.uint64(1)
        for m in range(self.members):
            for tree in range(2):
                plant_tree(state, f"{m}/{tree}/", growth, layout, int(seeds[3 * m + tree]))
            state[f"{m}/head"] = np.zeros(8, np.int64)
            state[f"{m}/head"][5] = seeds[3 * m + 2]
            for name in DETECTORS:
                state.update({f"{m}/{name}/{key}": array for key, array in blank_window().items()})
        return state

    def learn(self, state: State, rows: Features, y: Floats, w: Floats | None = None) -> NDArray[Any]:
        """Learn rows in their order; the weighted votes before each was learned, as probabilities."""
        w = np.ones(len(rows)) if w is None else w
        total = np.zeros((len(rows), state["0/0/counts"].shape[1]))
        for start, end, codes in coded(state, rows):
            part = slice(start, end)
            for m in range(self.members):
                self._learn_member(state, m, rows.numbers[part], codes, y[part], w[part], total[part])
        return shares(total)

    def _learn_member(
        self, state: State, m: int, x: Floats, z: NDArray[Any], y: Floats, w: Floats, total: Floats
    ) -> None:
        from talkoot.kernels.trees.forest import learn_member

        prefixes = (f"{m}/0/", f"{m}/1/")
        for prefix in prefixes:
            shape = shape_of(state, prefix)
            if shape.codes < room(state):
                reshape(state, prefix, shape._replace(codes=room(state)))
        rules = self._rules(state, prefixes[0])
        warning, drift = (window_of(state, f"{m}/{name}/") for name in DETECTORS)
        votes = np.empty_like(total)
        alarms = np.array(self._alarms())
        done = 0
        while done < len(y):
            one, two = (tree_of(state, prefix) for prefix in prefixes)
            done = learn_member(
                one, two, rules, state[f"{m}/head"], warning, drift, alarms, float(self.rate),
                x, z, y, w, done, votes, total,
            )  # fmt: skip
            if done < len(y):
                for prefix in prefixes:
                    grow(state, prefix, rules.nodes, rules.blocks)

    def predict(self, state: State, rows: Features) -> NDArray[Any]:
        """The weighted votes of the members as probabilities."""
        from talkoot.kernels.trees.forest import vote_member

        total = np.zeros((len(rows), state["0/0/counts"].shape[1]))
        votes, codes = np.empty_like(total), looked_up(state, rows)
        for m in range(self.members):
            one, two = (tree_of(state, f"{m}/{tree}/") for tree in range(2))
            rules = self._rules(state, f"{m}/0/")
            vote_member(one, two, rules, state[f"{m}/head"], rows.numbers, codes, votes, total)
        return shares(total)

    def widen(self, state: State, classes: int) -> None:
        """Make room for so many classes."""
        for m in range(self.members):
            for tree in range(2):
                shape = shape_of(state, f"{m}/{tree}/")
                reshape(state, f"{m}/{tree}/", shape._replace(classes=max(classes, shape.classes)))

    def drifts(self, state: State) -> int:
        """How many members were replaced."""
        return sum(int(state[f"{m}/head"][2]) for m in range(self.members))

    def inactive(self, state: State) -> int:
        """How many leaves of the members are beyond their tree's budget."""
        return sum(int(state[f"{m}/{state[f'{m}/head'][0]}/head"][3]) for m in range(self.members))


def blank_window() -> State:
    """Arrays of a detector without values."""
    return {
        "ints": np.array([0, 0, 1], np.int64),
        "reals": np.zeros(2),
        "counts": np.zeros(LEVELS, np.int64),
        "sums": np.zeros((LEVELS, BUCKETS)),
        "squares": np.zeros((LEVELS, BUCKETS)),
    }


def dealt(members: int, width: int, size: int, seed: int) -> NDArray[np.bool_]:
    """Columns of each member, (members, width): other ones for each, as far as there are combinations.

    >>> dealt(6, width=3, size=2, seed=0).sum(axis=0)  # each of the three pairs twice
    array([4, 4, 4])
    """
    chance = np.random.default_rng(seed)
    found: set[tuple[int, ...]] = set()
    masks = np.zeros((min(members, math.comb(width, size)), width), np.bool_)
    for mask in masks:
        while not mask.any():
            chosen = tuple(sorted(chance.permutation(width)[:size].tolist()))
            mask[list(chosen)] = chosen not in found
            found.add(chosen)
    return masks[np.arange(members) % len(masks)]


def window_of(state: State, prefix: str) -> Any:
    """The arrays of one detector as a kernel reads them."""
    from talkoot.kernels.trees.forest import Window

    return Window(*(state[prefix + name] for name in Window._fields))


@final
@dataclass(frozen=True, slots=True)
class AdaptiveRandomForest(Forest):
    """Hoeffding trees on Poisson-weighted rows; each leaf observes a random part of the columns.

    A member whose errors rise gets a background tree at a warning, and is replaced by it at a drift (ADWIN,
    significance .01 and .001). Votes are weighted by how often a member was right.

    Args:
        members: how many trees.
        columns: the share of columns that a leaf observes.
        rate: mean of the Poisson weights of rows.
        grace: weight of rows in a leaf between two tries to split it.
        delta: probability of another split than endless rows would choose.
        megabytes: what each tree may hold.

    Source: Gomes et al., Adaptive random forests for evolving data stream classification, 2017.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).uniform(size=(2000, 3))
    >>> rows = Features(x, np.empty((2000, 0), np.uint64))
    >>> forest = AdaptiveRandomForest(members=5)
    >>> state = forest.start(Layout(("a", "b", "c"), classes=2), seed=0)
    >>> before = forest.learn(state, rows, (x[:, 0] > 0.5).astype(float))
    >>> forest.predict(state, rows[:1]).argmax()
    np.int64(1)
    """

    def _growth(self, columns: int) -> Growth:
        return Growth(
            self.grace, self.delta, 0.05, "adaptive", None, False, self.megabytes,
            subspace=max(1, round(self.columns * columns)),
        )  # fmt: skip

    def _alarms(self) -> tuple[float, float]:
        return 0.01, 0.001


@final
@dataclass(frozen=True, slots=True)
class StreamingRandomPatches(Forest):
    """Hoeffding trees on Poisson-weighted rows, each with a random part of the columns.

    A member whose errors rise gets a background tree with columns of its own at a warning, and is replaced by
    it at a drift (ADWIN, significance .0001 and .00001). Votes are weighted by how often a member was right.

    Args:
        members: how many trees.
        columns: the share of columns that a tree sees.
        rate: mean of the Poisson weights of rows.
        grace: weight of rows in a leaf between two tries to split it.
        delta: probability of another split than endless rows would choose.
        megabytes: what each tree may hold.

    Source: Gomes, Read and Bifet, Streaming random patches for evolving data stream classification, 2019.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).uniform(size=(2000, 3))
    >>> rows = Features(x, np.empty((2000, 0), np.uint64))
    >>> patches = StreamingRandomPatches(members=5)
    >>> state = patches.start(Layout(("a", "b", "c"), classes=2), seed=0)
    >>> before = patches.learn(state, rows, (x[:, 0] > 0.5).astype(float))
    >>> patches.predict(state, rows[:1]).argmax()
    np.int64(1)
    """

    def start(self, layout: Layout, seed: int) -> State:
        """Members of one leaf each, the columns dealt."""
        state = Forest.start(self, layout, seed)
        width = len(layout.numbers) + len(layout.categories)
        masks = dealt(self.members, width, self._growth(width).subspace, seed)
        for m in range(self.members):
            state[f"{m}/0/mask"][:] = masks[m]
        return state

    def _growth(self, columns: int) -> Growth:
        least = min(2, columns)
        return Growth(
            self.grace, self.delta, 0.05, "adaptive", None, False, self.megabytes,
            subspace=max(least, round(self.columns * columns)), patch=True,
        )  # fmt: skip

    def _alarms(self) -> tuple[float, float]:
        return 1e-4, 1e-5
