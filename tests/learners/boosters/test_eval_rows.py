"""XGBoost and LightGBM that stop early over nodes, against their own fits with the same rows held out."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone, is_classifier
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_early_stopping import held_out

import talkoot as tk
from examples import examples
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.data.schema import agree
from talkoot.formats.plans import plan_digest, plan_from_data, plan_to_data
from talkoot.learners import learner_for

xgboost = pytest.importorskip("xgboost", reason="XGBoost is not installed")
lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed")

RNG = np.random.default_rng(0)
X = np.round(RNG.normal(size=(400, 4)), 1)  # so that XGBoost's own bins are the values
Y = X[:, 0] + X[:, 1] ** 2 + RNG.normal(size=len(X))
LABELS, KINDS = (Y > 1).astype(int), np.digitize(Y, [0, 1.5])
W = RNG.uniform(0.2, 2, len(X))
XGB = {
    "n_estimators": 90,
    "max_depth": 3,
    "learning_rate": 0.4,
    "early_stopping_rounds": 4,
    "random_state": 3,
}
LIGHT = {
    "n_estimators": 90,
    "num_leaves": 6,
    "early_stopping_round": 4,
    "random_state": 3,
    "n_jobs": 1,
    "verbose": -1,
}
FITS: dict[str, tuple[Any, np.ndarray, np.ndarray | None]] = {
    "numbers": (xgboost.XGBRegressor(**XGB), Y, None),
    "numbers, weights": (xgboost.XGBRegressor(**XGB, eval_metric=["mae", "rmse"]), Y, W),
    "two classes": (xgboost.XGBClassifier(**XGB, eval_metric="auc", validation_fraction=0.3), LABELS, None),
    "three classes": (xgboost.XGBClassifier(**XGB, validation_fraction=50), KINDS, W),
    "to the end": (xgboost.XGBRegressor(**{**XGB, "n_estimators": 5}), Y, None),
    "LightGBM, numbers": (lightgbm.LGBMRegressor(**LIGHT, metric="l1"), Y, W),
    "LightGBM, two classes": (lightgbm.LGBMClassifier(**LIGHT, class_weight="balanced"), LABELS, None),
    "LightGBM, three classes": (lightgbm.LGBMClassifier(**LIGHT, validation_fraction=0.3), KINDS, W),
}

WHOLE = ("numbers, weights", "three classes", "LightGBM, three classes")  # at any number of nodes


def dealt(edges: Any, y: np.ndarray, w: np.ndarray | None) -> dict[str, Any]:
    """Consecutive rows for each node, so that the order of all rows is the same."""
    columns = [X, y] if w is None else [X, y, w]
    parts = np.split(np.arange(len(X)), edges)
    return {f"n{i:03d}": tuple(each[part] for each in columns) for i, part in enumerate(parts)}


def evenly(nodes: int) -> list[int]:
    return [len(X) * node // nodes for node in range(1, nodes)]


def fitted(estimator: Any, data: Any, seed: int = 0) -> Any:
    return tk.fit(clone(estimator), data, on=tk.Inline(), seed=seed).model


def own_fit(estimator: Any, y: np.ndarray, w: np.ndarray | None) -> Any:
    """Its own fit with the rows that scikit-learn's boosting over nodes holds out as eval_set."""
    params = estimator.get_params()
    fraction = params.pop("validation_fraction", 0.1)
    classifies = is_classifier(estimator)
    boosting = HistGradientBoostingClassifier if classifies else HistGradientBoostingRegressor
    out = held_out(boosting(random_state=params["random_state"], validation_fraction=fraction), y)
    light = type(estimator).__name__.startswith("LGBM")
    weights = {} if w is None else {"sample_weight": w[~out]}
    if w is not None:
        weights["eval_sample_weight" if light else "sample_weight_eval_set"] = [w[out]]
    more = {} if light else {"verbose": False}
    return type(estimator)(**params).fit(X[~out], y[~out], eval_set=[(X[out], y[out])], **weights, **more)


