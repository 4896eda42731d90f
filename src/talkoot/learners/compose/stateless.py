"""Transformers that learn at most the number of columns; functions of rows are tested first."""

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
from talkoot.core.learner import Kind, SolvingLearner
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.compose.rowwise import informative_block, require_rowwise
from talkoot.learners.compose.shapes import matrix, typical
from talkoot.learners.compose.transform import reads_text, row_transform

BY_WIDTH = (PolynomialFeatures, RBFSampler)  # their fit depends on the number of columns only


@final
@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A transformer that is fitted from the start."""

    result: Any  # the transformer
    done: bool  # it needs no test on rows, or has passed it


@final
@dataclass(frozen=True, slots=True)
class Stateless(SolvingLearner):
    """Normalizer, Binarizer, FunctionTransformer, PolynomialFeatures and others that learn nothing from rows.

    Rows are transformed in blocks, so a function of FunctionTransformer must treat each row independently.
    One round tests it on some rows of each node, and refuses it if a result depends on other rows, chance or
    earlier calls. It gets what it would get on one machine: a pandas frame if columns have names and pandas
    is installed. Without a `random_state`, RBFSampler is seeded by the run.

    >>> import talkoot as tk
    >>> tk.fit(PolynomialFeatures(2), np.ones((4, 2))).model.n_output_features_
    6
    """

    estimator: Any  # the unfitted transformer; "passthrough" or None in a composition
    kind: ClassVar[Kind] = "exact"
    question_types: ClassVar[tuple[type, ...]] = (Ready,)
    large_integers: ClassVar[bool] = True

    @property
    def tries(self) -> bool:
        """Whether it may depend on other rows, which nodes have to test."""
        if self.estimator is None or isinstance(self.estimator, str):
            return False
        if isinstance(self.estimator, FunctionTransformer):
            return self.estimator.func is not None
        return not type(self.estimator).__module__.startswith("sklearn.")

    def init(self, schema: Schema, rng: np.random.Generator) -> Ready:
        """The transformer; still to be tested if it may depend on other rows."""
        return Ready(_fitted(self.estimator, schema, rng), done=not self.tries)

    def question(self, model: Ready) -> Any:
        """The transformer."""
        return model.result

    def work(self, transformer: Any, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """Test the function on some of the node's rows.

        Raises:
            DataError: a row's result depends on more than that row.
        """
        block = informative_block(shard.blocks())
        if block is None:
            return Update(), None
        with np.errstate(all="ignore"):  # the real pass warns
            require_rowwise(row_transform(transformer), block, ctx.schema, _name(self.estimator))
        return Update(values={"tried": np.ones(1)}, weight=float(len(block))), None

    def step(self, model: Ready, update: Update) -> Ready:
        """Done, as every node with rows has tested it."""
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


def _name(estimator: Any) -> str:
    """Its name in errors, with that of its function if there is one."""
    function = getattr(estimator, "func", None)
    name = getattr(function, "__name__", None)
    return f"{type(estimator).__name__}({name})" if name else type(estimator).__name__


def _fitted(estimator: Any, schema: Schema, rng: np.random.Generator) -> Any:
    """A clone fitted to one typical row, so that it checks the columns."""
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
        with np.errstate(all="ignore"):  # the row is artificial
            made.set_params(**checks).fit(row)
    except (TypeError, ValueError) as error:
        raise DataError(f"{type(estimator).__name__} refuses the columns: {error}") from error
    if schema.names is not None and hasattr(made, "n_features_in_"):
        made.feature_names_in_ = np.array(schema.names, dtype=object)
    return made.set_params(**{name: getattr(estimator, name) for name in checks})
