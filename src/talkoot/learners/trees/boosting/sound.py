"""Boosted trees of a file are looked at: scikit-learn's compiled prediction believes all that they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.preprocessing import OrdinalEncoder

from talkoot.learners.trees.boosting.sklearn_private import NODE, WORD

MOST = 255  # categories of a column


def is_sound(boosted: Any) -> bool:
    """Whether trees lead from the root to a leaf, and read columns and sets of categories that there are."""
    mapper, features = boosted._bin_mapper, boosted.n_features_in_
    if type(mapper) is not _BinMapper or type(features) is not int:
        return False
    categories = mapper.is_categorical_
    if not _is_array(categories, np.uint8, (features,)) or len(mapper.bin_thresholds_) != features:
        return False
    codes = [mapper.bin_thresholds_[j] for j in np.flatnonzero(categories)]
    trees = [tree for trees in boosted._predictors for tree in trees]
    return (
        all(_is_array(each, np.float64, (min(len(each), MOST),)) for each in codes)
        and all(np.array_equal(each, np.arange(len(each))) for each in codes)
        and all(type(tree) is TreePredictor and leads_to_leaves(tree, categories) for tree in trees)
    )


def _is_array(value: Any, dtype: Any, shape: tuple[int, ...]) -> bool:
    return type(value) is np.ndarray and value.dtype == dtype and value.shape == shape


def leads_to_leaves(tree: Any, categories: np.ndarray) -> bool:
    """Whether a tree does, of columns of which some hold categories."""
    nodes, features = tree.nodes, len(categories)
    if type(nodes) is not np.ndarray or nodes.dtype != NODE or nodes.ndim != 1 or not len(nodes):
        return False
    at = np.flatnonzero(nodes["is_leaf"] == 0)
    inner = nodes[at]
    branches = np.stack([inner["left"], inner["right"]]).astype(np.int64)
    if not ((branches > at) & (branches < len(nodes))).all():
        return False
    if not ((inner["feature_idx"] >= 0) & (inner["feature_idx"] < features)).all():
        return False
    sets = inner[inner["is_categorical"] != 0]
    raw, binned = tree.raw_left_cat_bitsets, tree.binned_left_cat_bitsets
    return bool(
        all(_is_array(each, WORD, (len(each), 8)) for each in (raw, binned))
        and (sets["bitset_idx"] < min(len(raw), len(binned))).all()
        and categories[sets["feature_idx"]].all()
    )


def renew_preprocessor(boosted: Any) -> None:
    """Make what codes categories again, from the categories alone.

    Raises:
        ValueError: they do not fit the trees.
    """
    coder = boosted._preprocessor
    if coder is None and not boosted._bin_mapper.is_categorical_.any():
        boosted.is_categorical_ = boosted._is_categorical_remapped = None
        return
    mask, names = boosted.is_categorical_, getattr(boosted, "feature_names_in_", None)
    if type(coder) is not ColumnTransformer or not _is_array(mask, np.bool_, (boosted.n_features_in_,)):
        raise ValueError("categories are not coded as in scikit-learn")
    encoder = coder.named_transformers_["encoder"]
    if type(encoder) is not OrdinalEncoder or len(encoder.categories_) != mask.sum():
        raise ValueError("categories are not coded as in scikit-learn")
    made = clone(boosted).set_params(categorical_features=mask, max_bins=MOST)
    made._preprocess_X(_table(mask, encoder.categories_, names), reset=True)
    if not np.array_equal(made._is_categorical_remapped, boosted._bin_mapper.is_categorical_):
        raise ValueError("the trees have other columns of categories")
    boosted._preprocessor = made._preprocessor
    boosted._is_categorical_remapped = made._is_categorical_remapped


def _table(mask: np.ndarray, categories: list[np.ndarray], names: Any) -> Any:
    """A table in which each category occurs."""
    rows = max(map(len, categories))
    columns = [np.zeros(rows) for _ in mask]
    for j, values in zip(np.flatnonzero(mask).tolist(), categories, strict=True):
        columns[j] = np.concatenate([values, np.repeat(values[:1], rows - len(values))])
    if names is None:
        dtype = object if any(column.dtype == object for column in columns) else np.float64
        return np.column_stack([column.astype(dtype) for column in columns])
    import pandas as pd

    return pd.DataFrame(dict(enumerate(columns))).set_axis(list(names), axis=1)
