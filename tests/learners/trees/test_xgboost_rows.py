"""How XGBoost over nodes reads rows, and which thread grows its trees."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from boosted import dealt, table
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import talkoot as tk
from talkoot.learners.xgboost.group import Boosters

xgboost = pytest.importorskip("xgboost", reason="XGBoost is not installed")

X, Y = table(300)
SMALL = xgboost.XGBRegressor(n_estimators=3, max_depth=2)


@pytest.mark.parametrize(
    "estimator", [SMALL, make_pipeline(StandardScaler(), SMALL)], ids=["alone", "pipeline"]
)
def test_trees_grow_on_the_thread_of_the_caller(estimator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found, train = [], Boosters.train

    def noting(*args: Any) -> Any:
        found.append(threading.current_thread())
        return train(*args)

    monkeypatch.setattr(Boosters, "train", noting)
    tk.fit(estimator, dealt(3, X, Y), on=tk.Local(2))
    assert found == [threading.current_thread()]
