"""What a tree takes: parameters, columns and targets that it would learn another answer from are refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Schema
from talkoot.learners.common.estimator import refuse
from talkoot.learners.common.rows import no_target

NARROW = 1e-11  # of the squares of targets, those about their center, below which the difference is rounding
EQUAL = 1e-28  # the same, below which targets are equal but for rounding
FEW = "Take RandomForestClassifier() or RandomForestRegressor(), whose trees grow at nodes."


def accept(estimator: Any) -> None:
    """Refuse parameters.

    Raises:
        NotDistributable: of the first that cannot be distributed.
    """
    if estimator.splitter != "best":
        refuse(estimator, "splitter", "its thresholds are drawn by chance, in the order of single rows", FEW)
    every = estimator.max_features is None or (
        isinstance(estimator.max_features, float) and estimator.max_features == 1
    )
    if not every:
        reason = "columns are drawn by chance, node by node of the tree"
        refuse(estimator, "max_features", reason, f"Leave max_features=None. {FEW}")
    if estimator.criterion not in ("gini", "entropy", "log_loss", "squared_error", "poisson"):
        reason = "its leaves are medians of rows, which are no sums"
        refuse(estimator, "criterion", reason, "Take criterion='squared_error'.")


def require_one_target(schema: Schema, estimator: Any) -> None:
    """Refuse a target that is missing, or of several columns.

    Raises:
        DataError: it is.
    """
    if schema.classes is None and schema.target_center is None:
        raise no_target(estimator)
    if schema.outputs > 1:
        cause = f"{type(estimator).__name__} learns one target over nodes, and there are {schema.outputs}"
        raise DataError(cause, column=schema.target, cure="Fit one estimator for each.")


def require_target(block: Block, schema: Schema, estimator: Any) -> None:
    """Refuse targets for which the criterion is not defined, or whose squares cannot be added up.

    Raises:
        DataError: some row has one.
    """
    y = np.asarray(block.y)
    if estimator.criterion == "poisson" and (y < 0).any():
        raise DataError(
            f"criterion='poisson' needs a target of at least 0, and at least {int((y < 0).sum())} values "
            "are not",
            column=schema.target,
            cure="Correct them, or take criterion='squared_error'.",
        )
    if not (np.abs(y) < 2.0**62).all():
        raise DataError(
            f"it holds numbers beyond {2.0**62:.1e}, whose squares cannot be added up",
            column=schema.target,
            cure="Correct them, or scale the target.",
        )


def require_spread(spread: float, squares: float, schema: Schema) -> None:
    """Refuse targets that differ by so little, beside their size, that their squares do not tell it.

    Args:
        spread: the sum of squares about the center.
        squares: the sum of squares about 0.
        schema: of the rows.

    Raises:
        DataError: they do.
    """
    if EQUAL * squares < spread < NARROW * squares:
        assert schema.target_center is not None
        center = float(schema.target_center[0])
        raise DataError(
            f"its values are near {center:.6g} and differ so little that squares of 64 bits do not tell it",
            column=schema.target,
            cure=f"Subtract {center:.6g} from the target.",
        )
