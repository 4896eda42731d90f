"""The Hoeffding tree (VFDT)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from talkoot.core.errors import PlanError
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.model import Floats, OnlineModel, Task
from talkoot.learners.online.state import State
from talkoot.learners.online.trees.arrays import FIRST, Shape, blank, grow, reshape, shape_of, tree_of
from talkoot.learners.online.trees.codes import blank_codes, coded, looked_up, room

LeafVote: TypeAlias = Literal["majority", "bayes", "adaptive"]
VOTES = ("majority", "bayes", "adaptive")
NO_LIMIT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Growth:
    """When a tree grows, and how much of it may be in memory."""

    grace: float
    delta: float
    tau: float
    leaf: LeafVote
    depth: int | None = None
    binary: bool = False
    megabytes: float = 32.0
    subspace: int = 0
    patch: bool = False
    smoothing: float = 1.0

    def __post_init__(self) -> None:
        if self.leaf not in VOTES:
            raise PlanError(f"leaf={self.leaf!r} is not one of {', '.join(VOTES)}")
        if not (self.grace > 0 and 0 < self.delta < 1 and self.tau >= 0):
            raise PlanError(
                f"grace={self.grace}, delta={self.delta}, tau={self.tau} cannot be",
                cure="grace is above 0, delta between 0 and 1, tau 0 or more.",
            )
        if self.depth is not None and self.depth < 0:
            raise PlanError(f"depth={self.depth} is below 0")
        if not self.megabytes > 0:
            raise PlanError(f"megabytes={self.megabytes} is not above 0")

    def rules(self, shape: Shape, more: int = 0) -> Any:
        """The rules as a kernel reads them: a quarter of the bytes for nodes, the rest for active leaves.

        Nodes hold `more` bytes than those of the tree's own arrays.
        """
        from talkoot.kernels.trees.layout import Rules

        budget = self.megabytes * 2**20
        return Rules(
            float(self.grace),
            float(self.delta),
            float(self.tau),
            VOTES.index(self.leaf),
            NO_LIMIT if self.depth is None else self.depth,
            0.01,
            float(self.smoothing),
            self.binary,
            max(FIRST, int(budget / 4 / (shape.node_bytes() + more))),
            max(1, int(budget * 3 / 4 / shape.block_bytes())),
            self.subspace,
            self.patch,
        )


def plant_tree(state: State, prefix: str, growth: Growth, layout: Layout, seed: int) -> None:
    """Put a tree of one leaf into a state."""
    from talkoot.kernels.trees.growth import plant

    codes = room(state)
    shape = Shape(FIRST, FIRST, len(layout.numbers), len(layout.categories), max(1, layout.classes), codes)
    state.update({prefix + name: array for name, array in blank(shape).items()})
    state[prefix + "head"][5] = seed
    plant(tree_of(state, prefix), growth.rules(shape))


def classes_of(layout: Layout, name: str) -> None:
    """Refuse what has no classes or no columns."""
    if layout.classes < 1:
        raise PlanError(f"{name} predicts classes, and the target is a number")
    if not layout.numbers and not layout.categories:
        raise PlanError(f"{name} needs at least one column of numbers or categories")


def shares(votes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Votes of each row as probabilities; all classes alike where nobody voted."""
    total = votes.sum(axis=1, keepdims=True)
    even = np.full_like(votes, 1.0 / votes.shape[1])
    np.divide(votes, total, out=even, where=total > 0)
    return even


