from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from numpy.testing import assert_allclose
from pooling import FITS, assert_alike, assert_as_pooled, dealt, even, learn, pooled, together
from scipy import sparse
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from examples import examples
from talkoot.core.errors import DataError
from talkoot.core.update import Update
from talkoot.testing import check_learner
from talkoot.testing.strategies import deals

RNG = np.random.default_rng(0)
X = np.column_stack(
    [
        RNG.normal(1e6, 1, 60),  # large against its deviation
        RNG.normal(size=60) * 1e-3,
        np.full(60, 4.0),  # constant
        np.zeros(60),
        RNG.exponential(100, 60),
    ]
)
HOLES = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
WIDE: Any = sparse.random(60, 5, density=0.3, format="csr", random_state=0)
SCALERS = [
    StandardScaler(),
    StandardScaler(with_mean=False),
    StandardScaler(with_std=False),
    StandardScaler(with_mean=False, with_std=False),
    MinMaxScaler((-1, 2), clip=True),
    MaxAbsScaler(),
    VarianceThreshold(),
    VarianceThreshold(0.5),
]
FLAT = [StandardScaler(with_mean=False), StandardScaler(with_mean=False, with_std=False), MaxAbsScaler()]
FLAT += [VarianceThreshold(), VarianceThreshold(0.01)]
ONCE = examples(20, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("scaler", SCALERS, ids=repr)
@pytest.mark.parametrize("rows", [X, HOLES], ids=["whole", "holes"])
@pytest.mark.parametrize("nodes", [1, 2, 3, 7])
def test_scalers_equal_scikit_learn_on_the_pooled_rows(scaler: Any, rows: np.ndarray, nodes: int) -> None:
    assert_as_pooled(scaler, rows, even(rows, nodes))


@pytest.mark.parametrize("scaler", SCALERS, ids=repr)
@ONCE
@given(deals(60))
def test_the_deal_of_rows_over_nodes_does_not_matter(scaler: Any, deal: list[np.ndarray]) -> None:
    assert_as_pooled(scaler, HOLES, dealt(HOLES, deal))


@pytest.mark.parametrize("scaler", SCALERS, ids=repr)
def test_float32_rows_are_summed_in_float64(scaler: Any) -> None:
    rows = HOLES.astype(np.float32)
    assert_as_pooled(scaler, rows, even(rows, 3), rtol=1e-6)
    got, want = together(scaler, even(rows, 3)), pooled(scaler, rows.astype(np.float64))
    for name in ("mean_", "var_"):
        if getattr(want, name, None) is not None:
            assert_allclose(getattr(got, name), getattr(want, name), rtol=1e-9)


@pytest.mark.parametrize("scaler", FLAT, ids=repr)
@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_rows_equal_scikit_learn(scaler: Any, holes: bool, dtype: Any) -> None:
    rows = WIDE.copy()
    rows.data = rows.data - 0.5
    rows.data[:6] = np.nan if holes else 1.0
    rows = rows.astype(dtype)
    assert_as_pooled(scaler, rows, even(rows, 3), rtol=1e-9 if dtype is np.float64 else 1e-6)


def test_sparse_columns_far_from_zero_keep_their_digits() -> None:
    rows = sparse.csr_matrix(X)
    run = learn(StandardScaler(with_mean=False), even(rows, 3))
    assert len(run.history) == 2  # one more round, about the mean
    assert_allclose(run.model.result.var_, X.var(axis=0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [X, HOLES, sparse.csr_matrix(X)], ids=["whole", "holes", "sparse"])
def test_sample_weights_count(rows: Any, dtype: Any) -> None:
    rows, w = rows.astype(dtype), RNG.integers(0, 4, 60) + 0.25
    scaler = StandardScaler(with_mean=not sparse.issparse(rows))
    parts = [(part, None, v) for part, v in zip(even(rows, 3), even(w, 3), strict=True)]
    got, want = together(scaler, parts), pooled(scaler, rows, sample_weight=w)
    rtol = 1e-6 if sparse.issparse(rows) and dtype is np.float32 else 1e-9
    for name in ("mean_", "var_", "scale_", "n_samples_seen_"):
        assert_allclose(getattr(got, name), getattr(want, name), rtol=rtol, atol=1e-12, err_msg=name)


def test_weights_are_refused_where_scikit_learn_takes_none() -> None:
    with pytest.raises(DataError, match="node 'node0'.*takes no sample weights"):
        together(MinMaxScaler(), [(X, None, np.ones(60))])


@pytest.mark.parametrize("scaler", [StandardScaler(), VarianceThreshold()], ids=repr)
def test_a_center_that_is_far_off_costs_a_round_not_the_digits(scaler: Any) -> None:
    near, far = learn(scaler, even(X, 3)), learn(scaler, even(X, 3), center=np.zeros(5))
    assert len(near.history) == 1
    assert len(far.history) == 2
    assert_alike(far.model.result, pooled(scaler, X), 1e-9)


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler(), MaxAbsScaler()], ids=repr)
def test_a_column_without_any_value_is_named_and_becomes_nan(scaler: Any) -> None:
    table = pd.DataFrame({"age": [1.0, 2.0, 4.0], "dose": [np.nan] * 3})
    with pytest.warns(UserWarning, match="column 'dose': every value is missing at every node"):
        got = together(scaler, [table[:1], table[1:]])
    want = pooled(scaler, table)
    assert_allclose(got.scale_, want.scale_)
    assert np.isnan(got.scale_[1])


