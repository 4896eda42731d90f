"""XGBoost's trees of merged histograms, against XGBoost on the pooled rows in the same bins."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from boosted import dealt, table
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import talkoot as tk
from documented import program
from examples import examples
from talkoot.core.plan import Plan
from talkoot.formats.plans import plan_digest, plan_from_data, plan_to_bytes, plan_to_data
from talkoot.learners.xgboost.booster import below
from talkoot.learners.xgboost.cuts import reference

xgboost = pytest.importorskip("xgboost", reason="XGBoost is not installed")
Classifier: Any = xgboost.XGBClassifier
Regressor: Any = xgboost.XGBRegressor
DATA = Path(__file__).parents[4] / "shared" / "data"

X, Y = table(900)
LABELS = (Y > 0.5).astype(int)
KINDS = np.digitize(Y, [-1, 1])
COUNTS = np.round(np.exp(Y / 3))
W = np.random.default_rng(1).uniform(0.2, 3, len(Y))
FIXED = [tk.fixed()]
CASES: dict[str, tuple[Any, np.ndarray, np.ndarray | None]] = {
    "squares": (Regressor(n_estimators=4), Y, None),
    "squares, weights": (Regressor(n_estimators=3), Y, W),
    "penalties": (
        Regressor(n_estimators=4, reg_alpha=3, reg_lambda=2.5, gamma=1.5, min_child_weight=7),
        Y,
        None,
    ),
    "no penalty": (Regressor(n_estimators=3, reg_lambda=0, min_child_weight=0, max_depth=3), Y, None),
    "two classes": (Classifier(n_estimators=4), LABELS, None),
    "two classes, weights": (Classifier(n_estimators=4, scale_pos_weight=3), LABELS, W),
    "three classes": (Classifier(n_estimators=4, max_depth=4), KINDS, None),
    "three classes, weights": (Classifier(n_estimators=4, gamma=0.3, objective="multi:softmax"), KINDS, W),
    "poisson": (Regressor(n_estimators=4, objective="count:poisson"), COUNTS, None),
    "gamma": (Regressor(n_estimators=4, objective="reg:gamma", max_delta_step=0.5), np.exp(Y / 3), W),
    "leaves": (
        Regressor(n_estimators=4, grow_policy="lossguide", max_leaves=12, max_depth=0),
        Y,
        None,
    ),
    "directions": (Regressor(n_estimators=4, monotone_constraints=(1, -1, 0, 1, -1)), Y, W),
    "directions, steps": (
        Classifier(n_estimators=4, monotone_constraints="(1,-1,0,1)", max_delta_step=1),
        LABELS,
        None,
    ),
    "groups": (Regressor(n_estimators=4, interaction_constraints="[[0,3],[1,2]]"), Y, None),
    "base score": (Classifier(n_estimators=4, base_score=0.3, learning_rate=0.1), LABELS, None),
    "base scores": (Classifier(n_estimators=3, base_score=0.3), KINDS, None),
    "base rate": (
        Regressor(n_estimators=4, base_score=2.0, objective="count:poisson", max_delta_step=2),
        COUNTS,
        None,
    ),
}
SHAPE = ("split_indices", "default_left", "left_children", "right_children", "parents")


def rows(y: np.ndarray, w: np.ndarray | None = None) -> list[np.ndarray]:
    return [X, y] if w is None else [X, y, w]


def merged(estimator: Any, data: Any, *, chain: Any = FIXED, on: Any = None) -> Any:
    return tk.fit(clone(estimator), data, chain=chain, on=on or tk.Inline()).model


def model_of(model: Any) -> dict[str, Any]:
    booster = model if isinstance(model, xgboost.Booster) else model.get_booster()
    found: dict[str, Any] = json.loads(bytes(booster.save_raw("json")))["learner"]
    return found


def trees(model: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = model_of(model)["gradient_booster"]["model"]["trees"]
    return found


def margins(model: Any, X: Any) -> np.ndarray:
    booster = model if isinstance(model, xgboost.Booster) else model.get_booster()
    return np.asarray(booster.inplace_predict(X, predict_type="margin"))


def agreed_cuts(X: np.ndarray, w: np.ndarray | None) -> list[np.ndarray]:
    """Where bins begin that nodes agree on, between numbers of XGBoost's precision below and above all."""
    given = [X.astype(np.float32), np.zeros(len(X)), *([] if w is None else [w.astype(np.float32)])]
    found = merged(HistGradientBoostingRegressor(max_iter=1), {"one": tuple(given)})._bin_mapper
    low, high = np.float32(-3e38), np.float32(3e38)
    return [np.array([low, *below(edges), high]) for edges in found.bin_thresholds_]


def pooled(estimator: Any, y: np.ndarray, w: np.ndarray | None, cuts: list[np.ndarray]) -> Any:
    """What XGBoost itself learns from all rows in these bins."""
    params = estimator.get_xgb_params() | {"nthread": 1}
    if is_classifier(estimator) and len(np.unique(y)) > 2:
        params |= {"num_class": len(np.unique(y))}
        params["objective"] = params["objective"].replace("binary:logistic", "multi:softprob")
    matrix = xgboost.QuantileDMatrix(X, y, weight=w, max_bin=256, ref=reference(cuts, None, 256))
    return xgboost.train(params, matrix, estimator.get_num_boosting_rounds())