@dataclass(frozen=True, slots=True)
class SingleTree(OnlineModel):
    """What single trees share: their settings, and how they lie in a state."""

    grace: float = 200
    delta: float = 1e-7
    tau: float = 0.05
    leaf: LeafVote = "adaptive"
    depth: int | None = None
    binary: bool = False
    megabytes: float = 32.0
    smoothing: float = 1.0

    def __post_init__(self) -> None:
        self.growth()

    @property
    def task(self) -> Task:
        """A probability for each class."""
        return "classes"

    def growth(self) -> Growth:
        """The settings of the tree's growth, checked."""
        return Growth(
            self.grace,
            self.delta,
            self.tau,
            self.leaf,
            self.depth,
            self.binary,
            self.megabytes,
            smoothing=self.smoothing,
        )

    def start(self, layout: Layout, seed: int) -> State:
        """One leaf."""
        classes_of(layout, type(self).__name__)
        state = blank_codes(len(layout.categories))
        plant_tree(state, "tree/", self.growth(), layout, seed)
        return state

    def learn(self, state: State, rows: Features, y: Floats, w: Floats | None = None) -> NDArray[Any]:
        """Learn rows in their order; the probabilities before each was learned."""
        w = np.ones(len(rows)) if w is None else w
        votes = np.zeros((len(rows), state["tree/counts"].shape[1]))
        for start, end, codes in coded(state, rows):
            shape = shape_of(state, "tree/")
            if shape.codes < room(state):
                reshape(state, "tree/", shape._replace(codes=room(state)))
            part = slice(start, end)
            done = 0
            while done < end - start:
                done = self._learn_from(state, done, rows.numbers[part], codes, y[part], w[part], votes[part])
        return shares(votes)

    def _rules(self, state: State) -> Any:
        return self.growth().rules(shape_of(state, "tree/"))

    @abstractmethod
    def _learn_from(
        self, state: State, start: int, x: Floats, z: NDArray[Any], y: Floats, w: Floats, votes: Floats
    ) -> int:
        """Learn rows from `start` on, and make room where it is due; where it stopped."""

    def predict(self, state: State, rows: Features) -> NDArray[Any]:
        """The probabilities at the rows' leaves."""
        from talkoot.kernels.trees.hoeffding import vote_rows

        votes = np.zeros((len(rows), state["tree/counts"].shape[1]))
        vote_rows(tree_of(state, "tree/"), self._rules(state), rows.numbers, looked_up(state, rows), votes)
        return shares(votes)

    def widen(self, state: State, classes: int) -> None:
        """Make room for so many classes."""
        shape = shape_of(state, "tree/")
        reshape(state, "tree/", shape._replace(classes=max(classes, shape.classes)))

    def splits(self, state: State) -> int:
        """How many leaves were split."""
        return int(state["tree/head"][4])

    def inactive(self, state: State) -> int:
        """How many leaves are no longer refined: at the depth's limit, or beyond the budget."""
        return int(state["tree/head"][3])


@final
@dataclass(frozen=True, slots=True)
class HoeffdingTree(SingleTree):
    """A decision tree that splits a leaf once enough rows have shown which test is best (VFDT).

    Splits are those of River's `HoeffdingTreeClassifier`: information gain over ten cuts of a Gaussian for
    each class and numeric column, a branch for each category or one against the rest, and the Hoeffding
    bound. Missing values follow the branch that most weight went to.

    Args:
        grace: weight of rows in a leaf between two tries to split it.
        delta: probability of another split than the one that endless rows would choose.
        tau: bound below which two tests count as equally good, and the first is taken.
        leaf: "majority", "bayes" (naive Bayes) or "adaptive" (the one of both that was right more often).
        depth: the deepest a leaf may lie; None: no limit.
        binary: only tests with two branches.
        megabytes: what the tree may hold; beyond it the leaves with the fewest errors to lose are no longer
            refined, which `inactive` counts.
        smoothing: weight that naive Bayes gives each category of a class beforehand.

    Source: Domingos and Hulten, Mining high-speed data streams, KDD 2000.

    >>> import numpy as np
    >>> from talkoot.learners.online.features import Features, Layout
    >>> x = np.random.default_rng(0).uniform(size=(2000, 2))
    >>> rows = Features(x, np.empty((2000, 0), np.uint64))
    >>> tree = HoeffdingTree()
    >>> state = tree.start(Layout(("a", "b"), classes=2), seed=0)
    >>> before = tree.learn(state, rows, (x[:, 0] > 0.5).astype(float))
    >>> tree.splits(state), tree.predict(state, rows[:1]).round().tolist()
    (2, [[0.0, 1.0]])
    """

    def _learn_from(
        self, state: State, start: int, x: Floats, z: NDArray[Any], y: Floats, w: Floats, votes: Floats
    ) -> int:
        from talkoot.kernels.trees.hoeffding import learn_rows

        rules = self._rules(state)
        done: int = learn_rows(tree_of(state, "tree/"), rules, x, z, y, w, start, votes)
        if done < len(y):
            grow(state, "tree/", rules.nodes, rules.blocks)
        return done
