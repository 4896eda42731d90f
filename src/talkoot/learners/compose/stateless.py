"""Transformers that learn nothing from rows but how wide they are, and functions that are tried first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
from sklearn.base import clone
from sklearn.kernel_approximation import RBFSampler
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures
from sklearn.utils import get_tags

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.learner import Kind, Learner
from talkoot.core.outer import Outer, Solve
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.compose.rowwise import require_rowwise, telling
from talkoot.learners.compose.shapes import matrix, typical
from talkoot.learners.compose.transform import flow, reads_text

BY_WIDTH = (PolynomialFeatures, RBFSampler)  # their fit reads the number of columns and nothing else


@final
@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """An answer that was there from the start.

    Args:
        schema: what the nodes agreed on.
        result: the transformer.
        done: whether the nodes need not try it.
    """

    schema: Schema
    result: Any
    done: bool


@final
@dataclass(frozen=True, slots=True)
class Stateless(Learner):
    """Normalizer, Binarizer, FunctionTransformer, PolynomialFeatures and their like: they learn nothing.

    Rows go through them in blocks, so a function of FunctionTransformer has to work row by row. One round
    tries it on some rows of each node, and refuses it if a row's result depends on other rows, on chance or
    on earlier calls. It is handed what it would be on one machine: a pandas frame where columns have names
    (and pandas is installed). Random numbers of RBFSampler without a `random_state` follow from the run's
    seed.

    Args:
        estimator: the unfitted transformer; "passthrough" or None in a composition.

    >>> import talkoot as tk
    >>> tk.fit(PolynomialFeatures(2), np.ones((4, 2))).model.n_output_features_
    6
    """

    estimator: Any
    kind: ClassVar[Kind] = "exact"
    large_integers: ClassVar[bool] = True

    @property
    def tries(self) -> bool:
        """Whether it may look at other rows, which the nodes have to try."""
        if self.estimator is None or isinstance(self.estimator, str):
            return False
        if isinstance(self.estimator, FunctionTransformer):
            return self.estimator.func is not None
        return not type(self.estimator).__module__.startswith("sklearn.")

    def init(self, schema: Schema, rng: np.random.Generator) -> Ready:
        """The transformer; to be tried, if it is a function that may look at other rows."""
        return Ready(schema, _fitted(self.estimator, schema, rng), done=not self.tries)

    def work(self, model: Ready, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """Try the function on some of the node's rows.

        Raises:
            DataError: a row's result depends on more than the row.
        """
        block = telling(shard.blocks())
        if block is None:
            return Update(), None
        with np.errstate(all="ignore"):  # there will be warnings of the real pass
            require_rowwise(flow(model.result), block, model.schema, _called(self.estimator))
        return Update(values={"tried": np.ones(1)}, weight=float(len(block))), None

    def outer(self) -> Outer:
        """Nothing to solve."""
        return Solve(self.step)

    def step(self, model: Ready, update: Update) -> Ready:
        """The same: every node that has rows has tried it."""
        del update
        return replace(model, done=True)

    def finish(self, model: Ready) -> Any:
        """The transformer."""
        return model.result


def is_stateless(estimator: Any) -> bool:
    """Whether `estimator` learns nothing from rows, by its own tags.

    >>> from sklearn.preprocessing import Normalizer, StandardScaler
    >>> is_stateless(Normalizer()), is_stateless("passthrough"), is_stateless(StandardScaler())
    (True, True, False)
    """
    if estimator is None or isinstance(estimator, str):
        return estimator in (None, "passthrough")
    return type(estimator) in BY_WIDTH or not get_tags(estimator).requires_fit


def _called(estimator: Any) -> str:
    """What errors call it: the name of the function, if there is one."""
    function = getattr(estimator, "func", None)
    name = getattr(function, "__name__", None)
    return f"{type(estimator).__name__}({name})" if name else type(estimator).__name__


def _fitted(estimator: Any, schema: Schema, rng: np.random.Generator) -> Any:
    """A clone that has seen one typical row, for its checks of the columns."""
    if estimator is None or isinstance(estimator, str):
        return estimator
    if reads_text(estimator) and schema.kinds != ("text",):
        raise DataError(f"{type(estimator).__name__} reads one column of text")
    made = clone(estimator)
    checks: dict[str, Any] = {"check_inverse": False} if getattr(made, "check_inverse", False) else {}
    if getattr(made, "random_state", 0) is None:
        checks["random_state"] = int(rng.integers(2**31))
    row = matrix(typical(schema))
    try:
        with np.errstate(all="ignore"):  # the row is made up
            made.set_params(**checks).fit(row)
    except (TypeError, ValueError) as error:
        raise DataError(f"{type(estimator).__name__} refuses the columns: {error}") from error
    if schema.names is not None and hasattr(made, "n_features_in_"):
        made.feature_names_in_ = np.array(schema.names, dtype=object)
    return made.set_params(**{name: getattr(estimator, name) for name in checks})
