from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

from talkoot.api.distributed import Distributed
from talkoot.core.errors import NotDistributable
from talkoot.engines.inline import Inline

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3))
Y = (X[:, 0] + 0.5 * RNG.normal(size=80) > 0).astype(int)
NUMBERS = X @ [1.0, 2.0, 3.0]


INNER = [LogisticRegression(), Ridge(), PCA(), StandardScaler(), GaussianNB()]


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")  # GaussianNB itself takes log(0)
def passes(estimator: Any, check: Any) -> None:
    check(estimator)


test_scikit_learns_own_checks_pass = parametrize_with_checks(
    [Distributed(inner, on=Inline(), nodes=3) for inner in INNER]
)(passes)


def test_it_learns_what_the_estimator_alone_learns() -> None:
    model = Distributed(Ridge(), nodes=3).fit(X, NUMBERS, sample_weight=np.arange(80.0))
    alone = Ridge().fit(X, NUMBERS, sample_weight=np.arange(80.0))
    np.testing.assert_allclose(model.coef_, alone.coef_, rtol=1e-9)
    np.testing.assert_allclose(model.predict(X), alone.predict(X), rtol=1e-9)
    assert model.score(X, NUMBERS) == pytest.approx(alone.score(X, NUMBERS))
    assert type(model.estimator_) is Ridge


def test_parameters_are_nested_and_clones_are_unfitted() -> None:
    model = Distributed(LogisticRegression(), nodes=2).set_params(estimator__C=0.1, nodes=3).fit(X, Y)
    assert model.estimator_.C == 0.1
    again = clone(model)
    assert again.get_params()["estimator__C"] == 0.1
    assert again.nodes == 3
    with pytest.raises(NotFittedError):
        check_is_fitted(again)
    with pytest.raises(AttributeError, match="'Distributed' object has no attribute 'coef_'"):
        _ = again.coef_


def test_only_the_methods_of_the_estimator_are_there() -> None:
    assert not hasattr(Distributed(Ridge()), "predict_proba")
    assert not hasattr(Distributed(StandardScaler()), "predict")
    assert hasattr(Distributed(GaussianNB()), "predict_proba")
    assert is_classifier(Distributed(GaussianNB()))
    assert is_regressor(Distributed(Ridge()))


def test_grid_search_finds_the_same_parameters() -> None:
    grid = {"C": [0.001, 0.1, 10.0]}
    plain = GridSearchCV(LogisticRegression(), grid, cv=3).fit(X, Y)
    nested = {f"estimator__{name}": values for name, values in grid.items()}
    ours = GridSearchCV(Distributed(LogisticRegression(), nodes=2), nested, cv=3).fit(X, Y)
    assert ours.best_params_ == {"estimator__C": plain.best_params_["C"]}
    assert ours.best_score_ == pytest.approx(plain.best_score_)


def test_it_takes_its_place_in_a_pipeline_and_holds_one() -> None:
    within = make_pipeline(Distributed(MinMaxScaler()), Distributed(LogisticRegression(), nodes=2))
    around = Distributed(make_pipeline(MinMaxScaler(), LogisticRegression()), nodes=2)
    alone = make_pipeline(MinMaxScaler(), LogisticRegression())
    expected = cross_val_score(alone, X, Y, cv=3)
    np.testing.assert_allclose(cross_val_score(within, X, Y, cv=3), expected)
    np.testing.assert_allclose(cross_val_score(around, X, Y, cv=3), expected)


def test_tables_keep_their_names_and_text() -> None:
    table = pd.DataFrame(X, columns=["a", "b", "c"])
    model = Distributed(Ridge(), nodes=2).fit(table, NUMBERS)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    assert model.estimator_.feature_names_in_.tolist() == ["a", "b", "c"]
    mixed = table.assign(town=np.where(Y > 0, "lima", "oslo"))
    both = make_column_transformer((OneHotEncoder(), ["town"]), (StandardScaler(), ["a"]))
    ours = Distributed(both, nodes=3).fit(mixed)
    np.testing.assert_allclose(ours.transform(mixed), clone(both).fit_transform(mixed))
    assert ours.get_feature_names_out().tolist()[0] == "onehotencoder__town_lima"


def test_sparse_rows_stay_sparse() -> None:
    rows = csr_array(np.where(X > 0, X, 0))
    model = Distributed(LogisticRegression(tol=1e-8, max_iter=1000), nodes=2).fit(rows, Y)
    alone = LogisticRegression(tol=1e-8, max_iter=1000).fit(rows, Y)
    np.testing.assert_allclose(model.coef_, alone.coef_, rtol=1e-5)


def test_output_is_a_table_on_demand() -> None:
    table = pd.DataFrame(X, columns=["a", "b", "c"])
    model = Distributed(StandardScaler()).set_output(transform="pandas")
    assert model.fit_transform(table).columns.tolist() == ["a", "b", "c"]


def test_a_fitted_one_pickles_without_its_rows() -> None:
    rows = np.zeros((50_000, 3)) + RNG.normal(size=3)
    rows[::2] += 1.0
    data = pickle.dumps(Distributed(StandardScaler()).fit(rows))
    assert len(data) < 10_000
    np.testing.assert_allclose(pickle.loads(data).mean_, rows.mean(axis=0))


def test_what_cannot_be_distributed_is_refused_at_fit() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    with pytest.raises(NotDistributable, match="KNeighborsClassifier"):
        Distributed(KNeighborsClassifier()).fit(X, Y)
