"""Trees that nodes grow alone, by scikit-learn: counted, dealt, grown and joined."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
from sklearn.base import clone
from sklearn.utils import get_tags

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.learner import Kind, SolvingLearner
from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.common.columnwise import require_numbers
from talkoot.learners.common.estimator import refuse, require_finite
from talkoot.learners.common.rows import concatenate, require_dense, require_weights
from talkoot.learners.sums.selection import Selection
from talkoot.learners.trees.forests import forest_private as private
from talkoot.learners.trees.forests.grown import Trees
from talkoot.learners.trees.single_precision import as_single, require_single
from talkoot.learners.trees.weights import Weights

ROWS = "rows/"  # leaves: rows of a node, what they weigh, how many weigh something, nodes of this name
CLASSES = "classes"  # a leaf: what the rows of each class weigh
WEIGHTED = "weighted"  # nodes that have sample weights


@final
@dataclass(frozen=True, slots=True)
class CountRows:
    """The question of the first round."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Grow:
    """What nodes grow.

    Args:
        seed: of the forest.
        parts: for each node the index of its first tree, and the number of its trees.
        weights: of the rows.
        rows: of a tree, where all have as many; 0 where the estimator says it.
    """

    seed: int
    parts: Mapping[str, tuple[int, int]]
    weights: Weights
    rows: int = 0


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Growth:
    """A fit between two rounds."""

    schema: Schema  # what the nodes agreed on
    seed: int  # of the forest
    grow: Grow | None = None  # what nodes grow; None before the first round
    trees: Trees | None = None  # of all nodes
    search: Selection | None = None  # for a threshold, once the trees are there
    done: bool = False


