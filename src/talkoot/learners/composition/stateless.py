"""Transformers that learn nothing from rows but how wide they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from sklearn.base import clone
from sklearn.kernel_approximation import RBFSampler
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils import get_tags

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.learner import Kind, Learner
from talkoot.core.outer import Outer, Solve
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.composition.flow import reads_text
from talkoot.learners.composition.shapes import matrix, typical

BY_WIDTH = (PolynomialFeatures, RBFSampler)  # their fit reads the number of columns and nothing else


@final
@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """An answer that was there from the start."""

    schema: Schema
    result: Any
    done: bool = True


@final
@dataclass(frozen=True, slots=True)
class Stateless(Learner):
    """Normalizer, Binarizer, FunctionTransformer, PolynomialFeatures and their like: fitted without a round.

    Rows go through them in blocks, so a function of FunctionTransformer has to work row by row. It is handed
    what it would be on one machine: a pandas frame where columns have names (and pandas is installed).

    Args:
        estimator: the unfitted transformer; "passthrough" or None in a composition.

    >>> import talkoot as tk
    >>> tk.fit(PolynomialFeatures(2), np.ones((4, 2))).model.n_output_features_
    6
    """

    estimator: Any
    kind: ClassVar[Kind] = "exact"
    whole: ClassVar[bool] = True

    def init(self, schema: Schema, rng: np.random.Generator) -> Ready:
        """The fitted transformer."""
        del rng
        return Ready(schema, _fitted(self.estimator, schema))

    def work(self, model: Ready, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """Nothing to say."""
        del model, shard, ctx
        return Update(), local

    def outer(self) -> Outer:
        """Nothing to solve."""
        return Solve(self.step)

    def step(self, model: Ready, update: Update) -> Ready:
        """The same."""
        del update
        return model

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


def _fitted(estimator: Any, schema: Schema) -> Any:
    """A clone that has seen one typical row, for its checks of the columns."""
    if estimator is None or isinstance(estimator, str):
        return estimator
    if reads_text(estimator) and schema.kinds != ("text",):
        raise DataError(f"{type(estimator).__name__} reads one column of text")
    made = clone(estimator)
    checks = {"check_inverse": False} if getattr(made, "check_inverse", False) else {}
    row = matrix(typical(schema))
    try:
        with np.errstate(all="ignore"):  # the row is made up
            made.set_params(**checks).fit(row)
    except (TypeError, ValueError) as error:
        raise DataError(f"{type(estimator).__name__} refuses the columns: {error}") from error
    if schema.names is not None and hasattr(made, "n_features_in_"):
        made.feature_names_in_ = np.array(schema.names, dtype=object)
    return made.set_params(**{name: getattr(estimator, name) for name in checks})
