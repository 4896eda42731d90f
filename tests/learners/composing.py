"""Rows, compositions, and what it takes for two fitted ones to be the same."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from pooling import assert_alike
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline, make_union
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
)

RNG = np.random.default_rng(0)
N = 240
X = RNG.normal(size=(N, 5)) * [1, 2, 3, 4, 5] + [0, 1, 10, -3, 2]
X[:, 4] = RNG.integers(0, 4, N)
Y = X[:, 0] - X[:, 1] + X[:, 4] + RNG.normal(size=N)
HOLES = np.where(RNG.random(X.shape) < 0.1, np.nan, X)
WIDE: Any = sparse.random_array((N, 8), density=0.2, rng=RNG, format="csr")
TABLE = pd.DataFrame(
    {
        "age": RNG.normal(50, 10, N),
        "sex": RNG.choice(["f", "m"], N),
        "bmi": RNG.normal(25, 3, N).round(1),
        "city": RNG.choice(["oulu", "turku", "pori"], N, p=[0.6, 0.3, 0.1]),
        "visits": RNG.integers(0, 4, N),
    }
)
TABLE.loc[RNG.choice(N, 25), "age"] = np.nan
TABLE.loc[RNG.choice(N, 25), "city"] = None
SICK = np.where((TABLE.bmi + 2 * (TABLE.sex == "f") + RNG.normal(size=N)) > 26, "yes", "no")


def classic(imputer: str = "median") -> ColumnTransformer:
    number = Pipeline([("fill", SimpleImputer(strategy=imputer)), ("scale", StandardScaler())])
    text = Pipeline(
        [
            ("fill", SimpleImputer(strategy="most_frequent")),
            ("code", OneHotEncoder(handle_unknown="ignore")),
        ]
    )
    return ColumnTransformer([("num", number, ["age", "bmi"]), ("cat", text, ["sex", "city"])])


def take(rows: Any, index: Any) -> Any:
    return rows.iloc[index] if isinstance(rows, pd.DataFrame) else rows[index]


def nodes(rows: Any, y: Any, count: int) -> dict[str, Any]:
    """Unequal nodes, and an empty one."""
    edges = [0, *np.sort(np.random.default_rng(count).choice(N, count - 1, replace=False)), N, N]
    parts = [slice(a, b) for a, b in pairwise(edges)]
    return {f"n{i}": take(rows, p) if y is None else (take(rows, p), y[p]) for i, p in enumerate(parts)}


def leaves(fitted: Any, path: str = "") -> dict[str, Any]:
    """The parts of a fitted composition that hold no other, by path."""
    match fitted:
        case Pipeline():
            listed = fitted.steps
        case FeatureUnion():
            listed = fitted.transformer_list
        case ColumnTransformer():
            listed = [(name, part) for name, part, _ in fitted.transformers_]
        case _:
            return {path: fitted}
    return {k: v for name, part in listed for k, v in leaves(part, f"{path}/{name}").items()}


def assert_composed_alike(got: Any, want: Any, rtol: float) -> None:
    """Every fitted attribute of every part."""
    ours, theirs = leaves(got), leaves(want)
    assert ours.keys() == theirs.keys()
    for path, leaf in theirs.items():
        if isinstance(leaf, str) or leaf is None:
            assert ours[path] == leaf
            continue
        names = {name for name in vars(leaf) if name.endswith("_") and not name.startswith("_")}
        assert names == {name for name in vars(ours[path]) if name.endswith("_") and not name.startswith("_")}
        assert list(getattr(ours[path], "classes_", ())) == list(getattr(leaf, "classes_", ()))
        for name in names - {"n_iter_", "classes_"}:
            assert_alike(getattr(ours[path], name), getattr(leaf, name), rtol, f"{path}.{name}", atol=rtol)


def pooled(estimator: Any, rows: Any, y: Any = None, **fit: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return clone(estimator).fit(rows, y, **fit)


def names_out(fitted: Any) -> list[str] | None:
    try:
        return list(fitted.get_feature_names_out())
    except AttributeError:
        return None


def dense(out: Any) -> Any:
    return out.toarray() if hasattr(out, "toarray") else out


NUMBERS = [
    make_pipeline(StandardScaler(), PCA(3), Ridge()),
    make_pipeline(PolynomialFeatures(2), StandardScaler(), Ridge()),
    make_pipeline(Normalizer(), "passthrough", Ridge()),
    make_pipeline(FunctionTransformer(np.arctan), MinMaxScaler(), Ridge(), memory="unused"),
    make_pipeline(
        Pipeline([("a", StandardScaler()), ("b", MinMaxScaler())]), Binarizer(threshold=0.5), Ridge()
    ),
    make_pipeline(make_union(PCA(2), StandardScaler(), "passthrough"), Ridge()),
    FeatureUnion([("a", PCA(2)), ("no", "drop"), ("b", MinMaxScaler())], transformer_weights={"b": 10.0}),
    ColumnTransformer([("a", StandardScaler(), [0, 2]), ("b", "passthrough", [-1]), ("c", "drop", [1])]),
    ColumnTransformer([("a", StandardScaler(), slice(0, 2))], remainder=MinMaxScaler()),
    ColumnTransformer(
        [("a", PCA(1), [True, False, True, False, True]), ("none", PCA(2), [])],
        remainder="passthrough",
        transformer_weights={"a": 3.0},
    ),
    make_pipeline(
        ColumnTransformer([("bin", KBinsDiscretizer(3), [0, 1])], remainder="passthrough"), Ridge()
    ),
    make_pipeline(
        ColumnTransformer([("one", OneHotEncoder(), [4]), ("poly", PolynomialFeatures(), [0, 1])]), Ridge()
    ),
    make_pipeline(
        ColumnTransformer([("in", ColumnTransformer([("deep", StandardScaler(), [1])]), [3, 2])]), Ridge()
    ),
    make_pipeline(PolynomialFeatures(2), Ridge()),
]
MIXED = [
    ColumnTransformer(
        [("num", SimpleImputer(add_indicator=True), ["age"]), ("cat", OneHotEncoder(), ["sex"])],
        remainder="drop",
    ),
    classic(),
    make_pipeline(classic("mean"), LinearDiscriminantAnalysis()),
    make_pipeline(classic(), LogisticRegression(tol=1e-10, max_iter=1000)),
    make_pipeline(
        ColumnTransformer(
            [
                (
                    "text",
                    OneHotEncoder(sparse_output=False, drop="first"),
                    make_column_selector(dtype_include=object),
                ),
                ("number", SimpleImputer(), make_column_selector(dtype_include="number")),
            ]
        ),
        StandardScaler(),
        LinearDiscriminantAnalysis(),
    ),
    ColumnTransformer([("keep", "passthrough", ["sex", "age"])]),
    make_pipeline(
        ColumnTransformer([("keep", "passthrough", ["sex", "bmi", "city"])]),
        SimpleImputer(strategy="most_frequent"),
        OneHotEncoder(),
    ),
    make_pipeline(
        FunctionTransformer(lambda table: table[["sex", "city"]].replace("oulu", np.nan)),
        SimpleImputer(strategy="most_frequent"),
        OrdinalEncoder(),
    ),
    ColumnTransformer([("hash", HashingVectorizer(n_features=16), "sex"), ("n", "passthrough", ["bmi"])]),
    ColumnTransformer(
        [("low", FunctionTransformer(lambda t: t.isna(), feature_names_out="one-to-one"), ["city"])],
        remainder="passthrough",
    ),
]
