"""Contributions of XGBoost's models are XGBoost's own, and add up to its margin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.inspection import partial_dependence

import talkoot as tk

xgboost = pytest.importorskip("xgboost")
RNG = np.random.default_rng(5)
X = RNG.normal(size=(200, 4))
X[RNG.random(X.shape) < 0.1] = np.nan
Y = np.nan_to_num(X[:, 0] - 2 * X[:, 1]) + 0.1
FEW = {"n_estimators": 8, "max_depth": 3}
MODELS: dict[str, tuple[Any, Any, str]] = {
    "numbers": (xgboost.XGBRegressor(**FEW), Y, "prediction"),
    "counts": (
        xgboost.XGBRegressor(objective="count:poisson", **FEW),
        np.exp(Y / 9),
        "log of the prediction",
    ),
    "others": (xgboost.XGBRegressor(objective="reg:squaredlogerror", **FEW), np.exp(Y / 9), "raw score"),
    "two classes": (xgboost.XGBClassifier(**FEW), (Y > 0).astype(int), "log-odds"),
    "three classes": (xgboost.XGBClassifier(**FEW), np.digitize(Y, [-1, 1]), "raw score"),
    "a line": (xgboost.XGBRegressor(booster="gblinear", n_estimators=8), Y, "prediction"),
}


@pytest.mark.parametrize("name", MODELS)
def test_contributions_add_up_to_the_margin(name: str) -> None:
    model, y, unit = MODELS[name]
    model.fit(X, y)
    found = tk.explain.contributions(model, X[:30])
    np.testing.assert_allclose(found.predictions, model.predict(X[:30], output_margin=True), atol=1e-4)
    assert found.unit == unit
    assert found.columns == ("x0", "x1", "x2", "x3")
    bare = tk.explain.contributions(model.get_booster(), X[:30])
    assert (bare.values == found.values).all()
    assert bare.classes is None


def test_a_row_has_reasons() -> None:
    for name in ("two classes", "three classes"):
        model, y, _ = MODELS[name]
        found = tk.explain.contributions(model.fit(X, y), X[:20])
        row = int(found.values[:, 1].reshape(20, -1)[:, -1].argmax())
        reasons = found.reasons(row, towards=int(y.max()), k=1).reasons
        assert [(each.column, each.value) for each in reasons] == [("x1", X[row, 1])]


def test_trees_after_the_best_one_do_not_count() -> None:
    model = xgboost.XGBRegressor(n_estimators=200, early_stopping_rounds=2, learning_rate=0.9)
    model.fit(X[:100], Y[:100], eval_set=[(X[100:], Y[100:])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    found = tk.explain.contributions(model, X)
    np.testing.assert_allclose(found.predictions, model.predict(X), atol=1e-4)


def test_columns_are_those_of_the_fit() -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = xgboost.XGBRegressor(**FEW).fit(frame, Y)
    assert tk.explain.contributions(model, frame).columns == tuple("abcd")
    for rows in (frame[list("bacd")], frame[list("abc")], X[:, :3], X[0]):
        with pytest.raises(tk.DataError, match="XGBRegressor cannot read these rows"):
            tk.explain.contributions(model, rows)
    with pytest.raises(tk.PlanError, match="XGBRegressor is not fitted"):
        tk.explain.contributions(xgboost.XGBRegressor(), X)


def test_nodes_score_and_predict_by_models_that_were_fitted_to_frames() -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = xgboost.XGBClassifier(**FEW).fit(frame, Y > 0)
    data = {"one": frame[:90].assign(y=Y[:90] > 0), "two": frame[90:].assign(y=Y[90:] > 0)}
    found = tk.explain.importance(model, data, "y")
    assert found.score == model.score(frame, Y > 0)
    assert found.importances_mean[:2].min() > 0.02 > found.importances_mean[2:].max()
    curve = tk.explain.dependence(model, data, "b", [-1.0, 1.0], target="y")
    want = partial_dependence(model, frame, ["b"], custom_values={"b": [-1.0, 1.0]}, method="brute")
    np.testing.assert_allclose(curve.average, want["average"][0], atol=1e-6)