def scores(model: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = model.evals_result() if hasattr(model, "evals_result") else model.evals_result_
    return dict(*found.values())


def best(model: Any) -> int:
    return int(model.best_iteration if hasattr(model, "best_iteration") else model.best_iteration_)


def predicted(model: Any) -> np.ndarray:
    return np.asarray(model.predict_proba(X) if is_classifier(model) else model.predict(X))


@pytest.mark.parametrize(("name", "nodes"), [*product(FITS, [3]), *product(WHOLE, [1, 2, 7])])
@pytest.mark.filterwarnings("ignore::lightgbm.basic.LGBMDeprecationWarning")
def test_the_model_is_that_of_its_own_fit_with_the_same_rows_held_out(name: str, nodes: int) -> None:
    estimator, y, w = FITS[name]
    model, want = fitted(estimator, dealt(evenly(nodes), y, w)), own_fit(estimator, y, w)
    assert best(model) == best(want)
    assert scores(model).keys() == scores(want).keys()
    for metric, history in scores(want).items():
        np.testing.assert_allclose(scores(model)[metric], history, rtol=1e-6)
    np.testing.assert_allclose(predicted(model), predicted(want), rtol=1e-6, atol=1e-6)


@examples(20)
@given(st.lists(st.integers(0, 400), max_size=6), st.sampled_from(["numbers", "LightGBM, three classes"]))
def test_where_rows_are_divided_never_matters(edges: list[int], name: str) -> None:
    estimator, y, w = FITS[name]
    model = fitted(estimator, dealt(sorted(edges), y, w))
    want = fitted(estimator, dealt([], y, w))
    assert best(model) == best(want)
    np.testing.assert_allclose(predicted(model), predicted(want), rtol=1e-6, atol=1e-6)


def test_a_node_whose_only_row_is_held_out() -> None:
    estimator, y, w = FITS["numbers"]
    model = fitted(estimator, dealt(range(1, 60), y, w))
    np.testing.assert_array_equal(predicted(model), predicted(fitted(estimator, dealt([], y, w))))


def test_rows_follow_from_the_seed_of_the_fit() -> None:
    estimator = clone(FITS["numbers"][0]).set_params(random_state=None)
    data = dealt(evenly(3), Y, None)
    same, again, other = (predicted(fitted(estimator, data, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(same, again)
    assert not np.array_equal(same, other)


def test_the_fraction_is_a_part_of_the_plan() -> None:
    plans = [
        Plan(learner_for(xgboost.XGBRegressor(**XGB, validation_fraction=f)), seed=0) for f in (0.1, 0.2)
    ]
    assert len({plan_digest(plan) for plan in plans}) == 2
    again: Any = plan_from_data(plan_to_data(plans[1])).learner
    assert again.estimator.get_params()["validation_fraction"] == 0.2


@pytest.mark.parametrize("name", ["two classes", "LightGBM, two classes"])
def test_a_file_keeps_the_best_iteration(name: str, tmp_path: Path) -> None:
    estimator, y, w = FITS[name]
    fit = tk.fit(clone(estimator), dealt([], y, w), on=tk.Inline())
    path = fit.save(tmp_path / "model.talkoot")
    names = ["collections.OrderedDict", "lightgbm.basic.Booster", "lightgbm.sklearn.LGBMClassifier"]
    names += ["xgboost.core.Booster", "xgboost.sklearn.XGBClassifier"]
    model = tk.load(path, trusted=names)
    assert best(model) == best(fit.model)
    np.testing.assert_array_equal(predicted(model), predicted(fit.model))


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (xgboost.XGBRegressor(early_stopping_rounds=0), "stop at once"),
        (xgboost.XGBRegressor(validation_fraction=0.1), "without early stopping"),
        (xgboost.XGBRegressor(**XGB, eval_metric=np.hypot), "it is a function"),
        (xgboost.XGBRanker(early_stopping_rounds=3), "queries are not held out"),
        (lightgbm.LGBMRegressor(validation_fraction=0.1), "without early stopping"),
        (lightgbm.LGBMRegressor(**LIGHT, boosting_type="dart"), "with dart"),
        (lightgbm.LGBMRanker(early_stopping_rounds=3), "queries are not held out"),
    ],
    ids=["0", "no stopping", "function", "ranker", "no stopping, LightGBM", "dart", "ranker, LightGBM"],
)
def test_parameters_that_are_refused(estimator: Any, words: str) -> None:
    with pytest.raises(tk.NotDistributable, match=words):
        learner_for(estimator)


@pytest.mark.parametrize(
    ("estimator", "y", "words"),
    [
        (xgboost.XGBRegressor(**XGB, validation_fraction=1.5), Y, "there are too few"),
        (xgboost.XGBClassifier(**XGB), np.r_[2, LABELS[1:]], "one row of 2"),
        (xgboost.XGBClassifier(**XGB, validation_fraction=2), KINDS, "leaves 398 rows to learn from and 2"),
        (xgboost.XGBRegressor(**XGB, eval_metric="nonsense"), Y, "metric function nonsense"),
        (lightgbm.LGBMRegressor(**LIGHT, validation_fraction=0), Y, "there are too few"),
        (lightgbm.LGBMRegressor(**LIGHT, metric="nonsense"), Y, "eval metric is required"),
    ],
    ids=["fraction", "one row", "two rows", "metric", "nothing", "metric, LightGBM"],
)
def test_rows_that_cannot_be_held_out(estimator: Any, y: np.ndarray, words: str) -> None:
    with pytest.raises(tk.DataError, match=words):
        tk.fit(estimator, X, y, on=tk.Inline())


@pytest.mark.parametrize("name", ["numbers", "LightGBM, numbers"])
def test_rows_held_out_weigh_something(name: str) -> None:
    estimator, y, _ = FITS[name]
    out = held_out(HistGradientBoostingRegressor(random_state=3), y)
    with pytest.raises(tk.DataError, match="held out for validation add up to 0"):
        fitted(estimator, dealt(evenly(2), y, 1.0 - out))


def test_where_it_is_not_there_yet() -> None:
    estimator, y, _ = FITS["numbers"]
    data = dealt(evenly(4), y, None)
    with pytest.raises(tk.NotDistributable, match=r"behind tk\.fixed\(\).*held out"):
        tk.fit(clone(estimator), data, chain=[tk.fixed()], on=tk.Inline())
    for taker in (tk.verify, tk.compare):
        for wrapped in (clone(estimator), make_pipeline(StandardScaler(), clone(estimator))):
            with pytest.raises(tk.PlanError, match="its own fit needs rows that are held out"):
                taker(wrapped, data)
    schema, bound = agree(tk.shards(data), tk.Inline())
    with pytest.raises(tk.PlanError, match="stops early in one process"):
        run(Plan(learner_for(estimator)), bound, tk.Local(2), schema=schema)
