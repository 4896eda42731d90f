"""Compositions over nodes against scikit-learn's own fit to the pooled rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from composing import (
    MIXED,
    NUMBERS,
    SICK,
    TABLE,
    X,
    Y,
    assert_composed_alike,
    dense,
    names_out,
    nodes,
    pooled,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

import talkoot as tk

pytestmark = pytest.mark.wide


@pytest.mark.parametrize("estimator", NUMBERS, ids=lambda e: f"{type(e).__name__}{NUMBERS.index(e)}")
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("named", [False, True], ids=["array", "table"])
def test_numbers_equal_the_pooled_fit(estimator: Any, count: int, named: bool) -> None:
    rows: Any = pd.DataFrame(X, columns=list("abcde")) if named else X
    target = Y if hasattr(estimator, "predict") else None
    got = tk.fit(estimator, nodes(rows, target, count)).model
    want = pooled(estimator, rows, target)
    assert_composed_alike(got, want, 1e-8)
    method = "predict" if target is not None else "transform"
    ours, theirs = (dense(getattr(model, method)(rows)) for model in (got, want))
    np.testing.assert_allclose(ours, theirs, rtol=1e-8)
    assert names_out(got) == names_out(want)


@pytest.mark.parametrize("estimator", MIXED, ids=lambda e: f"{type(e).__name__}{MIXED.index(e)}")
@pytest.mark.parametrize("count", [1, 2, 7])
def test_text_and_numbers_equal_the_pooled_fit(estimator: Any, count: int) -> None:
    solved = isinstance(estimator, Pipeline) and isinstance(estimator[-1], LogisticRegression)
    target = SICK if hasattr(estimator, "predict") else None
    got = tk.fit(estimator, nodes(TABLE, target, count)).model
    want = pooled(estimator, TABLE, target)
    assert_composed_alike(got, want, 1e-6 if solved else 1e-9)
    method = "predict_proba" if target is not None else "transform"
    ours, theirs = (pd.DataFrame(dense(getattr(model, method)(TABLE))) for model in (got, want))
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-6)
    assert names_out(got) == names_out(want)


def test_a_table_fits_without_pandas(tmp_path: Path) -> None:
    TABLE[["age", "bmi", "sex"]].dropna().assign(sick=1.0).to_parquet(tmp_path / "rows.parquet")
    script = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pandas", "polars"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import pyarrow.parquet
import talkoot as tk
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

union = ColumnTransformer([("n", StandardScaler(), ["age", "bmi"]), ("c", OneHotEncoder(), ["sex"])])
model = tk.fit(make_pipeline(union, Ridge()), sys.argv[1], target="sick", nodes=2).model
print(model.predict(pyarrow.parquet.read_table(sys.argv[1]))[0])
"""
    said = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "rows.parquet"], capture_output=True, text=True, check=True
    )
    assert float(said.stdout) == pytest.approx(1.0)
