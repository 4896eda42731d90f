"""The private names of scikit-learn's histogram boosting are those of the installed version."""

from __future__ import annotations

import inspect

import numpy as np
import sklearn
from boosted import table
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.ensemble._hist_gradient_boosting.grower import TreeGrower
from sklearn.ensemble._hist_gradient_boosting.splitting import Splitter

from talkoot.learners.trees.boosting import sklearn_private as private

CAUSE = f"scikit-learn {sklearn.__version__} moved it; mend learners/trees/boosting/sklearn_private.py"


def test_a_fitted_estimator_holds_what_is_replaced() -> None:
    X, y = table(60)
    fitted = HistGradientBoostingRegressor(max_iter=2).fit(X, y)
    of_growth = "_predictors", "_baseline_prediction", "_bin_mapper", "_get_loss", "_check_interaction_cst"
    of_warm_start = "_is_fitted", "_loss", "_random_seed", "_feature_subsample_rng"
    for name in of_growth + of_warm_start:
        assert hasattr(fitted, name), f"{name}: {CAUSE}"
    own = private.bin_mapper(fitted._bin_mapper.bin_thresholds_, 256)
    np.testing.assert_array_equal(own.transform(X), fitted._bin_mapper.transform(X))
    lacks = vars(fitted._bin_mapper).keys() - vars(own).keys()
    assert not lacks, f"{lacks}: {CAUSE}"
    tree = fitted._predictors[0][0]
    sets = tree.binned_left_cat_bitsets, tree.raw_left_cat_bitsets
    assert vars(private.predictor(tree.nodes, *sets)).keys() == vars(tree).keys(), CAUSE
    assert tree.nodes.dtype == private.NODE, CAUSE


def test_splits_are_found_by_a_call_of_the_same_names() -> None:
    source = inspect.getsource(TreeGrower)
    for name in ("n_samples", "histograms", "sum_gradients", "sum_hessians", "value", "allowed_features"):
        assert f"{name}=node." in source, f"{name}: {CAUSE}"
    assert callable(Splitter.find_node_split), CAUSE
    assert private.HISTOGRAM.names == ("sum_gradients", "sum_hessians", "count"), CAUSE
