from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import (
    HuberRegressor,
    Lasso,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from talkoot.api.verify.attributes import align_signs, fitted_attributes, relative_difference
from talkoot.api.verify.optimum import tightened
from talkoot.api.verify.verification import Check, Verification
from talkoot.api.verify.verify import verify
from talkoot.core.errors import PlanError
from talkoot.watch.findings import sameness

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4)) @ RNG.normal(size=(4, 4)) + [0.0, 5.0, -5.0, 2.0]
NUMBERS = X @ [1.0, -2.0, 0.5, 3.0] + RNG.normal(size=120)
LABELS = np.digitize(NUMBERS, np.quantile(NUMBERS, [0.3, 0.7])).astype(float)


@pytest.mark.parametrize(
    ("estimator", "y", "allowed"),
    [
        (StandardScaler(), None, 1e-9),
        (PCA(2), None, 1e-9),
        (Ridge(), NUMBERS, 1e-9),
        (GaussianNB(), LABELS, 1e-9),
        (LinearDiscriminantAnalysis(), LABELS, 1e-9),
        (MinMaxScaler(), None, 1e-9),
        (RobustScaler(), None, 1e-9),
        (LogisticRegression(), LABELS, 1e-6),
        (PoissonRegressor(), np.exp(NUMBERS / 20), 1e-6),
        (Lasso(0.01), NUMBERS, 1e-6),
        (HuberRegressor(), NUMBERS, 1e-2),
        (make_pipeline(StandardScaler(), LogisticRegression()), LABELS, 1e-6),
    ],
    ids=lambda v: type(v).__name__,
)
def test_it_is_the_same_over_one_two_three_and_seven_nodes(
    estimator: Any, y: np.ndarray | None, allowed: float
) -> None:
    found = verify(estimator, X, y)
    assert found.ok, str(found)
    assert list(found.checks[0].apart) == ["1 node", "2 nodes", "3 nodes", "7 nodes", "7 + empty"]
    assert {check.tolerance for check in found.checks} == {allowed}


@pytest.mark.parametrize(
    "estimator",
    [RobustScaler(), QuantileTransformer(), KBinsDiscretizer(quantile_method="averaged_inverted_cdf")],
    ids=lambda v: type(v).__name__,
)
def test_quantiles_of_many_rows_are_exact(estimator: Any) -> None:
    found = verify(estimator, RNG.normal(size=(20_000, 2)), nodes=(1, 3))
    assert found.ok, str(found)
    assert {check.tolerance for check in found.checks} == {1e-9}
    assert max(max(check.apart.values()) for check in found.checks) < 1e-12


def test_the_nodes_as_they_are_given_come_first() -> None:
    found = verify(Ridge(), {"a": (X[:100], NUMBERS[:100]), "b": (X[100:], NUMBERS[100:])}, nodes=[2])
    assert list(found.checks[0].apart) == ["as given", "2 nodes", "2 + empty"]
    assert found.ok


def test_parts_of_a_composition_are_named() -> None:
    table = pd.DataFrame(X, columns=list("abcd")).assign(town=np.where(LABELS > 0, "lima", "oslo"))
    both = make_column_transformer((OneHotEncoder(), ["town"]), (StandardScaler(), ["a", "b"]))
    found = verify(make_pipeline(both, Ridge()), table.assign(y=NUMBERS), "y", nodes=(2,))
    assert found.ok, str(found)
    names = [check.name for check in found.checks]
    assert "columntransformer.standardscaler.mean_" in names
    assert "ridge.coef_" in names


@pytest.mark.parametrize(
    "rows", [X.astype(np.float32), csr_array(np.where(X > 5, X, 0))], ids=["single", "csr"]
)
def test_single_precision_and_sparse_rows(rows: Any) -> None:
    found = verify(LogisticRegression(), rows, (LABELS > 0).astype(int), nodes=(1, 3))
    assert found.ok, str(found)


def test_weights_count_on_both_sides() -> None:
    assert verify(Ridge(), X, NUMBERS, weight=RNG.random(120), nodes=(3,)).ok


def test_a_difference_is_found_and_named() -> None:
    good, bad = (
        Check(name="coef_", apart={"2 nodes": 1e-12}, tolerance=1e-9),
        Check(name="mean_", apart={"2 nodes": 1e-12, "7 nodes": 2e-3}, tolerance=1e-9),
    )
    found = Verification(estimator="Ridge", checks=(bad, good))
    assert good.ok
    assert not found.ok
    assert "NOT the same" in str(Verification(estimator="Ridge", checks=(bad,)))
    assert "differs" in str(sameness(found.facts()))


