"""What XGBoost over nodes takes: what it would learn another answer from is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from talkoot.core.errors import DataError, NotDistributable, PlanError
from talkoot.core.shard import Block, Schema
from talkoot.learners.common.columnwise import ORDER, require_no_categories
from talkoot.learners.common.estimator import refuse
from talkoot.learners.common.queries import ranks

PASSED = """max_depth max_leaves max_bin grow_policy learning_rate n_estimators verbosity objective n_jobs
    gamma min_child_weight max_delta_step reg_alpha reg_lambda scale_pos_weight base_score random_state
    num_parallel_tree monotone_constraints interaction_constraints importance_type validate_parameters
    eval_metric early_stopping_rounds validation_fraction sampling_method max_cat_to_onehot
    max_cat_threshold missing"""
RANKED = """lambdarank_pair_method lambdarank_num_pair_per_sample lambdarank_normalization
    lambdarank_score_normalization lambdarank_bias_norm ndcg_exp_gain"""  # of an estimator that ranks
DRAWS = "its draws follow the order of the rows of one process"


class Limit(NamedTuple):
    """The values of a parameter that are taken, why no others are, and what to do instead."""

    taken: tuple[Any, ...]
    reason: str
    cure: str


LIMITS = {
    "booster": Limit(("gbtree",), "only trees without dropout are there yet", 'Take booster="gbtree".'),
    "tree_method": Limit(("auto", "hist"), "nodes add up histograms", 'Take tree_method="hist".'),
    "device": Limit(("cpu",), "GPUs are not there yet", 'Take device="cpu".'),
    "multi_strategy": Limit(("one_output_per_tree",), "trees of vectors are not there yet", "Leave it out."),
    "subsample": Limit((1,), DRAWS, "Take subsample=1, and smaller trees against overfitting."),
    **{
        f"colsample_{by}": Limit((1,), DRAWS, "Take 1, and smaller trees against overfitting.")
        for by in ("bytree", "bylevel", "bynode")
    },
    "enable_categorical": Limit((False,), "categories are not there yet", ORDER),
    "feature_types": Limit((), "categories are not there yet", ORDER),
    "feature_weights": Limit((), "columns are not drawn", "Leave it out."),
    "lambdarank_unbiased": Limit(
        (False, 0), "the bias of positions is estimated from the rows of one process", "Leave it out."
    ),
    "callbacks": Limit((), "they would run in every process", "Leave it out."),
}


class Range(NamedTuple):
    """The targets for which an objective is defined."""

    least: float
    most: float
    words: str


INF = float("inf")
OBJECTIVES: Mapping[str, Range] = {
    **dict.fromkeys(
        ("reg:squarederror", "reg:pseudohubererror", "multi:softprob", "multi:softmax"),
        Range(-INF, INF, "that is a number"),
    ),
    **dict.fromkeys(
        ("reg:logistic", "binary:logistic", "binary:logitraw", "binary:hinge"), Range(0.0, 1.0, "from 0 to 1")
    ),
    "reg:squaredlogerror": Range(float(np.nextafter(-1, 0)), INF, "above -1"),
    "reg:gamma": Range(float(np.nextafter(0, 1)), INF, "above 0"),
    "count:poisson": Range(0.0, INF, "of at least 0"),
    "reg:tweedie": Range(0.0, INF, "of at least 0"),
}
RANKINGS: Mapping[str, Range] = {
    "rank:ndcg": Range(0.0, INF, "of at least 0"),
    "rank:map": Range(0.0, 1.0, "that is 0 or 1"),
    "rank:pairwise": Range(-INF, INF, "that is a number"),
}
MOST_RELEVANT = 31  # of XGBoost's relevances whose gain is 2^relevance - 1


def objectives_of(estimator: Any) -> Mapping[str, Range]:
    """The objectives that an estimator may have."""
    return RANKINGS if ranks(estimator) else OBJECTIVES


def accept(estimator: Any) -> None:
    """Refuse parameters.

    Raises:
        NotDistributable: of the first that cannot be distributed.
    """
    objective, known = estimator.objective, objectives_of(estimator)
    if objective is not None and (not isinstance(objective, str) or objective not in known):
        reason = "it is a function" if callable(objective) else "its leaves or ranks need rows of one process"
        refuse(estimator, "objective", reason, f"Take one of {', '.join(known)}.")
    missing = estimator.missing
    if not (isinstance(missing, float) and np.isnan(missing)):
        refuse(
            estimator,
            "missing",
            "only NaN is missing",
            "Leave it out, and name the value in tk.fit(missing=).",
        )
    passed = {*PASSED.split(), *(RANKED.split() if ranks(estimator) else ())}
    for name, value in estimator.get_params(deep=False).items():
        limit = LIMITS.get(name)
        if limit is not None and value is not None and value not in limit.taken:
            refuse(estimator, name, limit.reason, limit.cure)
        if limit is None and name not in passed and value is not None:
            cause = (
                f"{type(estimator).__name__}({name}={value!r}) cannot be distributed: nodes may not share it"
            )
            raise NotDistributable(cause, cure="Leave it out.")
    if estimator.get_num_boosting_rounds() < 1:
        refuse(estimator, "n_estimators", "there is nothing to learn", "Take at least 1.")
    _accept_stopping(estimator)


def _accept_stopping(estimator: Any) -> None:
    rounds, without = estimator.early_stopping_rounds, "Leave it out and choose n_estimators=."
    if rounds is None:
        if estimator.get_params(deep=False).get("validation_fraction") is not None:
            cure = "Take early_stopping_rounds=, or leave it out."
            refuse(estimator, "validation_fraction", "no rows are held out without early stopping", cure)
        return
    if rounds < 1:
        refuse(estimator, "early_stopping_rounds", "it would stop at once", "Take at least 1.")
    if ranks(estimator):
        refuse(estimator, "early_stopping_rounds", "queries are not held out yet", without)
    if callable(estimator.eval_metric):
        cure = "Take one of XGBoost's own, by its name."
        refuse(estimator, "eval_metric", "it is a function, and early stopping follows it", cure)


MERGED = {
    True: ("binary:logistic", "multi:softprob", "multi:softmax"),
    False: ("reg:squarederror", "count:poisson", "reg:gamma"),
}
BINS = 256


def accept_merged(estimator: Any) -> None:
    """Refuse parameters of trees that are grown of merged histograms.

    Raises:
        NotDistributable: of the first that no such tree has.
    """
    behind = "behind tk.fixed() trees are grown of the nodes' sums, not by XGBoost's own processes, and "
    objectives = tuple(RANKINGS) if ranks(estimator) else MERGED[is_classifier(estimator)]
    if estimator.get_params().get("lambdarank_pair_method") not in (None, "topk"):
        cure = 'Take lambdarank_pair_method="topk".'
        refuse(estimator, "lambdarank_pair_method", f"{behind}nodes draw no pairs", cure)
    if (estimator.objective or objectives[0]) not in objectives:
        refuse(estimator, "objective", behind + "not of this one", f"Take one of {', '.join(objectives)}.")
    if estimator.early_stopping_rounds is not None:
        reason = f"{behind}rows that are held out follow from how many each node has"
        refuse(estimator, "early_stopping_rounds", reason, "Leave it out and choose n_estimators=.")
    if (estimator.max_bin or BINS) > BINS:
        refuse(estimator, "max_bin", f"{behind}a bin is a byte", f"Take max_bin={BINS} or fewer.")
    if (estimator.num_parallel_tree or 1) != 1:
        refuse(
            estimator,
            "num_parallel_tree",
            f"{behind}an iteration has one tree of each class",
            "Leave it out.",
        )
    if estimator.max_leaves and estimator.grow_policy not in ("lossguide", 1):
        reason = f"{behind}leaves are counted by the greatest gain first"
        refuse(estimator, "max_leaves", reason, 'Take grow_policy="lossguide", or max_depth=.')
    if estimator.max_leaves == 1:
        refuse(estimator, "max_leaves", "there is nothing to learn", "Take at least 2.")


def require_plain(schema: Schema, estimator: Any) -> None:
    """Refuse columns of categories, and labels that XGBoost would refuse.

    Raises:
        DataError: for the first reason found.
    """
    require_no_categories(schema, estimator)
    name = type(estimator).__name__
    classes = schema.classes
    if classes is not None and [*classes.tolist()] != [*range(len(classes))]:
        raise DataError(
            f"{name} needs the classes 0 to {len(classes) - 1}, and they are {classes.tolist()!r:.200}",
            column=schema.target,
            cure="Number them from 0, as LabelEncoder() does.",
        )


def require_target(block: Block, schema: Schema, estimator: Any) -> None:
    """Refuse targets for which the objective is not defined.

    Raises:
        DataError: some row has one.
    """
    least, most, words = objectives_of(estimator)[estimator.objective or "reg:squarederror"]
    if block.y is None or schema.classes is not None:
        return
    odd, cure = (block.y < least) | (block.y > most), 'Correct them, or take objective="reg:squarederror".'
    if ranks(estimator):
        cure = 'Correct them, or take objective="rank:pairwise".'
        if estimator.objective == "rank:map" or has_gains(estimator):
            odd |= block.y != np.floor(block.y)
        if has_gains(estimator):
            odd |= block.y > MOST_RELEVANT
            words = f"that is a whole number from 0 to {MOST_RELEVANT}, unless ndcg_exp_gain=False"
    if odd.any():
        raise DataError(
            f"objective={estimator.objective!r} needs a target {words}, and at least {int(odd.sum())} values "
            "are not",
            column=schema.target,
            cure=cure,
        )


def has_gains(estimator: Any) -> bool:
    """Whether a relevance gains 2^relevance - 1."""
    off = str(estimator.get_params().get("ndcg_exp_gain")).lower() in ("false", "0")
    return estimator.objective == "rank:ndcg" and not off


def require_one_process(estimator: Any, processes: int, *, weighted: bool) -> None:
    """Refuse in many processes what follows from what one of them has alone.

    Raises:
        PlanError: early stopping; of a ranking weights of queries, whose mean it is, or pairs that are drawn.
    """
    if processes > 1 and estimator.early_stopping_rounds is not None:
        raise PlanError(
            f"{type(estimator).__name__} stops early in one process, and the nodes are in {processes}",
            cure="Take tk.Inline(), or leave early_stopping_rounds= out and choose n_estimators=.",
        )
    if not ranks(estimator):
        return
    drawn = estimator.get_params().get("lambdarank_pair_method") == "mean"
    if processes > 1 and (weighted or drawn):
        what = "draws pairs" if drawn else "weighs queries"
        raise PlanError(
            f"{type(estimator).__name__} {what} by the rows of one process, and the nodes are in {processes}",
            cure='Take tk.Inline(), or lambdarank_pair_method="topk" without weights.',
        )
