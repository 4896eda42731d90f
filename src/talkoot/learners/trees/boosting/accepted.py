"""What boosting takes: parameters, columns and rows that it would learn another answer from are refused."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Schema
from talkoot.learners.common.estimator import refuse
from talkoot.learners.trees.boosting import sklearn_private as private
from talkoot.learners.trees.boosting.quantiles.search import has_quantiles
from talkoot.learners.trees.boosting.stopping import MANY


def accept(estimator: Any) -> None:
    """Refuse parameters.

    Raises:
        NotDistributable: of the first that cannot be distributed.
    """
    if estimator.loss == "quantile" and not 0 < (estimator.quantile or 0) < 1:
        cure = "Take one above 0 and below 1, such as quantile=0.5."
        refuse(estimator, "quantile", "loss='quantile' needs a level", cure)
    if estimator.max_features < 1:
        refuse(estimator, "max_features", "its draws follow the order of single leaves", "Leave it at 1.0.")


def require_order(columns: tuple[int, ...], schema: Schema, estimator: Any) -> None:
    """Refuse groups of columns where scikit-learn would read them in another order.

    Raises:
        DataError: columns of categories are behind others, and groups are listed.
    """
    if columns != tuple(range(len(columns))) and not isinstance(estimator.interaction_cst, str | None):
        raise DataError(
            "interaction_cst= lists columns by place, and scikit-learn counts columns of categories first",
            column=schema.column(columns[-1]),
            cure="Put the columns of categories before all others.",
        )


def warn_of_constraints(estimator: Any, schema: Schema) -> None:
    """Warn where scikit-learn's predictions need not obey constraints that it was given."""
    monotonic, _ = private.constraints(estimator, schema.features, schema.names)
    if has_quantiles(estimator) and monotonic.any():
        warnings.warn(
            f"{type(estimator).__name__}: with loss={estimator.loss!r} scikit-learn holds splits to "
            "monotonic_cst=, but not the quantiles that leaves predict, so predictions may break it somewhat",
            UserWarning,
            stacklevel=2,
        )


def require_sums_of_all(columns: tuple[int, ...], schema: Schema, estimator: Any, *, stops: bool) -> None:
    """Refuse what needs more of nodes than sums, where no more may be read.

    Raises:
        NotDistributable: of a loss whose leaves are values of rows.
        DataError: there are columns of categories, or rows would be held out.
    """
    name = type(estimator).__name__
    if has_quantiles(estimator):
        reason = "it predicts residuals of single rows, and behind tk.fixed() only sums leave nodes"
        refuse(estimator, "loss", reason, "Take loss='squared_error', or leave tk.fixed() out.")
    if columns:
        raise DataError(
            f"{name} would gather its categories from each node, and behind tk.fixed() only sums leave nodes",
            column=schema.column(columns[0]),
            cure="Put OneHotEncoder(categories=[...]) in front of it, or take categorical_features=None.",
        )
    if stops and estimator.validation_fraction is not None:
        raise DataError(
            "early stopping holds rows out, for which it counts the rows of each node, and behind tk.fixed() "
            f"only sums leave nodes; without a word it begins above {MANY} rows, and there are {schema.rows}",
            cure="Take early_stopping=False and choose max_iter=, or validation_fraction=None.",
        )


def require_target(block: Block, schema: Schema, estimator: Any) -> None:
    """Refuse targets for which the loss is not defined.

    Raises:
        DataError: some row has one.
    """
    least = {"gamma": np.nextafter(0, 1), "poisson": 0.0}.get(estimator.loss)
    if least is not None and block.y is not None and (block.y < least).any():
        needs = "above 0" if least else "of at least 0"
        raise DataError(
            f"loss={estimator.loss!r} needs a target {needs}, and at least {int((block.y < least).sum())} "
            "values are not",
            column=schema.target,
            cure="Correct them, or take loss='squared_error'.",
        )


def require_positive(mean: float, schema: Schema, estimator: Any) -> None:
    """Refuse counts that are all 0.

    Raises:
        DataError: there is nothing to predict.
    """
    if estimator.loss == "poisson" and mean <= 0:
        cause = (
            "loss='poisson' needs a target that is somewhere above 0, and it is 0 in all rows of all nodes"
        )
        raise DataError(cause, column=schema.target, cure="Look at the target.")


def require_edges(thresholds: Sequence[np.ndarray], schema: Schema, estimator: Any) -> None:
    """Refuse rows that one machine may divide, and that are too few for edges from counts.

    Raises:
        DataError: no column has an edge.
    """
    if schema.rows >= 2 * estimator.min_samples_leaf and not any(map(len, thresholds)):
        raise DataError(
            f"no column can be divided: behind tk.fixed() a column needs 40 values, and there are "
            f"{schema.rows} rows",
            cure="Bring in more rows, or leave tk.fixed() out.",
        )
