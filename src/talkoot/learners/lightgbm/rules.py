"""What LightGBM learns in several processes just as in one; all else is refused there before training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, final

from talkoot.core.errors import PlanError
from talkoot.learners.common.queries import ranks
from talkoot.learners.lightgbm.accepted import patience
from talkoot.learners.lightgbm.start import CLASSES, LOGARITHMS, MEANS

OBJECTIVES = (*MEANS, *LOGARITHMS, *CLASSES)
ONE = "Take tk.Inline(), or tk.Ray(1, cpus=...) for one actor with many cores"
LIMITS = {  # LightGBM's own name of a parameter: its value, why no other, what to leave out
    "boosting": ("gbdt", "drops or averages trees that begin with the mean of one process", "boosting_type="),
    "boost_from_average": ("1", "may start with the mean of one process", "boost_from_average="),
    **{
        name: ("0", "looks again at columns that one process would leave alone", f"{given}=")
        for name, given in (
            ("lambda_l1", "reg_alpha"),
            ("lambda_l2", "reg_lambda"),
            ("min_gain_to_split", "min_split_gain"),
            ("path_smooth", "path_smooth"),
        )
    },
    "monotone_constraints": (
        "",
        "looks again at columns that one process would leave alone",
        "monotone_constraints=",
    ),
    "feature_fraction_bynode": ("1", "draws columns in the order of one process", "colsample_bynode="),
    "interaction_constraints": ("", "needs the branches of one process", "interaction_constraints="),
    "max_delta_step": ("0", "decides between equal splits by rounding", "max_delta_step="),
    "data_sample_strategy": ("bagging", "draws rows of one process", "data_sample_strategy="),
    "extra_trees": ("0", "draws thresholds in the order of one process", "extra_trees="),
    "linear_tree": ("0", "fits lines to the rows of one process", "linear_tree="),
}
EQUAL = ("regression", "huber")  # whose Hessians are all 1, so that LightGBM knows how many rows bins have
FRACTIONS = ("bagging_fraction", "pos_bagging_fraction", "neg_bagging_fraction")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Settings:
    """What LightGBM makes of an estimator's parameters.

    Args:
        params: as its own fit passes them on.
        objective: its name.
        roots: whether it learns square roots of targets.
        sigmoid: the scale of probabilities.
        features: how many columns there are.
        leaves: of a tree, at most.
        depth: of a tree; without end if it is not above 0.
        least: rows of a leaf.
        pool: histogram_pool_size, as LightGBM writes it.
    """

    params: Mapping[str, Any]
    objective: str
    roots: bool
    sigmoid: float
    features: int
    leaves: int
    depth: int
    least: int
    pool: str


def settings_of(estimator: Any, small: Any) -> Settings:
    """The settings of an estimator, read from one that was fitted to a few rows."""
    found, given = saved(small), estimator.get_params(deep=False)
    params = {name: value for name, value in small.booster_.params.items() if name != "verbose"}
    if "verbose" in given:
        params["verbose"] = given["verbose"]
    params["num_iterations"] = estimator.n_estimators
    return Settings(
        params=params,
        objective=found["objective"],
        roots=found["reg_sqrt"] == "1",
        sigmoid=float(given.get("sigmoid") or 1.0),
        features=small.n_features_,
        leaves=int(found["num_leaves"]),
        depth=int(found["max_depth"]),
        least=int(found["min_data_in_leaf"]),
        pool=found["histogram_pool_size"],
    )


def saved(small: Any) -> dict[str, str]:
    """The parameters in a model's text, by LightGBM's own names."""
    _, _, text = small.booster_.model_to_string().partition("\nparameters:\n")
    lines = (line.strip("[]").partition(": ") for line in text.split("\n") if line.startswith("["))
    return {name: value for name, _, value in lines}


def require_several(estimator: Any, processes: int, small: Any, *, weighted: bool) -> None:
    """Refuse in several processes what would follow from the rows of each alone.

    Raises:
        PlanError: of the first such parameter.
    """

    def refuse(what: str, cure: str) -> NoReturn:
        raise PlanError(
            f"{type(estimator).__name__} {what}, and the nodes are in {processes} processes",
            cure=f"{ONE}, or {cure}.",
        )

    if ranks(estimator):
        refuse("ranks the queries of one process", "xgboost.XGBRanker()")
    if patience(estimator):
        refuse("stops early by the rows of one process", "leave early_stopping_round= out")
    found = saved(small)
    if found["objective"] not in OBJECTIVES:
        what = f"with objective={found['objective']!r} sets its leaves or start by the rows of one process"
        refuse(what, f"one of {', '.join(OBJECTIVES)}")
    for name, (value, reason, given) in LIMITS.items():
        if found[name] != value:
            refuse(f"with {name}={found[name]!r} {reason}", f"leave {given} out")
    if found["bagging_freq"] != "0" and any(float(found[name]) < 1 for name in FRACTIONS):
        refuse("with subsample= draws rows of one process", "leave subsample= and subsample_freq= out")
    if found["min_data_in_leaf"] != "0" and (weighted or found["objective"] not in EQUAL):
        what = "weights" if weighted else f"objective={found['objective']!r}"
        refuse(
            f"with {what} guesses how many rows a bin has for min_child_samples=, from those of one process",
            "min_child_samples=0 with min_child_weight= above 0 for the size of leaves",
        )
