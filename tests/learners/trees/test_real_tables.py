"""Whole gradients cost no quality on real tables: AUC beside scikit-learn's boosting in floats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

import talkoot as tk

DATA = Path(__file__).parents[4] / "shared" / "data"


def breast_cancer() -> pd.DataFrame:
    return pd.DataFrame(load_breast_cancer(as_frame=True).frame)


def pima() -> pd.DataFrame:
    return pd.read_csv(DATA / "pima" / "diabetes.csv")


def german_credit() -> pd.DataFrame:
    frame = pd.read_csv(DATA / "german_credit" / "germancredit.csv")
    return frame.apply(lambda column: pd.factorize(column, sort=True)[0])


def heart4() -> pd.DataFrame:
    files = sorted((DATA / "heart4").glob("*.csv"))
    if not files:
        raise FileNotFoundError(DATA / "heart4")
    frame = pd.concat([pd.read_csv(file, na_values="?") for file in files])
    return frame.assign(**{str(frame.columns[-1]): frame.iloc[:, -1] > 0})


def uci_credit_default() -> pd.DataFrame:
    return pd.read_csv(DATA / "uci_credit_default" / "UCI_Credit_Card.csv.gz").drop(columns="ID")


def covtype() -> pd.DataFrame:
    frame = pd.read_csv(DATA / "covtype" / "covtype.csv.xz")
    return frame[frame.iloc[:, -1].isin([1, 2])].sample(50_000, random_state=0)


TABLES: tuple[Callable[[], pd.DataFrame], ...] = (
    breast_cancer,
    pima,
    german_credit,
    heart4,
    uci_credit_default,
    covtype,
)


@pytest.mark.slow
@pytest.mark.parametrize("load", TABLES, ids=lambda load: load.__name__)
def test_the_ranking_is_as_good_as_that_of_floats(load: Callable[[], pd.DataFrame]) -> None:
    try:
        frame = load()
    except FileNotFoundError as error:
        pytest.skip(f"{error.filename or error} is not there")
    X, y = frame.iloc[:, :-1].to_numpy(float), frame.iloc[:, -1].to_numpy()
    y = (y == np.unique(y)[-1]).astype(int)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)
    estimator = HistGradientBoostingClassifier(max_iter=60, early_stopping=False)
    want = clone(estimator).fit(X, y)
    got = tk.fit(estimator, X, y, nodes=3, on=tk.Inline()).model
    ours, theirs = (roc_auc_score(y_test, model.predict_proba(X_test)[:, 1]) for model in (got, want))
    print(f"{load.__name__}: AUC {ours:.5f}, scikit-learn {theirs:.5f}")
    assert abs(ours - theirs) < 1e-3
