"""What comes out of a ColumnTransformer or FeatureUnion is the real thing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from composing import MIXED, TABLE, WIDE, X, dense, nodes, pooled
from scipy import sparse
from sklearn import config_context
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    StandardScaler,
)

import talkoot as tk


def own(fitted: Any) -> dict[str, Any]:
    """What a fitted estimator holds besides its parameters and parts, private or not."""
    skip = {*fitted.get_params(deep=False), "transformers_", "_remainder", "_columns"}
    return {name: value for name, value in vars(fitted).items() if name not in skip}


@pytest.mark.parametrize("at", [i for i, e in enumerate(MIXED) if isinstance(e, ColumnTransformer)])
def test_a_fitted_column_transformer_is_a_real_one(at: int) -> None:
    got, want = tk.fit(MIXED[at], nodes(TABLE, None, 3)).model, pooled(MIXED[at], TABLE)
    ours, theirs = own(got), own(want)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert repr(ours[name]) == repr(theirs[name]), name
    assert [(name, spec) for name, _, spec in got.transformers_] == [
        (name, spec) for name, _, spec in want.transformers_
    ]
    assert repr(got) == repr(want)
    assert got.n_features_in_ == 5
    with pytest.raises(ValueError, match="columns are missing"):
        got.transform(TABLE.drop(columns=["sex", "age", "bmi", "city"]))
    shuffled = TABLE[["visits", "city", "bmi", "sex", "age"]]
    pd.testing.assert_frame_equal(
        pd.DataFrame(dense(got.transform(shuffled))), pd.DataFrame(dense(got.transform(TABLE)))
    )


def test_frames_come_out_where_they_were_asked_for() -> None:
    union = ColumnTransformer(
        [
            ("num", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "bmi"]),
            ("cat", OneHotEncoder(sparse_output=False), ["sex"]),
        ],
        remainder="drop",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    estimator = make_pipeline(union, Ridge())
    y = TABLE.bmi.to_numpy()
    got, want = tk.fit(estimator, nodes(TABLE, y, 3)).model, pooled(estimator, TABLE, y)
    pd.testing.assert_frame_equal(got[:-1].transform(TABLE), want[:-1].transform(TABLE))
    assert got[-1].feature_names_in_.tolist() == ["age", "bmi", "sex_f", "sex_m"]
    np.testing.assert_allclose(got.predict(TABLE), want.predict(TABLE))


def test_frames_may_be_asked_for_everywhere() -> None:
    rows = pd.DataFrame(X, columns=list("abcde"))
    union = ColumnTransformer(
        [("unit", MinMaxScaler(), ["a", "b"])], remainder="passthrough", verbose_feature_names_out=False
    )
    estimator = make_pipeline(StandardScaler(), union, Ridge())
    with config_context(transform_output="pandas"):
        got, want = tk.fit(estimator, nodes(rows, X[:, 0], 2)).model, pooled(estimator, rows, X[:, 0])
        assert got[-1].feature_names_in_.tolist() == want[-1].feature_names_in_.tolist()
        np.testing.assert_allclose(got.predict(rows), want.predict(rows))


def test_functions_of_frames_are_handed_frames() -> None:
    def ratio(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(ratio=table["age"] / table["bmi"])[["ratio", "visits"]]

    estimator = make_pipeline(FunctionTransformer(ratio), SimpleImputer(), Ridge())
    rows, y = TABLE[["age", "bmi", "visits"]], TABLE.bmi.to_numpy()
    got, want = tk.fit(estimator, nodes(rows, y, 3)).model, pooled(estimator, rows, y)
    assert got[1].feature_names_in_.tolist() == ["ratio", "visits"]
    np.testing.assert_allclose(got.predict(rows), want.predict(rows), rtol=1e-9)


def test_functions_may_have_no_value_at_the_mean() -> None:
    rows = pd.DataFrame(np.sign(X), columns=list("abcde"))  # of -1 and 1, so the mean is in between
    function = FunctionTransformer(lambda table: np.sqrt(abs(table) - 0.99))
    fit = tk.fit(make_pipeline(function, StandardScaler()), rows[["a", "b"]])
    assert fit.model[1].feature_names_in_.tolist() == ["a", "b"]
    assert fit.model[1].mean_ == pytest.approx(0.1)


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.29, 0.31, 0.5, 1.0])
@pytest.mark.parametrize("rest", ["drop", "passthrough"])
def test_the_output_is_sparse_where_scikit_learn_makes_it_so(threshold: float, rest: str) -> None:
    union = ColumnTransformer(
        [("cat", OneHotEncoder(drop="first"), ["sex", "city"])], remainder=rest, sparse_threshold=threshold
    )
    got, want = tk.fit(union, nodes(TABLE, None, 3)).model, pooled(union, TABLE)
    assert got.sparse_output_ is bool(want.sparse_output_)
    assert sparse.issparse(got.transform(TABLE)) is sparse.issparse(want.transform(TABLE))


def test_sparse_rows_stay_sparse() -> None:
    estimator = make_pipeline(
        ColumnTransformer([("a", Normalizer(), slice(0, 5))], remainder="passthrough"),
        TruncatedSVD(3),
        Ridge(),
    )
    y = np.asarray(WIDE @ np.ones(8))
    got, want = tk.fit(estimator, nodes(WIDE, y, 3)).model, pooled(estimator, WIDE, y)
    assert got[0].sparse_output_ is bool(want[0].sparse_output_) is True
    np.testing.assert_allclose(got.predict(WIDE), want.predict(WIDE), rtol=1e-6)


def test_float32_stays_float32() -> None:
    rows = X.astype(np.float32)
    estimator = make_pipeline(StandardScaler(), PCA(2, svd_solver="full"))
    got, want = tk.fit(estimator, nodes(rows, None, 3)).model, pooled(estimator, rows)
    assert got.transform(rows).dtype == want.transform(rows).dtype == np.float32
    np.testing.assert_allclose(abs(got.transform(rows)), abs(want.transform(rows)), rtol=1e-3, atol=1e-3)
