"""What learners share that treat columns independently: the loop of rounds, and checks of columns."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import clone

from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Schema
from talkoot.core.update import Update
from talkoot.learners.common.estimator import require_finite
from talkoot.learners.common.rows import require_weights
from talkoot.learners.common.state import State, SumLearner


@dataclass(frozen=True, slots=True)
class Columnwise(SumLearner):
    """A learner that treats columns independently."""

    estimator: Any  # the unfitted estimator

    def init(self, schema: Schema, rng: np.random.Generator) -> State:
        """Refuse columns and parameters that cannot be used.

        Raises:
            DataError: some column holds text, or scikit-learn refuses a parameter or the kind of the rows.
        """
        require_numbers(schema, self.estimator)
        dry_fit(self.estimator, schema)
        return State(schema=schema)

    @abstractmethod
    def answer(self, model: State, update: Update) -> State:
        """The next state, from the merged update of the nodes with rows."""

    def step(self, model: State, update: Update) -> State:
        """`answer`, if any node has rows.

        Raises:
            DataError: no node has rows.
        """
        if not update.values:
            raise DataError(f"no node has rows, so {type(self.estimator).__name__} has nothing to learn from")
        return self.answer(model, update)


ENCODE = "Encode it first, with OneHotEncoder() or OrdinalEncoder() in a ColumnTransformer."


def require_numbers(schema: Schema, estimator: Any, cure: str = ENCODE) -> None:
    """Refuse columns of text, naming the first.

    Raises:
        DataError: some column holds text.
    """
    if "text" in schema.kinds:
        column, needs = schema.column(schema.kinds.index("text")), f"{type(estimator).__name__} needs numbers"
        if column in schema.strays:
            text, place = schema.strays[column]
            raise DataError(
                f"it holds {text!r} in {place} among numbers, and {needs}",
                column=column,
                cure=f"If {text!r} stands for a missing value, say missing=[{text!r}]; else correct it.",
            )
        raise DataError(f"it holds text, and {needs}", column=column, cure=cure)


ORDER = "Put OneHotEncoder() in front of it in a ColumnTransformer, or make it numbers whose order counts."


def require_no_categories(schema: Schema, estimator: Any) -> None:
    """Refuse columns whose dtype is category, naming the first.

    Raises:
        DataError: there is one.
    """
    for j, dtype in enumerate(schema.dtypes):
        if dtype.startswith("category"):
            raise DataError(
                f"its dtype is category, and categories are not there yet for {type(estimator).__name__}",
                column=schema.column(j),
                cure=ORDER,
            )


def check_block(block: Block, schema: Schema, estimator: Any) -> None:
    """Refuse weights that the estimator does not take, and infinite numbers; NaN is missing.

    Raises:
        DataError: some cannot be used.
    """
    require_weights(block.w, estimator)
    if not schema.mixed:
        require_finite(block.X, schema, estimator, missing=True)


def warn_empty(empty: Iterable[bool], schema: Schema, estimator: Any, result: str) -> None:
    """Warn of columns without any value at any node, and of the result for them."""
    names = [repr(schema.column(j)) for j, nothing in enumerate(empty) if nothing]
    if names:
        column = "column" if len(names) == 1 else "columns"
        warnings.warn(
            f"{column} {', '.join(names)}: every value is missing at every node; "
            f"{type(estimator).__name__} {result}",
            UserWarning,
            stacklevel=2,
        )


def dry_fit(estimator: Any, schema: Schema, **instead: Any) -> None:
    """Fit one row of ones, so that scikit-learn refuses parameters before any row is read.

    Raises:
        DataError: scikit-learn refuses a parameter.
    """
    shape = (1, schema.features)
    table = np.full(shape, "1", dtype=object) if "text" in schema.kinds else np.ones(shape, schema.dtype)
    fit_table(estimator, csr_array(table) if schema.sparse else table, schema, **instead)


def fit_table(estimator: Any, table: Any, schema: Schema, **instead: Any) -> Any:
    """A clone fitted by scikit-learn to a small table that gives the same result as the pooled rows.

    Parameters in `instead` replace the estimator's own during the fit.

    Raises:
        DataError: scikit-learn refuses, for the reason that it gives.
    """
    made = clone(estimator).set_params(**instead)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the small table; the caller warns of the rows
            made.fit(table)
    except (TypeError, ValueError) as error:
        raise DataError(f"{type(estimator).__name__} refuses the columns: {error}") from error
    if schema.names is not None:
        made.feature_names_in_ = np.array(schema.names, dtype=object)
    return made.set_params(**{name: getattr(estimator, name) for name in instead})
