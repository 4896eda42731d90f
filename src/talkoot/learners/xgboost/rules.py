"""XGBoost's rules of growth for trees that are grown of merged histograms."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, final

import numpy as np
from sklearn.base import is_classifier
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from talkoot.core.errors import DataError
from talkoot.core.shard import Schema
from talkoot.learners.trees.boosting.growing import Grower, Part
from talkoot.learners.trees.boosting.sklearn_private import filled_bins
from talkoot.learners.xgboost.ranking import MEASURES

LEAST_GAIN = 1e-6  # of a split, XGBoost's own
BYTE = 255  # bins of a column, besides the one for missing values
LOSSES = {
    "binary:logistic": "log_loss",
    "multi:softprob": "log_loss",
    "multi:softmax": "log_loss",
    "reg:squarederror": "squared_error",
    "count:poisson": "poisson",
    "reg:gamma": "gamma",
    **dict.fromkeys(MEASURES, "squared_error"),  # whose gradients `RankingLoss` replaces
}
POISSON_STEP = 0.7  # XGBoost's greatest step of count:poisson, which its Hessians contain too


def parameter(estimator: Any, name: str, default: float) -> float:
    """A parameter, XGBoost's `default` where it is None, in single precision as XGBoost has it."""
    found = getattr(estimator, name)
    return float(np.float32(default if found is None else found))


def objective_of(estimator: Any, schema: Schema) -> str:
    """The objective, as the estimator's own fit makes it of the classes."""
    if schema.classes is not None and len(schema.classes) > 2:
        return "multi:softmax" if estimator.objective == "multi:softmax" else "multi:softprob"
    return str(estimator.objective or "reg:squarederror")


def scikit_learn(estimator: Any) -> Any:
    """The boosting of scikit-learn that has the same bins, trees and loss."""
    depth = 6 if estimator.max_depth is None else int(estimator.max_depth)
    common = {
        "learning_rate": parameter(estimator, "learning_rate", 0.3),
        "max_iter": estimator.get_num_boosting_rounds(),
        "max_depth": depth or None,
        "max_leaf_nodes": estimator.max_leaves or None,
        "min_samples_leaf": 1,
        "max_bins": min(estimator.max_bin or BYTE, BYTE),
        "categorical_features": None,
        "early_stopping": False,
    }
    if not is_classifier(estimator):
        loss = LOSSES[estimator.objective or "reg:squarederror"]
        return HistGradientBoostingRegressor(loss=loss, **common)
    scale = parameter(estimator, "scale_pos_weight", 1.0)
    weights = None if scale == 1 else {0: 1.0, 1: scale}
    return HistGradientBoostingClassifier(class_weight=weights, **common)


@final
class Rule(NamedTuple):
    """What `kernels.trees.newton` weighs leaves by."""

    penalty: float
    shrinkage: float
    step: float
    least: float


@final
class Best(NamedTuple):
    """The best split of a leaf, in the names of scikit-learn's."""

    gain: float
    feature_idx: int
    bin_idx: int
    missing_go_to_left: bool
    sum_gradient_left: float
    sum_hessian_left: float
    n_samples_left: int
    value_left: float
    sum_gradient_right: float
    sum_hessian_right: float
    n_samples_right: int
    value_right: float
    is_categorical: bool = False
    left_cat_bitset: None = None


@final
@dataclass(frozen=True, slots=True, eq=False)
class Newton:
    """What finds the best split of a histogram.

    Args:
        grower: whose rules they are.
        filled: (features,) how many bins hold values that are not missing.
    """

    grower: NewtonGrower
    filled: np.ndarray

    def find_node_split(
        self,
        *,
        n_samples: int,
        histograms: np.ndarray,
        sum_gradients: float,
        sum_hessians: float,
        value: float,
        lower_bound: float,
        upper_bound: float,
        allowed_features: np.ndarray | None,
    ) -> Best:
        """The best split of a leaf; its gain is not above 0 where there is none."""
        from talkoot.kernels.trees.newton import best_split

        del value
        grower, counts = self.grower, histograms["count"].astype(np.float64)
        hessians = counts if grower.constant else histograms["sum_hessians"] * grower.scale
        columns = np.arange(len(self.filled)) if allowed_features is None else np.sort(allowed_features)
        gain, feature, last, missing_left, left, right = best_split(
            np.stack([histograms["sum_gradients"], hessians, counts]),
            self.filled.astype(np.int64),
            columns.astype(np.int64),
            np.array([sum_gradients, sum_hessians, n_samples], dtype=np.float64),
            grower.rule,
            grower.monotonic.astype(np.int64),
            lower_bound,
            upper_bound,
        )
        if gain == np.inf:
            cause = "the gains of splits are beyond single precision, which XGBoost has them in"
            raise DataError(cause, cure="Scale the target, or look for extreme values in it.")
        divides = gain > LEAST_GAIN and gain >= grower.least_gain
        sides = list[Any]()
        for gradient, hessian, rows in (left.tolist(), right.tolist()):
            value = grower.value(gradient, hessian, lower_bound, upper_bound)
            sides += [gradient, hessian, int(rows), value]
        return Best(float(gain) if divides else 0.0, feature, last, missing_left, *sides)