def test_solvers_stop_late_on_both_sides() -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=50))
    pipe, settings = tightened(model, clone(model).fit(X, LABELS))
    assert pipe[-1].tol == 1e-10
    assert pipe[-1].max_iter == 10_000
    assert pipe[-1].solver == "newton-cholesky"
    assert "logisticregression__tol=1e-10" in settings
    assert tightened(Ridge(), Ridge().fit(X, NUMBERS))[1] == ""


def test_no_hessian_is_formed_of_many_columns_behind_an_encoder() -> None:
    towns = pd.DataFrame({"town": [f"t{i % 400}" for i in range(1200)]})
    ill = np.array([i % 3 == 0 for i in range(1200)]) ^ (RNG.random(1200) < 0.1)
    found = verify(make_pipeline(OneHotEncoder(), LogisticRegression()), towns, ill, nodes=(3,))
    assert found.ok, str(found)
    assert "newton-cg" in str(found)


def test_it_says_how_far_from_the_optimum_each_side_stops() -> None:
    narrow = X * [1.0, 100.0, 1e-2, 10.0]  # columns of unlike size, on which L-BFGS stops early
    found = verify(LogisticRegression(), narrow, LABELS > 0, nodes=(2,))
    assert found.ok, str(found)
    stops = {s.name: s for s in found.shortfalls}
    assert stops["predict_proba"].alone > 1e-6
    assert stops["predict_proba"].nodes > 1e-9
    assert "stops this far from the optimum" in str(found)
    assert any("before the optimum" in note for note in found.facts()["notes"])
    assert verify(Ridge(), X, NUMBERS, nodes=(2,)).shortfalls == ()


def test_ridge_iterates_to_the_optimum_on_sparse_bins() -> None:
    found = verify(make_pipeline(KBinsDiscretizer(4), Ridge()), X, NUMBERS, nodes=(2,))
    assert found.ok, str(found)
    assert "ridge__tol=1e-10" in str(found)


def test_the_name_of_the_solver_is_no_difference() -> None:
    found = verify(Ridge(solver="lsqr"), X, NUMBERS, nodes=(2,))
    assert found.ok, str(found)
    assert "solver_" not in [check.name for check in found.checks]


def test_how_far_two_values_are_apart() -> None:
    assert relative_difference(np.array([1.0, np.nan]), np.array([1.0, np.nan])) == 0.0
    assert relative_difference(np.array([1.0, np.inf]), np.array([1.0, np.nan])) == np.inf
    assert relative_difference(np.ones(2), np.ones(3)) == np.inf
    assert relative_difference(np.array(["a"]), np.array(["b"])) == np.inf
    assert relative_difference(np.array(["a"]), np.array([1.0])) == np.inf
    text = [np.array(["x", np.nan], dtype=object)]
    assert relative_difference(text, text) == 0.0
    assert relative_difference(csr_array(np.eye(2)), csr_array(np.eye(2) * 2)) == 0.5
    assert relative_difference(None, np.ones(2)) == np.inf
    assert align_signs(-np.eye(2), np.eye(2)).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_effort_is_not_compared() -> None:
    names = [name for name, _ in fitted_attributes(LogisticRegression().fit(X, LABELS > 0))]
    assert names == ["classes_", "coef_", "intercept_"]


def test_no_numbers_of_nodes_are_refused() -> None:
    with pytest.raises(PlanError, match="nodes= names no number of nodes"):
        verify(Ridge(), X, NUMBERS, nodes=())


def test_means_of_centred_rows_are_rounding_noise_and_no_difference() -> None:
    X, y = load_diabetes(return_X_y=True)
    told = verify(make_pipeline(StandardScaler(), PCA(3), Ridge()), X, y, nodes=(2,))
    assert told.ok, str(told)


@pytest.mark.parametrize("inside", [False, True])
def test_the_number_of_boosted_trees_is_no_setting_of_a_solver(inside: bool) -> None:
    X = np.random.default_rng(0).normal(size=(120, 3))
    boosted = HistGradientBoostingRegressor(max_iter=3)
    found = verify(make_pipeline(StandardScaler(), boosted) if inside else boosted, X, X[:, 0], nodes=(2,))
    assert found.ok
    assert not any("max_iter" in note for note in found.notes)


@pytest.mark.parametrize(
    "estimator", [RandomForestRegressor(5), make_pipeline(MinMaxScaler(), RandomForestRegressor(5))]
)
def test_a_forest_is_compared_where_it_is_scikit_learns(estimator: Any) -> None:
    X = RNG.normal(size=(60, 3))
    found = verify(estimator, {"a": (X[:40], X[:40, 0]), "b": (X[40:], X[40:, 0])}, nodes=(2, 3))
    assert found.ok
    assert list(found.checks[0].apart) == ["1 node", "1 + empty"]
    assert " at one node is the same as scikit-learn's" in str(found)
    assert "trees of several nodes make another forest" in str(found)
