"""The trees of scikit-learn's models as plain arrays; a test says which private name a new version moved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from talkoot.learners.explain.trees import NO_TABLES, Tree

CODES = 256  # of a column's categories


def boosted_trees(model: Any) -> Iterator[Tree]:
    """The trees of a HistGradientBoosting model; tree k of an iteration adds to output k."""
    known, place = model._bin_mapper.make_known_categories_bitsets()
    for iteration in model._predictors:
        for output, tree in enumerate(iteration):
            nodes = tree.nodes
            splits = np.flatnonzero((nodes["is_categorical"] != 0) & (nodes["is_leaf"] == 0))
            tables, table = NO_TABLES, np.full(len(nodes), -1)
            if len(splits):
                table[splits] = np.arange(len(splits))
                left = _bits(tree.raw_left_cat_bitsets[nodes["bitset_idx"][splits]])
                seen = _bits(known[place[nodes["feature_idx"][splits]]])
                tables = left | (~seen & (nodes["missing_go_to_left"][splits] != 0)[:, np.newaxis])
            leaf = nodes["is_leaf"] != 0
            yield Tree(
                feature=nodes["feature_idx"],
                threshold=nodes["num_threshold"],
                left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
                right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
                value=nodes["value"][:, np.newaxis],
                cover=nodes["count"],
                missing_left=nodes["missing_go_to_left"],
                table=table,
                tables=tables,
                output=output,
            )


def _bits(sets: np.ndarray) -> np.ndarray:
    """(sets, CODES) flags of (sets, 8) words of 32 bits."""
    words = np.ascontiguousarray(sets, dtype="<u4")
    return np.unpackbits(words.view(np.uint8), axis=1, bitorder="little").astype(np.bool_)


def boosted_rows(model: Any, X: Any) -> tuple[np.ndarray, np.ndarray]:
    """The rows as a HistGradientBoosting model's trees read them, and where X has each of their columns."""
    rows = model._preprocess_X(X, reset=False)
    columns = np.arange(rows.shape[1])
    if model.is_categorical_ is not None:  # scikit-learn puts categories first
        columns = np.concatenate([columns[model.is_categorical_], columns[~model.is_categorical_]])
    return rows, columns


def forest_trees(members: Any, *, classifier: bool) -> Iterator[Tree]:
    """The trees of a forest, or one; `value` is a share of classes or a mean for each output."""
    for member in members:
        grown = member.tree_
        value = grown.value[:, 0, :] if classifier else grown.value[:, :, 0]
        yield Tree(
            feature=grown.feature,
            threshold=grown.threshold,
            left=grown.children_left,
            right=grown.children_right,
            value=value,
            cover=grown.weighted_n_node_samples,
            missing_left=grown.missing_go_to_left,
            table=np.full(len(value), -1),
        )


def forest_rows(model: Any, X: Any) -> np.ndarray:
    """The rows as a forest's or a tree's splits read them: float32."""
    if hasattr(model, "estimators_"):
        return np.asarray(model._validate_X_predict(X))
    return np.asarray(model._validate_X_predict(X, check_input=True))
