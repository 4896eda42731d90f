"""The private names of scikit-learn that learners use are those of the installed version."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn.decomposition import PCA, _pca
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import PoissonRegressor, Ridge
from sklearn.preprocessing import KBinsDiscretizer, StandardScaler

from talkoot.learners.common import sklearn_private as private

X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)
NAMES: list[tuple[Any, str]] = [
    (_pca, "_infer_dimension"),
    (Ridge(), "_parameter_constraints"),
    (Ridge(), "_validate_params"),
    (Ridge(), "_get_metadata_request"),
    (PoissonRegressor(), "_get_loss"),
    (PoissonRegressor().fit(X, Y), "_base_loss"),
    (LinearDiscriminantAnalysis().fit(X, Y), "_max_components"),
    (LinearDiscriminantAnalysis().fit(X, Y), "_n_features_out"),
    (KBinsDiscretizer(2, quantile_method="averaged_inverted_cdf").fit(X), "_encoder"),
    (StandardScaler().set_output(transform="pandas"), "_sklearn_output_config"),
]


@pytest.mark.parametrize(("owner", "name"), NAMES, ids=[name for _, name in NAMES])
def test_no_private_name_has_moved(owner: Any, name: str) -> None:
    cause = f"scikit-learn {sklearn.__version__} moved {name}; mend learners/common/sklearn_private.py"
    assert hasattr(owner, name), cause


def test_the_answers_are_scikit_learns() -> None:
    whole = PCA("mle", svd_solver="full").fit(X)
    assert private.minka_dimension(PCA().fit(X).explained_variance_, len(X)) == whole.n_components_
    assert private.output_container(StandardScaler().set_output(transform="pandas")) == "pandas"
    assert private.output_container(StandardScaler()) is None
    assert private.requests_weights(Ridge()) is False
    with sklearn.config_context(enable_metadata_routing=True):
        assert private.requests_weights(Ridge().set_fit_request(sample_weight=True))
    with pytest.raises(ValueError, match="alpha"):
        private.validate_parameters(Ridge(alpha=-1.0))