def assert_same_as_xgboost(model: Any, want: Any) -> None:
    """The same splits where XGBoost has them, and predictions as near as single precision is."""
    ours, theirs = trees(model), trees(want)
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        for name in SHAPE:
            assert one[name] == other[name], name
        inner = np.array(one["left_children"]) >= 0
        found, wanted = (np.array(each["split_conditions"])[inner] for each in (one, other))
        outside = np.abs(wanted) >= 2.9e38  # all values on one side: XGBoost knows the greatest value
        np.testing.assert_array_equal(found[~outside], wanted[~outside])
        assert (np.sign(found) == np.sign(wanted))[outside].all()
        np.testing.assert_allclose(one["sum_hessian"], other["sum_hessian"], rtol=1e-4)
        np.testing.assert_allclose(one["loss_changes"], other["loss_changes"], rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(margins(model, X), margins(want, X), rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_trees_are_xgboosts_own_in_the_same_bins(case: str) -> None:
    estimator, y, w = CASES[case]
    sketch = None if w is None else w * np.where(y == 1, estimator.scale_pos_weight or 1, 1)
    model = merged(estimator, dealt(3, *rows(y, w)))
    assert type(model) is type(estimator)
    assert_same_as_xgboost(model, pooled(estimator, y, w, agreed_cuts(X, sketch)))


@examples(16)
@given(data=st.data(), case=st.sampled_from(["squares, weights", "two classes", "three classes", "leaves"]))
def test_which_node_has_which_rows_never_matters(data: st.DataObject, case: str) -> None:
    estimator, y, w = CASES[case]
    small = clone(estimator).set_params(n_estimators=2, max_depth=3)
    columns = [each[:120] for each in rows(y, w)]
    of = np.array(data.draw(st.lists(st.integers(0, 6), min_size=120, max_size=120)))
    spread = {f"n{k}": tuple(each[of == k] for each in columns) for k in range(7)}
    assert model_of(merged(small, spread)) == model_of(merged(small, {"one": tuple(columns)}))


@pytest.mark.parametrize("case", ["squares", "two classes, weights", "three classes"])
def test_masks_and_numbers_of_nodes_change_no_bit(case: str) -> None:
    estimator, y, w = CASES[case]
    small = clone(estimator).set_params(n_estimators=2, max_depth=4)
    one = model_of(merged(small, {"one": tuple(rows(y, w))}))
    for nodes in (2, 7):
        assert model_of(merged(small, dealt(nodes, *rows(y, w)))) == one
    three = {name: part for name, part in dealt(3, *rows(y, w)).items() if len(part[0])}
    assert model_of(merged(small, three, chain=[tk.fixed(), tk.mask()])) == one


@pytest.mark.wide
def test_processes_and_bytes_change_no_bit() -> None:
    estimator, y, _ = CASES["two classes"]
    small = clone(estimator).set_params(n_estimators=2, max_depth=2)
    want = model_of(merged(small, {"one": (X, y)}))
    for on in (tk.Local(2), program("docs/extending.md").Bytes({})):
        assert model_of(merged(small, dealt(3, X, y), on=on)) == want


def test_the_model_is_as_fit_leaves_it(tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=list("abcde"))
    estimator = Classifier(n_estimators=4, max_depth=3)
    model = tk.fit(estimator, frame, LABELS, nodes=3, chain=FIXED, on=tk.Inline()).model
    plain = clone(estimator).fit(frame, LABELS)
    assert model.get_params() == estimator.get_params()
    assert model.get_booster().feature_names == list("abcde")
    assert model.classes_.tolist() == [0, 1]
    assert model.feature_importances_.shape == (5,)
    assert model_of(model)["learner_model_param"] == model_of(plain)["learner_model_param"]
    assert model_of(model)["objective"] == model_of(plain)["objective"]
    assert len(model.get_booster().get_dump()) == 4
    reasons = model.get_booster().predict(xgboost.DMatrix(frame), pred_contribs=True)
    np.testing.assert_allclose(reasons.sum(axis=1), margins(model, frame), atol=1e-5)
    model.save_model(tmp_path / "model.ubj")
    again = Classifier()
    again.load_model(tmp_path / "model.ubj")
    np.testing.assert_array_equal(again.predict_proba(frame), model.predict_proba(frame))
    assert model_of(again) == model_of(model)


def test_a_plan_is_named_by_its_estimator_and_comes_back() -> None:
    plan = Plan(tk.learner_for(Classifier(n_estimators=4)), chain=[tk.fixed(), tk.mask()])
    again = plan_from_data(plan_to_data(plan))
    assert type(again.learner) is type(plan.learner) is not type(tk.learner_for(Classifier()))
    assert plan_digest(again) == plan_digest(plan)


def test_libraries_are_imported_by_those_who_use_them() -> None:
    plan = plan_to_bytes(Plan(tk.learner_for(Classifier(n_estimators=4)), chain=FIXED))
    code = """if True:
        import sys
        import talkoot.learners
        talkoot.learners.catalogue()
        print([name in sys.modules for name in ("xgboost", "lightgbm")])
        from talkoot.core.errors import DataError
        from talkoot.formats.plans import plan_from_bytes
        given = sys.stdin.buffer.read()
        sys.modules["xgboost"] = None
        try:
            plan_from_bytes(given)
        except DataError as error:
            print(error)
        del sys.modules["xgboost"]
        print(plan_from_bytes(given).learner.name)
    """
    found = subprocess.run([sys.executable, "-c", code], input=plan, capture_output=True, check=True)
    imported, refused, name = found.stdout.decode().splitlines()
    assert imported == "[False, False]"
    assert "needs xgboost, which is not installed here. pip install 'talkoot[xgboost]'" in refused
    assert name == "XGBClassifier"


def test_in_a_pipeline() -> None:
    X, y = table(300, missing=0)
    piped = make_pipeline(StandardScaler(), Regressor(n_estimators=3))
    three = {name: part for name, part in dealt(3, X, y).items() if len(part[0])}
    masked, plain = (merged(piped, three, chain=chain) for chain in ([tk.fixed(), tk.mask()], FIXED))
    assert model_of(masked[-1]) == model_of(plain[-1])
    assert np.corrcoef(masked.predict(X), y)[0, 1] > 0.8


def test_rows_are_read_in_single_precision() -> None:
    """Doubles that XGBoost cannot tell apart are on one side of a split, in training as in prediction."""
    rng = np.random.default_rng(0)
    near = np.repeat([1.0, 1.0 + 1e-9, 1.0 + 1e-7, 1.0 + 3e-7], 100)[:, None]
    y = np.repeat([0.0, 5.0, 10.0, 20.0], 100) + rng.normal(size=400) / 10
    model = merged(Regressor(n_estimators=1, learning_rate=1, reg_lambda=0), {"one": (near, y)})
    want = np.repeat([2.5, 10.0, 20.0], [200, 100, 100])
    np.testing.assert_allclose(model.predict(near), want, atol=0.1)


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (Regressor(objective="reg:tweedie"), "objective='reg:tweedie'.*behind tk.fixed.*reg:squarederror"),
        (Regressor(objective="reg:logistic"), "objective='reg:logistic'"),
        (Classifier(objective="binary:hinge"), "objective='binary:hinge'.*Take one of binary:logistic"),
        (Regressor(max_bin=1024), "max_bin=1024.*Take max_bin=256"),
        (Regressor(num_parallel_tree=3), "num_parallel_tree=3"),
        (Regressor(max_leaves=9), 'max_leaves=9.*Take grow_policy="lossguide"'),
        (Regressor(subsample=0.5), "subsample=0.5.*draws"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_what_is_refused_has_a_cure(estimator: Any, words: str) -> None:
    with pytest.raises(tk.NotDistributable, match=words):
        merged(estimator, dealt(3, X, LABELS))


@pytest.mark.parametrize(
    ("estimator", "y", "words"),
    [
        (Classifier(), np.array(["no", "yes"])[LABELS], "needs the classes 0 to 1.*LabelEncoder"),
        (Regressor(objective="count:poisson"), Y, "target of at least 0"),
        (Regressor(), Y * 1e20, "gains of splits are beyond single precision.*Scale the target"),
        (Regressor(max_depth=-1), Y, "max_depth should be greater"),
        (Classifier(base_score=2.0), LABELS, "base_score"),
        (Regressor(monotone_constraints={"f9": 1}), Y, "Constrained features"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_data_that_cannot_be_learned_from(estimator: Any, y: Any, words: str) -> None:
    with pytest.raises(tk.DataError, match=words):
        merged(estimator, dealt(3, X, y))


def credit() -> tuple[np.ndarray, np.ndarray]:
    path = DATA / "uci_credit_default" / "UCI_Credit_Card.csv.gz"
    if not path.exists():
        pytest.skip("the table is not there")
    frame = pd.read_csv(path).drop(columns="ID")
    return frame.iloc[:, :-1].to_numpy(float), frame.iloc[:, -1].to_numpy()


def cancer() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_breast_cancer(return_X_y=True)
    return np.asarray(X), np.asarray(y)


@pytest.mark.parametrize(("load", "near"), [(cancer, 0.005), (credit, 0.002)], ids=["cancer", "credit"])
def test_edges_from_counts_learn_as_well(load: Any, near: float) -> None:
    """In the small table .001 of the AUC is a few pairs of rows."""
    X, y = load()
    test = np.arange(len(y)) % 3 == 0
    estimator = Classifier(n_estimators=20, max_depth=4, learning_rate=0.25, n_jobs=1)
    ours = merged(estimator, dealt(3, X[~test], y[~test]))
    theirs = clone(estimator).fit(X[~test], y[~test])
    found, wanted = (roc_auc_score(y[test], m.predict_proba(X[test])[:, 1]) for m in (ours, theirs))
    assert found > wanted - near
