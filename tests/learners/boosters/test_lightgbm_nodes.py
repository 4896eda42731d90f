"""LightGBM over nodes, against LightGBM's own fit of the pooled rows."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from boosted import dealt, table
from disturbing import Disturbed, hang, kill
from hypothesis import given
from hypothesis import strategies as st
from lightgbm_workers import classifier, in_workers, regressor
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import talkoot as tk
from examples import examples
from patience import patient
from talkoot.core.context import Ctx
from talkoot.learners import families, learner_for
from talkoot.learners.lightgbm.node import Train

lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed")
X, Y = table(600)
LABELS = (Y > 0).astype(int)
KINDS = np.array(["low", "middle", "high"])[np.digitize(Y, [-1, 1])]
W = np.random.default_rng(1).uniform(0, 3, len(Y))
DRAWN = {"subsample": 0.6, "subsample_freq": 1, "colsample_bytree": 0.6, "random_state": 3}


CASES = {
    "squares": (regressor(), Y),
    "absolute": (regressor(objective="regression_l1"), Y),
    "quantile": (regressor(objective="quantile", alpha=0.8), Y),
    "poisson": (regressor(objective="poisson"), np.round(np.exp(Y / 3))),
    "drawn": (regressor(**DRAWN), Y),
    "dart": (regressor(boosting_type="dart", drop_rate=0.5), Y),
    "goss": (regressor(data_sample_strategy="goss", learning_rate=0.5), Y),
    "two classes": (classifier(class_weight="balanced"), LABELS),
    "three classes": (classifier(max_bin=16), KINDS),
    "other names": (regressor(bagging_fraction=0.7, bagging_freq=1, lambda_l1=0.1, min_data_in_leaf=9), Y),
    "rules": (regressor(monotone_constraints=[1, 0, -1, 0, 0]), Y),
}


def trees(model: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = model.booster_.dump_model()["tree_info"]
    return found


def fitted(estimator: Any, data: Any, on: Any = None) -> Any:
    return tk.fit(clone(estimator), data, on=on or tk.Inline()).model


@pytest.mark.parametrize("nodes", [1, 3, 12])
@pytest.mark.parametrize("case", CASES)
def test_trees_are_those_of_lightgbms_fit_to_the_bit(case: str, nodes: int) -> None:
    estimator, y = CASES[case]
    model = tk.fit(estimator, X, y, nodes=nodes, on=tk.Inline()).model
    assert type(model) is type(estimator)
    assert trees(model) == trees(clone(estimator).fit(X, y))


@examples(20)
@given(st.lists(st.integers(0, 600), min_size=1, max_size=5), st.booleans())
def test_where_rows_are_cut_never_matters(cuts: list[int], weighted: bool) -> None:
    edges = [0, *sorted(cuts), 600]
    parts = [slice(a, b) for a, b in pairwise(edges)]
    data = {
        f"n{i}": (X[part], LABELS[part], W[part]) if weighted else (X[part], LABELS[part])
        for i, part in enumerate(parts)
    }
    estimator = classifier(**DRAWN)
    want = clone(estimator).fit(X, LABELS, sample_weight=W if weighted else None)
    assert trees(fitted(estimator, data)) == trees(want)


def test_nodes_without_weights_weigh_one() -> None:
    data = {"weighted": (X[:100], LABELS[:100], W[:100]), "plain": (X[100:], LABELS[100:])}
    want = classifier().fit(X, LABELS, sample_weight=np.concatenate([W[:100], np.ones(500)]))
    assert trees(fitted(classifier(), data)) == trees(want)


def test_the_model_is_as_fit_leaves_it() -> None:
    frame = pd.DataFrame(X, columns=list("abcde"))
    estimator = classifier(class_weight={"low": 2.0, "middle": 1.0, "high": 1.0})
    want = clone(estimator).fit(frame, KINDS)
    got = fitted(estimator, {"n": (frame[:90], KINDS[:90]), "m": (frame[90:], KINDS[90:])})
    assert got.get_params() == want.get_params()
    assert vars(got).keys() == vars(want).keys()
    np.testing.assert_array_equal(got.classes_, want.classes_)
    np.testing.assert_array_equal(got.feature_names_in_, want.feature_names_in_)
    for name in ("feature_name_", "n_features_", "n_classes_", "objective_", "n_estimators_", "n_iter_"):
        assert getattr(got, name) == getattr(want, name), name
    np.testing.assert_array_equal(got.feature_importances_, want.feature_importances_)
    np.testing.assert_array_equal(got.predict_proba(frame), want.predict_proba(frame))
    np.testing.assert_array_equal(got.predict(frame), want.predict(frame))


def test_it_is_the_end_of_a_pipeline() -> None:
    estimator = make_pipeline(StandardScaler(), regressor())
    got, want = fitted(estimator, dealt(3, X, Y)), clone(estimator).fit(X, Y)
    np.testing.assert_allclose(got.predict(X), want.predict(X), rtol=1e-3, atol=1e-3)


def test_workers_of_one_machine_are_one_process_with_threads_and_it_says_so() -> None:
    fit = tk.fit(regressor(), dealt(3, X, Y), on=tk.Local(2))
    assert fit.note.startswith("Inline(threads=2) instead of Local(workers=2): on one machine LGBMRegressor")
    assert trees(fit.model) == trees(fitted(regressor(), dealt(3, X, Y)))


def is_training(question: Any, ctx: Ctx) -> bool:
    return isinstance(question, Train)


@pytest.mark.wide
def test_a_killed_worker_is_replaced_and_learns_the_same(tmp_path: Path) -> None:
    marker = tmp_path / "done"
    model = in_workers(
        Disturbed(learner_for(regressor(**DRAWN)), is_training, kill, marker), dealt(3, X, Y), 1
    )
    assert marker.exists()
    assert trees(model) == trees(fitted(regressor(**DRAWN), dealt(3, X, Y)))


@pytest.mark.slow
def test_a_worker_that_hangs_is_named_by_the_deadline(tmp_path: Path) -> None:
    learner = Disturbed(learner_for(regressor()), is_training, hang, tmp_path / "done")
    with pytest.raises(tk.TalkootError, match="node 'n0'.*no answer before the deadline"):
        in_workers(learner, dealt(3, X, Y), 1, tk.rounds(deadline=patient(15)))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"tree_learner": "data"}, "tree_learner='data'.*Leave it out"),
        ({"num_iterations": 5}, "num_iterations=5.*Leave it out"),
        ({"machines": "127.0.0.1:1"}, "nodes may not share it"),
        ({"categorical_feature": [0]}, "OneHotEncoder"),
        ({"device": "gpu"}, "GPUs are not there yet"),
        ({"objective": lambda y, p: (y, p)}, "it is a function"),
        ({"n_estimators": 0}, "nothing to learn"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_is_refused_has_a_cure(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(tk.NotDistributable, match=words):
        learner_for(regressor(**parameters))


@pytest.mark.parametrize(
    ("estimator", "X", "y", "words"),
    [
        (classifier(), X, LABELS * 0, "at least 2 classes"),
        (regressor(objective="poisson"), X, -np.exp(Y), "refuses.*poisson"),
        (regressor(num_leaves=0), X, Y, "refuses.*num_leaves"),
        (regressor(objective="nonsense"), X, Y, "refuses.*nonsense"),
        (regressor(), csr_array(np.nan_to_num(X)), Y, "sparse"),
        (regressor(), X, np.c_[Y, Y], "fits one target"),
        (regressor(), pd.DataFrame(X, columns=["a", "b", "c", "d", "e[1]"]), Y, "refuses"),
        (regressor(), pd.DataFrame({"a": pd.Categorical(LABELS)}), Y, "column 'a'.*category"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_data_that_cannot_be_learned_from(estimator: Any, X: Any, y: Any, words: str) -> None:
    with pytest.raises(tk.DataError, match=words):
        tk.fit(estimator, X, y, nodes=2, on=tk.Inline())


def test_a_file_has_the_model_for_whoever_trusts_it(tmp_path: Path) -> None:
    fit = tk.fit(classifier(), X, LABELS, nodes=2, on=tk.Inline())
    path = fit.save(tmp_path / "model.talkoot")
    with pytest.raises(tk.DataError, match=r"lightgbm.basic.Booster.*trusted="):
        tk.load(path)
    names = ["collections.OrderedDict", "lightgbm.basic.Booster", "lightgbm.sklearn.LGBMClassifier"]
    model = tk.load(path, trusted=names)
    np.testing.assert_array_equal(model.predict_proba(X), fit.model.predict_proba(X))


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_actors_do_not_change_answers() -> None:
    assert trees(fitted(regressor(), dealt(3, X, Y), tk.Ray(1))) == trees(fitted(regressor(), dealt(3, X, Y)))


def test_masks_are_refused_as_rows_go_past_them() -> None:
    with pytest.raises(tk.PlanError, match=r"past the secure sum.*Leave mask\(\) out"):
        tk.fit(classifier(), dealt(3, X, LABELS), on=tk.Inline(), chain=[tk.fixed(), tk.mask()])


def test_sites_know_it_by_a_family_of_its_own() -> None:
    assert families(["LGBMClassifier", "LGBMRegressor"]) == ("lightgbm",)