def test_names_come_along() -> None:
    table = pd.DataFrame({"age": [1.0, 2.0, 4.0], "dose": [3.0, 2.0, 9.0]})
    got = together(StandardScaler(), [table[:1], table[1:]])
    assert got.feature_names_in_.tolist() == ["age", "dose"]
    assert_allclose(got.transform(table), pooled(StandardScaler(), table).transform(table))


@pytest.mark.parametrize(
    ("scaler", "rows", "said"),
    [
        (
            StandardScaler(),
            np.array([[1.0], [np.inf]]),
            "node 'node0', round 0, column '0': at least 1 values are inf",
        ),
        (StandardScaler(), WIDE, "Cannot center sparse matrices: pass `with_mean=False`"),
        (MinMaxScaler(), WIDE, "MinMaxScaler does not support sparse input. Consider using MaxAbsScaler"),
        (MinMaxScaler((2, 1)), X, "Minimum of desired feature range must be smaller"),
        (StandardScaler(with_mean="yes"), X, "The 'with_mean' parameter of StandardScaler must be"),
        (VarianceThreshold(1e9), X, "no column varies by more than 1000000000.0 over 60 rows. Lower the"),
        (
            MaxAbsScaler(),
            pd.DataFrame({"n": [1.0], "t": ["x"]}),
            "column 't': it holds text, and MaxAbsScaler",
        ),
    ],
)
def test_bad_rows_and_parameters_are_refused_by_name(scaler: Any, rows: Any, said: str) -> None:
    with pytest.raises(DataError, match=said.replace("(", r"\(")):
        together(scaler, [rows])


def test_no_rows_at_all_is_an_error() -> None:
    run = learn(StandardScaler(), [X])
    with pytest.raises(DataError, match="no node has rows"):
        run.plan.outer.apply(run.point, Update(), False)


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler(), VarianceThreshold()], ids=repr)
def test_laws(scaler: Any) -> None:
    check_learner(FITS[type(scaler)](scaler), HOLES[:40])


@pytest.mark.wide
def test_fitted_objects_unpickle_and_transform_where_there_is_no_talkoot(tmp_path: Path) -> None:
    text = pd.DataFrame({"a": ["x", "y", "x", "z"], "b": [1.0, 2.0, np.nan, 1.0]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases: list[tuple[Any, Any]] = [(together(s, even(HOLES, 2)), HOLES) for s in SCALERS]
        cases += [
            (together(s, even(X, 2)), X) for s in (RobustScaler(), QuantileTransformer(), KBinsDiscretizer())
        ]
        cases += [(together(OneHotEncoder(max_categories=2), even(text, 2)), text)]
        cases += [(together(SimpleImputer(strategy="median", add_indicator=True), even(HOLES, 2)), HOLES)]
        file = tmp_path / "cases.pkl"
        file.write_bytes(pickle.dumps([(model, rows, model.transform(rows)) for model, rows in cases]))
    code = f"""
import pickle, sys, warnings
sys.modules["talkoot"] = None  # any import of it fails
import numpy as np
warnings.simplefilter("ignore")
dense = lambda out: out.toarray() if hasattr(out, "toarray") else out
for model, rows, out in pickle.loads(open({str(file)!r}, "rb").read()):
    np.testing.assert_array_equal(dense(model.transform(rows)), dense(out))
    model.get_feature_names_out()
print("fine")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "fine\n", done.stderr
