"""The private names of scikit-learn's histogram boosting; a test says which a new version moved."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy, deepcopy
from typing import Any

import numpy as np
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
from sklearn.ensemble._hist_gradient_boosting.common import (
    ALMOST_INF,
    G_H_DTYPE,
    HISTOGRAM_DTYPE,
    PREDICTOR_RECORD_DTYPE,
    X_BITSET_INNER_DTYPE,
)
from sklearn.ensemble._hist_gradient_boosting.histogram import HistogramBuilder
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.ensemble._hist_gradient_boosting.splitting import Splitter
from sklearn.model_selection._split import _validate_shuffle_split
from sklearn.utils import check_random_state
from sklearn.utils._missing import is_scalar_nan
from sklearn.utils.extmath import _approximate_mode
from sklearn.utils.validation import _check_categorical_features, _check_monotonic_cst

HISTOGRAM = HISTOGRAM_DTYPE  # sum_gradients, sum_hessians, count
NODE = PREDICTOR_RECORD_DTYPE
WORD = X_BITSET_INNER_DTYPE  # of a set of bins, one bit for each
GREATEST = ALMOST_INF  # of a threshold


def loss_of(estimator: Any, outputs: int, *, weighted: bool) -> Any:
    """The loss that an estimator minimises, for so many trees an iteration; `weighted` as rows are."""
    made = copy(estimator)
    made.n_trees_per_iteration_ = outputs
    return made._get_loss(sample_weight=np.ones(1) if weighted else None)


def bin_mapper(thresholds: Sequence[np.ndarray], bins: int, categories: int = 0) -> Any:
    """A fitted mapper of values to bins, of which the last holds missing values.

    Args:
        thresholds: of each column; of categories their codes.
        bins: how many there are.
        categories: how many columns, the first ones, hold categories.
    """
    mapper = _BinMapper(n_bins=bins, n_threads=1)
    mapper.bin_thresholds_ = list(thresholds)
    mapper.n_bins_non_missing_ = filled_bins(thresholds, categories)
    mapper.is_categorical_ = are_categories(thresholds, categories)
    mapper.missing_values_bin_idx_ = bins - 1
    return mapper


def known_categories(thresholds: Sequence[np.ndarray], categories: int) -> tuple[np.ndarray, np.ndarray]:
    """What `TreePredictor.predict` needs to know of categories: sets of their codes, and whose each is."""
    sets, places = bin_mapper(thresholds, 256, categories).make_known_categories_bitsets()
    return sets, places


def filled_bins(thresholds: Sequence[np.ndarray], categories: int) -> np.ndarray:
    """(features,) how many bins hold values that are not missing."""
    return np.array([len(each) + (j >= categories) for j, each in enumerate(thresholds)], dtype=np.uint32)


def are_categories(thresholds: Sequence[np.ndarray], categories: int) -> np.ndarray:
    """(features,) whether a column holds categories."""
    return (np.arange(len(thresholds)) < categories).astype(np.uint8)


def categorical(estimator: Any, table: Any) -> tuple[int, ...]:
    """The columns of a table that hold categories, as scikit-learn reads `categorical_features`.

    Raises:
        ValueError: it does not fit the table.
    """
    found = _check_categorical_features(table, estimator.categorical_features)
    return () if found is None else tuple(np.flatnonzero(found).tolist())


def categories_of(fitted: Any) -> list[np.ndarray]:
    """For each column of categories its values that are not missing."""
    found = fitted._preprocessor.named_transformers_["encoder"].categories_
    return [each[:-1] if len(each) and is_scalar_nan(each[-1]) else each for each in found]


def empty_gradients(loss: Any, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Arrays for gradients and Hessians; one Hessian where all are 1."""
    gradients, hessians = loss.init_gradient_and_hessian(n_samples=rows, dtype=G_H_DTYPE, order="F")
    return gradients, hessians


def histograms(
    binned: np.ndarray,
    gradients: np.ndarray,
    hessians: np.ndarray,
    parts: Sequence[np.ndarray],
    bins: int,
    *,
    constant: bool,
) -> list[np.ndarray]:
    """(features, bins) sums of the gradients of each part's rows."""
    builder = HistogramBuilder(binned, bins, gradients, hessians, constant, 1)
    return [np.asarray(builder.compute_histograms_brute(rows)) for rows in parts]


