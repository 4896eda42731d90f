"""Estimators inside of others, and their trees as plain arrays.

skops would make scikit-learn's compiled trees of a file without looking at them, so arrays travel instead.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np


def is_estimator(value: Any) -> bool:
    """Whether a value is an estimator of scikit-learn, which is not imported to find out."""
    return "sklearn.base" in sys.modules and isinstance(value, sys.modules["sklearn.base"].BaseEstimator)


def having(attribute: str, value: Any) -> Iterator[Any]:
    """The estimators with an attribute in a fitted estimator, and in those that it is made of."""
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = value.ravel().tolist()
    if isinstance(value, list | tuple):
        for item in value:
            yield from having(attribute, item)
    elif is_estimator(value):
        if hasattr(value, attribute):
            yield value
        yield from having(attribute, [*vars(value).values()])
    elif isinstance(value, dict):
        yield from having(attribute, [*value.values()])


def without_trees(model: Any) -> Any:
    """A copy of a fitted estimator whose trees are plain arrays; itself where it has none."""
    from talkoot.learners.trees.tree_private import plain_tree

    plain = {id(tree.tree_): plain_tree(tree) for tree in having("tree_", model)}
    return deepcopy(model, plain) if plain else model


def with_trees(model: Any) -> Any:
    """A fitted estimator whose trees predict, of one whose trees are plain arrays; it is changed in place.

    Raises:
        ValueError: a tree leads nowhere.
    """
    from talkoot.learners.trees.tree_private import tree_of_plain

    for tree in {id(tree): tree for tree in having("tree_", model)}.values():
        tree.tree_ = tree_of_plain(tree.tree_, getattr(tree, "n_features_in_", None))
    return model
