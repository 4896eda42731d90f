"""What is wrong with a composition, or with the rows it is given, is said by part and column."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from composing import HOLES, TABLE, X, nodes
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import Ridge
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline, make_union
from sklearn.preprocessing import (
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC
from sklearn.utils import Tags

import talkoot as tk
from talkoot.learners import learner_for


class Failing(BaseEstimator):  # type: ignore[misc]
    """A stateless transformer that cannot take a table of one row."""

    def fit(self, X: Any, y: Any = None) -> Failing:
        return self

    def transform(self, X: Any) -> Any:
        raise RuntimeError("no such rows")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


BAD_PLANS = [
    (make_pipeline(StandardScaler(), SVC()), r"in 'svc': SVC cannot be distributed.*LinearSVC\(\)"),
    (make_pipeline(Ridge(), StandardScaler()), r"in 'ridge': Ridge does not transform rows.*last step"),
    (make_pipeline(make_union(PCA(), SVC()), Ridge()), "in 'featureunion': in 'svc'"),
    (Pipeline([("a", StandardScaler()), ("a", Ridge())]), "'a' cannot name a part"),
    (Pipeline([]), "nothing to fit"),
    (FeatureUnion([("a", "drop")]), "nothing to fit"),
    (Pipeline([("a", Ridge())], transform_input=["w"]), "transform_input"),
    (ColumnTransformer([("a", StandardScaler(), "age")]), r"reads a table, not a column. Write \['age'\]"),
    (
        ColumnTransformer([("a", HashingVectorizer(), ["sex"])]),
        "one column of text. Name it without brackets",
    ),
    (make_pipeline(LinearSVC(loss="hinge")), r"in 'linearsvc': LinearSVC\(loss='hinge'\)"),
]


@pytest.mark.parametrize(("estimator", "words"), BAD_PLANS, ids=[words[:30] for _, words in BAD_PLANS])
def test_what_cannot_be_composed_is_refused_before_any_row_is_read(estimator: Any, words: str) -> None:
    with pytest.raises(tk.TalkootError, match=words):
        learner_for(estimator)


BAD_DATA = [
    (ColumnTransformer([("a", StandardScaler(), ["agee"])]), TABLE, "column 'agee'.*Did you mean 'age'"),
    (ColumnTransformer([("a", StandardScaler(), ["zzz"])]), TABLE, "columns are age, sex"),
    (ColumnTransformer([("a", StandardScaler(), [7])]), X, "5 columns without names.*0 to 4"),
    (ColumnTransformer([("a", StandardScaler(), ["age"])]), X, "5 columns without names"),
    (ColumnTransformer([("a", StandardScaler(), ["sex"])]), TABLE, "column 'sex': in 'a': it holds text"),
    (ColumnTransformer([("a", StandardScaler(), [])]), TABLE, "reads any column"),
    (
        ColumnTransformer([("a", "passthrough", lambda table: [k for k in table if table[k].is_unique])]),
        TABLE,
        "column 'age': <lambda>.* picks columns by their values",
    ),
    (ColumnTransformer([("a", "passthrough", make_column_selector("a"))]), X, "cannot pick columns"),
    (make_pipeline(StandardScaler(), PCA()), HOLES, r"node 'n0', round 1, column 'x0': in 'pca'"),
    (
        make_pipeline(ColumnTransformer([("num", StandardScaler(), ["bmi", "age"])]), PCA()),
        TABLE,
        "column 'num__age': in 'pca'",
    ),
    (
        make_pipeline(ColumnTransformer([("num", PCA(), [1, 3])])),
        HOLES,
        "column '1': in 'columntransformer': in 'num'",
    ),
    (make_pipeline(HashingVectorizer(), StandardScaler()), TABLE, "reads one column of text"),
    (
        make_pipeline(HashingVectorizer(n_features=4), TruncatedSVD(2)),
        pd.DataFrame({"text": ["rain"] * 9 + [None] + ["sun"] * 9}),
        r"node 'n\d', round 0, column 'text': .*some texts are missing.*fillna",
    ),
    (
        make_pipeline(Failing(), StandardScaler()),
        X,
        "node 'n0', round 0: Traceback(?s:.*)no such rows",
    ),
]


def test_columns_may_be_called_by_numbers() -> None:
    rows = pd.DataFrame(HOLES, columns=list("43210"))
    union = ColumnTransformer([("a", PCA(), ["1"])])
    with pytest.raises(tk.DataError, match="column '1': in 'a'"):
        tk.fit(union, rows)


@pytest.mark.parametrize(("estimator", "rows", "words"), BAD_DATA, ids=[w[:30] for *_, w in BAD_DATA])
def test_what_is_wrong_with_the_rows_is_said_by_part_and_column(
    estimator: Any, rows: Any, words: str
) -> None:
    with pytest.raises(tk.TalkootError, match=words):
        tk.fit(estimator, nodes(rows, None, 2))
