"""Forests over nodes: each node grows trees of its own rows, and the trees of all are one forest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from talkoot.core.learner import Learner
from talkoot.core.shard import Schema
from talkoot.learners.common.rows import no_target, require_classes
from talkoot.learners.trees.forests import forest_private as private
from talkoot.learners.trees.forests.bagged import BaggedTrees, Grow, Growth, accept, fitted_example
from talkoot.learners.trees.forests.dealing import dealt, warn_idle
from talkoot.learners.trees.forests.grown import Trees
from talkoot.learners.trees.weights import agreed_weights, listed_weights


@final
@dataclass(frozen=True, slots=True)
class Forest(BaggedTrees):
    """RandomForest and ExtraTrees, classifiers and regressors.

    A node grows trees in proportion to its rows, or to what they weigh, each of its own rows alone. The
    random numbers of a tree follow from its index, as scikit-learn draws them, so one node grows
    scikit-learn's own forest.

    >>> import talkoot as tk
    >>> X = np.arange(40.0).reshape(20, 2)
    >>> sites = {"much": (X[:15], X[:15, 0]), "few": (X[15:], X[15:, 0])}
    >>> forest = tk.fit(RandomForestRegressor(8, random_state=0), sites).model
    >>> [int(tree.tree_.n_node_samples[0]) > 5 for tree in forest]
    [False, False, True, True, True, True, True, True]
    """

    def dealt(
        self, model: Growth, rows: Mapping[str, np.ndarray], sampled: bool, classes: np.ndarray
    ) -> Grow:
        """Trees in proportion to what rows weigh."""
        parts = dealt(self.estimator.n_estimators, {node: float(found[1]) for node, found in rows.items()})
        idle = [node for node, (_, count) in parts.items() if not count]
        warn_idle(self.name, idle, "too few for one of n_estimators", "take a larger n_estimators")
        weighted = clone(self.estimator)
        if self._by_sample:
            weighted.set_params(class_weight=None)
        elif getattr(weighted, "class_weight", None) == "balanced_subsample":
            weighted.set_params(class_weight="balanced")  # as scikit-learn without a bootstrap
        return Grow(model.seed, parts, agreed_weights(weighted, model.schema, sampled, classes))

    @property
    def _by_sample(self) -> bool:
        """Whether classes are weighted by the rows of each tree."""
        balanced = getattr(self.estimator, "class_weight", None) == "balanced_subsample"
        return balanced and bool(self.estimator.bootstrap)

    def grown(self, own: Any, X: np.ndarray, y: Any, w: Any, grow: Grow, first: int, schema: Schema) -> Trees:
        """Trees that know all classes of all nodes."""
        own.set_params(random_state=private.random_state_at(grow.seed, first))
        if is_classifier(own) and not self._by_sample:
            own.set_params(class_weight=None)  # it is in the weights
        own.fit(X, y, sample_weight=w)
        seen, count = np.zeros(1, dtype=np.intp), 1
        if schema.classes is not None:
            seen, count = own.classes_, len(schema.classes)
        every = [np.arange(schema.features)] * len(own.estimators_)
        return Trees.of(own.estimators_, every, seen, count)

    def example(self, schema: Schema) -> Any:
        """Fitted to a row of each class."""
        if is_classifier(self.estimator):
            y: Any = require_classes(schema, self.estimator)
            if not self._by_sample and self.estimator.class_weight != "balanced_subsample":
                listed_weights(self.estimator, schema)
        elif schema.target_center is None:
            raise no_target(self.estimator)
        else:
            y = np.ones((2, schema.outputs) if schema.outputs > 1 else 2)
        made = clone(self.estimator).set_params(n_estimators=1, n_jobs=None, verbose=0)
        if made.bootstrap:
            made.set_params(max_samples=None)
        if is_classifier(made):
            made.set_params(class_weight=None)
        made = fitted_example(made, schema, y)
        return made.set_params(**self.estimator.get_params(deep=False))

    def finish(self, model: Growth) -> Any:
        """The estimator with the trees of all nodes."""
        assert model.trees is not None
        made = self.example(model.schema)
        made.estimators_ = list(model.trees.fitted(made.estimators_[0]))
        return private.without_rows(made)


def _forest(estimator: Any) -> Learner:
    accept(estimator)
    return Forest(estimator)


FITS: Mapping[type, Callable[[Any], Learner]] = {
    RandomForestClassifier: _forest,
    RandomForestRegressor: _forest,
    ExtraTreesClassifier: _forest,
    ExtraTreesRegressor: _forest,
}
