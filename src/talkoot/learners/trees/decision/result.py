"""The fitted estimator: scikit-learn's own, with the tree of the nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier

from talkoot.core.errors import DataError
from talkoot.core.shard import Schema
from talkoot.learners.common.rows import require_classes
from talkoot.learners.trees.decision.growing import Grower, Tree
from talkoot.learners.trees.decision.model import Growing
from talkoot.learners.trees.tree_private import LEAF, UNDEFINED, tree_of


def example(estimator: Any, schema: Schema) -> Any:
    """The estimator, fitted by scikit-learn to a row of each class: all of it but the tree.

    Raises:
        DataError: scikit-learn refuses a parameter.
    """
    y = require_classes(schema, estimator) if is_classifier(estimator) else np.ones(2)
    made = clone(estimator).set_params(ccp_alpha=0.0)
    if is_classifier(made):
        made.set_params(class_weight=None)
    try:
        made.fit(np.zeros((len(y), schema.features)), y)
    except (TypeError, ValueError) as error:
        raise DataError(f"{type(estimator).__name__} refuses the columns: {error}") from error
    if schema.names is not None:
        made.feature_names_in_ = np.array(schema.names, dtype=object)
    return made.set_params(**estimator.get_params(deep=False))


def finished(estimator: Any, model: Growing) -> Any:
    """The estimator with the tree."""
    assert model.grower is not None
    made = example(estimator, model.schema)
    like = made.tree_
    made.tree_ = tree_of(like.n_features, like.n_classes, *arrays_of(model.grower, model.tree))
    made._prune_tree()
    return made


def arrays_of(rules: Grower, tree: Tree) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The nodes of a finished tree in scikit-learn's order, as `tree_private.tree_of` takes them."""
    order = _numbered(tree, best_first=rules.leaves >= 0)
    place = {at: i for i, at in enumerate(order)}
    chosen = frozenset(tree.chosen or ())
    whole, real = np.zeros((len(order), 5), np.int32), np.zeros((len(order), 3))
    values = np.zeros((len(order), 1, rules.units.classes or 1))
    for i, at in enumerate(order):
        part = tree.parts[at]
        whole[i] = LEAF, LEAF, UNDEFINED, part.rows, 0
        real[i] = UNDEFINED, part.impurity, part.weight
        values[i, 0] = rules.value(part)
        if at in chosen:
            split = tree.splits[at]
            left, right = place[split.left], place[split.left + 1]
            whole[i] = left, right, split.feature, part.rows, split.missing_left
            real[i, 0] = split.threshold
    return whole, real, values


def _numbered(tree: Tree, *, best_first: bool) -> list[int]:
    """The parts of a finished tree in the order of scikit-learn's: as they were made, or depth first."""
    assert tree.chosen is not None
    if best_first:
        return [0, *(tree.splits[at].left + side for at in tree.chosen for side in (0, 1))]
    chosen, order, stack = frozenset(tree.chosen), list[int](), [0]
    while stack:
        at = stack.pop()
        order.append(at)
        if at in chosen:
            stack += [tree.splits[at].left + 1, tree.splits[at].left]
    return order