@final
@dataclass(frozen=True, slots=True, eq=False)
class NewtonGrower(Grower):
    """XGBoost's rules.

    Args:
        rule: of leaves.
        least_gain: of a split; gamma.
        scale: XGBoost's Hessians are so many times scikit-learn's.
    """

    rule: Rule = field(kw_only=True)
    least_gain: float = field(kw_only=True)
    scale: float = field(kw_only=True)

    @property
    def splitter(self) -> Newton:
        """What finds the best split of a histogram."""
        return Newton(self, filled_bins(self.bins.thresholds, 0))

    def value(self, gradient: float, hessian: float, low: float = -np.inf, high: float = np.inf) -> float:
        """What a leaf adds to the prediction, before the learning rate."""
        from talkoot.kernels.trees.newton import newton_weight

        return float(newton_weight(gradient, hessian, self.rule, low, high))

    def root(self, part: Part) -> Part:
        """The root with its value, which counts where it stays a leaf."""
        hessians = part.hessians * self.scale
        return replace(part, hessians=hessians, value=self.value(part.gradients, hessians))

    def is_leaf(self, part: Part) -> bool:
        """Whether a part is never divided, whatever its best split is."""
        return part.rows < 2 or part.depth == self.estimator.max_depth

    def missing_left(self, info: Any) -> bool:
        """Whether missing values go to the left of a split; to the right where the leaf has none."""
        return bool(info.missing_go_to_left)


def newton(grower: Grower, estimator: Any, schema: Schema) -> NewtonGrower:
    """A grower with XGBoost's rules instead of scikit-learn's."""
    objective = objective_of(estimator, schema)
    poisson = objective == "count:poisson"
    step = parameter(estimator, "max_delta_step", POISSON_STEP if poisson else 0.0)
    scale = float(np.exp(step)) if poisson else 2.0 if objective.startswith("multi:") else 1.0
    return NewtonGrower(
        grower.estimator,
        grower.bins,
        grower.constant and objective not in MEASURES,
        directions(estimator.monotone_constraints, schema),
        interactions(estimator.interaction_constraints, schema),
        rule=Rule(
            parameter(estimator, "reg_lambda", 1.0),
            parameter(estimator, "reg_alpha", 0.0),
            step,
            parameter(estimator, "min_child_weight", 1.0),
        ),
        least_gain=parameter(estimator, "gamma", 0.0),
        scale=scale,
    )


def directions(constraints: Any, schema: Schema) -> np.ndarray:
    """(features,) 1, -1, or 0 for a column without constraint."""
    found = np.zeros(schema.features, dtype=np.int8)
    if isinstance(constraints, str):
        constraints = [int(each) for each in constraints.strip("()[] ").split(",") if each.strip()]
    if isinstance(constraints, Mapping):
        for name, direction in constraints.items():
            found[_place(name, schema)] = direction
    elif constraints is not None:
        found[: len(constraints)] = constraints
    return found


def interactions(constraints: Any, schema: Schema) -> tuple[frozenset[int], ...] | None:
    """Groups of columns that may interact; a column in no group stands alone."""
    if isinstance(constraints, str):
        constraints = json.loads(constraints) if constraints else None
    if constraints is None:
        return None
    listed = [frozenset(_place(each, schema) for each in group) for group in constraints]
    others = set(range(schema.features)).difference(*listed)
    return (*listed, *(frozenset([j]) for j in sorted(others)))


def _place(column: int | str, schema: Schema) -> int:
    names: Sequence[str] = schema.names or ()
    if isinstance(column, str) and column in names:
        return names.index(column)
    if isinstance(column, str) or not 0 <= column < schema.features:
        raise DataError(f"a constraint names the column {column!r}, which is not there", cure="Correct it.")
    return int(column)
