"""Contributions of LightGBM's models are LightGBM's own, and add up to its raw score."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import talkoot as tk

lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed")
RNG = np.random.default_rng(5)
X = RNG.normal(size=(200, 4))
X[RNG.random(X.shape) < 0.1] = np.nan
Y = np.nan_to_num(X[:, 0] - 2 * X[:, 1]) + 0.1
FEW = {"n_estimators": 8, "num_leaves": 5, "verbose": -1}
MODELS: dict[str, tuple[Any, Any, str]] = {
    "numbers": (lightgbm.LGBMRegressor(**FEW), Y, "prediction"),
    "counts": (lightgbm.LGBMRegressor(objective="poisson", **FEW), np.exp(Y / 9), "log of the prediction"),
    "roots": (lightgbm.LGBMRegressor(reg_sqrt=True, **FEW), Y, "raw score"),
    "a forest": (
        lightgbm.LGBMRegressor(boosting_type="rf", subsample=0.5, subsample_freq=1, **FEW),
        Y,
        "prediction",
    ),
    "two classes": (lightgbm.LGBMClassifier(**FEW), (Y > 0).astype(int), "log-odds"),
    "scaled": (lightgbm.LGBMClassifier(sigmoid=2.0, **FEW), (Y > 0).astype(int), "raw score"),
    "three classes": (lightgbm.LGBMClassifier(**FEW), np.digitize(Y, [-1, 1]), "raw score"),
}


@pytest.mark.parametrize("name", MODELS)
def test_contributions_add_up_to_the_raw_score(name: str) -> None:
    model, y, unit = MODELS[name]
    model.fit(X, y)
    found = tk.explain.contributions(model, X[:30])
    np.testing.assert_allclose(found.predictions, model.predict(X[:30], raw_score=True), atol=1e-9)
    assert found.unit == unit
    assert found.columns == ("x0", "x1", "x2", "x3")
    bare = tk.explain.contributions(model.booster_, X[:30])
    assert (bare.values == found.values).all()
    assert bare.classes is None


def test_a_row_has_reasons() -> None:
    model, y, _ = MODELS["two classes"]
    found = tk.explain.contributions(model.fit(X, y), X[:20])
    row = int(np.where(np.isnan(X[:20, 1]), -np.inf, found.values[:, 1]).argmax())
    reasons = found.reasons(row, towards=1, k=1).reasons
    assert [(each.column, each.value) for each in reasons] == [("x1", X[row, 1])]


def test_rows_are_read_as_the_model_reads_them() -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = lightgbm.LGBMRegressor(**FEW).fit(frame, Y)
    assert tk.explain.contributions(model, frame).columns == ("a", "b", "c", "d")
    with pytest.raises(tk.DataError, match="cannot read these rows"):
        tk.explain.contributions(model, frame[list("badc")])
    with pytest.raises(tk.DataError, match="cannot read these rows.*number of features"):
        tk.explain.contributions(model, X[:, :3])
    with pytest.raises(tk.PlanError, match="not fitted"):
        tk.explain.contributions(lightgbm.LGBMRegressor(), X)


def test_a_model_of_nodes_is_explained_too() -> None:
    data = {"a": (X[:90], Y[:90]), "b": (X[90:], Y[90:])}
    model = tk.fit(MODELS["numbers"][0], data, on=tk.Inline()).model
    found = tk.explain.contributions(model, X)
    np.testing.assert_allclose(found.predictions, model.predict(X), atol=1e-9)