@dataclass(frozen=True, slots=True)
class BaggedTrees(SolvingLearner):
    """What forests share: rows are counted, trees dealt, grown at nodes by scikit-learn, and joined."""

    estimator: Any

    kind: ClassVar[Kind] = "bagged"
    ends: ClassVar[bool] = True

    @property
    def needs_all(self) -> bool:
        """Without a node its trees are missing."""
        return True

    @property
    def question_types(self) -> tuple[type, ...]:
        """Of counting, and of growth."""
        return (CountRows, Grow, Weights)

    def init(self, schema: Schema, rng: np.random.Generator) -> Growth:
        """Refuse columns and parameters that cannot be used."""
        require_numbers(schema, self.estimator)
        require_dense(schema, self.estimator)
        self.example(schema)
        seed, own = int(rng.integers(2**31)), self.estimator.random_state
        return Growth(schema=schema, seed=seed if own is None else int(own))

    def question(self, model: Growth) -> Any:
        """What to grow, once rows are counted."""
        return model.grow or CountRows()

    def work(self, question: Any, local: Any, shard: Shard, ctx: Ctx) -> tuple[Update, Any]:
        """Counts of rows, or trees."""
        if isinstance(question, CountRows):
            return self._counted(shard, ctx), None
        first, count = question.parts.get(ctx.node, (0, 0))
        if not count:
            return Update(), None
        X, y, w = rows_of(shard, question.weights)
        jobs = max(1, private.jobs(self.estimator) // max(1, len(ctx.cohort)))
        own = clone(self.estimator).set_params(n_estimators=count, n_jobs=jobs, verbose=0)
        try:
            trees = self.grown(own, X, y, w, question, first, ctx.schema)
        except ValueError as error:
            raise DataError(
                f"{self.name} cannot grow trees of this node's rows alone: {error}",
                cure="Correct its rows or the parameter, or leave the node out of the data.",
            ) from error
        return Update(values=trees.leaves(first), weight=float(len(X))), None

    def _counted(self, shard: Shard, ctx: Ctx) -> Update:
        found, weighted, classes = np.array([0.0, 0.0, 0.0, 1.0]), 0, ctx.schema.classes
        weighing = np.zeros(0 if classes is None else len(classes))
        for block in shard.blocks():
            if not len(block):
                continue
            self._check(block, ctx.schema)
            w = np.ones(len(block)) if block.w is None else block.w
            found[:3] += [len(block), w.sum(), np.count_nonzero(w)]
            weighted = int(block.w is not None)
            if classes is not None and block.y is not None:
                weighing += np.bincount(block.y, w, minlength=len(classes))
        if not found[0]:
            return Update()
        values = {ROWS + ctx.node: found, WEIGHTED: np.array([weighted]), CLASSES: weighing}
        return Update(values=values, weight=found[0])

    def _check(self, block: Block, schema: Schema) -> None:
        require_weights(block.w, self.estimator)
        missing = bool(get_tags(self.estimator).input_tags.allow_nan)
        require_finite(block.X, schema, self.estimator, missing=missing)
        require_single(as_single(block.X), schema)

    def step(self, model: Growth, update: Update) -> Growth:
        """What to grow, or the forest.

        Raises:
            DataError: no node has rows.
        """
        if model.grow is not None:
            return self.after(replace(model, trees=Trees.joined(update.values)))
        rows = {k.removeprefix(ROWS): v for k, v in update.values.items() if k.startswith(ROWS) and v[1] > 0}
        if not rows:
            raise DataError(f"no node has rows, so {self.name} has nothing to learn from")
        if twice := [node for node, found in rows.items() if found[3] > 1]:
            cure = "Give each node a name of its own."
            raise DataError(
                "several nodes have this name, so trees cannot be dealt", node=twice[0], cure=cure
            )
        sampled = bool(update.values[WEIGHTED][0])
        return replace(model, grow=self.dealt(model, rows, sampled, update.values[CLASSES]))

    @abstractmethod
    def dealt(
        self, model: Growth, rows: Mapping[str, np.ndarray], sampled: bool, classes: np.ndarray
    ) -> Grow:
        """What nodes grow.

        Args:
            model: the fit.
            rows: of each node that has some: their number, what they weigh, how many weigh something.
            sampled: whether some node has sample weights.
            classes: (classes,) what rows of each weigh.
        """

    @abstractmethod
    def grown(self, own: Any, X: np.ndarray, y: Any, w: Any, grow: Grow, first: int, schema: Schema) -> Trees:
        """At a node: the trees that the estimator `own` grows, from the index `first` on."""

    def after(self, model: Growth) -> Growth:
        """The fit with all trees."""
        return replace(model, done=True)

    @abstractmethod
    def example(self, schema: Schema) -> Any:
        """The estimator, fitted by scikit-learn to few rows: all of its attributes but the trees.

        Raises:
            DataError: scikit-learn refuses a parameter.
        """


def rows_of(shard: Shard, weights: Weights) -> tuple[np.ndarray, Any, np.ndarray | None]:
    """All rows of a node as float32, their targets and weights."""
    blocks = [
        replace(block, X=as_single(block.X), w=weights.of(block)) for block in shard.blocks() if len(block)
    ]
    whole = concatenate(blocks)
    y = whole.y if whole.y is None or (whole.y.ndim == 2 and whole.y.shape[1] > 1) else whole.y.reshape(-1)
    return whole.X, y, whole.w


def fitted_example(estimator: Any, schema: Schema, y: Any) -> Any:
    """An estimator fitted to rows of zeros, with the names of the columns.

    Raises:
        DataError: scikit-learn refuses a parameter.
    """
    X: Any = np.zeros((2 if y is None else len(y), schema.features))
    try:
        made = estimator.fit(X, y)
    except (TypeError, ValueError) as error:
        raise DataError(f"{type(estimator).__name__} refuses the columns: {error}") from error
    if schema.names is not None:
        made.feature_names_in_ = np.array(schema.names, dtype=object)
    return made


def accept(estimator: Any) -> None:
    """Refuse parameters.

    Raises:
        NotDistributable: of the first that cannot be distributed.
    """
    if estimator.warm_start:
        refuse(estimator, "warm_start", "every fit starts from the first tree", "Leave warm_start=False.")
    if getattr(estimator, "oob_score", False):
        reason = "the rows that a tree has not seen are at its node alone"
        refuse(estimator, "oob_score", reason, "Leave it out, and score held-out rows with tk.compare(...).")
    if isinstance(estimator.random_state, np.random.RandomState):
        reason = "it changes with every use, and the same call is to give the same trees"
        refuse(estimator, "random_state", reason, "Take a whole number.")