def splitter(
    estimator: Any,
    thresholds: Sequence[np.ndarray],
    missing: np.ndarray,
    bins: int,
    categories: int,
    **facts: Any,
) -> Any:
    """What finds the best split of a histogram with so many bins, of which the last holds missing values."""
    return Splitter(
        X_binned=np.zeros((1, len(thresholds)), dtype=np.uint8, order="F"),
        n_bins_non_missing=filled_bins(thresholds, categories),
        missing_values_bin_idx=bins - 1,
        has_missing_values=missing.astype(np.uint8),
        is_categorical=are_categories(thresholds, categories),
        l2_regularization=estimator.l2_regularization,
        min_samples_leaf=estimator.min_samples_leaf,
        n_threads=1,
        **facts,
    )


def predictor(nodes: np.ndarray, binned: np.ndarray, raw: np.ndarray) -> Any:
    """A tree that predicts, with the bins and the codes of categories that go to the left, (splits, 8)."""
    return TreePredictor(nodes, binned, raw)


def constraints(
    estimator: Any, features: int, names: Sequence[str] | None
) -> tuple[np.ndarray, tuple[frozenset[int], ...] | None]:
    """(monotonic, groups): directions of the columns, and groups of those that may interact."""
    made = copy(estimator)
    made.n_features_in_ = features
    if names is not None:
        made.feature_names_in_ = np.array(names, dtype=object)
    groups = made._check_interaction_cst(features)
    return (
        np.asarray(_check_monotonic_cst(made, made.monotonic_cst)),
        None if groups is None else tuple(frozenset(map(int, group)) for group in groups),
    )


def seed_of(estimator: Any, rng: np.random.Generator) -> int:
    """The seed of validation rows: scikit-learn's of a `random_state`, or by chance."""
    if estimator.random_state is None:
        return int(rng.integers(np.iinfo(np.uint32).max))
    state = check_random_state(deepcopy(estimator.random_state))
    return int(state.randint(np.iinfo(np.uint32).max, dtype="u8"))


def split_sizes(rows: int, fraction: float) -> tuple[int, int]:
    """(training, validation): how many rows are learned from, and how many are held out.

    Raises:
        ValueError: one of them is empty.
    """
    training, validation = _validate_shuffle_split(rows, fraction, None)
    return int(training), int(validation)


def apportioned(counts: np.ndarray, drawn: int, seed: int) -> np.ndarray:
    """(classes,) how many rows of each class are drawn of so many, in proportion; ties by chance."""
    found = _approximate_mode(counts, drawn, np.random.RandomState(seed))
    return np.asarray(found, dtype=np.int64)


def is_fitted(estimator: Any) -> bool:
    """Whether an estimator has trees."""
    return bool(estimator._is_fitted())


def has_its_loss(fitted: Any) -> bool:
    """Whether a fitted estimator's trees minimise the loss that its parameters name."""
    was, now = fitted._loss, loss_of(fitted, fitted.n_trees_per_iteration_, weighted=False)
    same = type(was) is type(now)
    return same and getattr(was.closs, "quantile", None) == getattr(now.closs, "quantile", None)


def held_rows_out(fitted: Any) -> bool:
    """Whether nodes held validation rows out while each of an estimator's trees grew."""
    return getattr(fitted, "_held_out_over_nodes", 0) == len(fitted._predictors)


def should_stop(estimator: Any, scores: list[float]) -> bool:
    """Whether the last scores are no better than the one before them."""
    return bool(estimator._should_stop(scores))


def with_state_of(estimator: Any, fitted: Any) -> Any:
    """An estimator that has what a fit with warm_start=True leaves of an earlier one, besides its trees."""
    for name in (
        "_random_seed",
        "_feature_subsample_rng",
        "_fitted_with_sw",
        "train_score_",
        "validation_score_",
    ):
        if hasattr(fitted, name):
            setattr(estimator, name, getattr(fitted, name))
    return estimator


def with_rows_held_out(estimator: Any, seed: int) -> Any:
    """An estimator that knows that nodes held validation rows out for all its trees, and by which seed."""
    estimator._random_seed, estimator._held_out_over_nodes = seed, len(estimator._predictors)
    return estimator


def with_sample_weights(estimator: Any) -> Any:
    """An estimator that knows that it was fitted with sample weights."""
    estimator._fitted_with_sw = True
    return estimator
