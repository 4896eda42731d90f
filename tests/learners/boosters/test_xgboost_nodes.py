"""XGBoost over nodes, against XGBoost on the pooled rows in the same bins."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from boosted import dealt, table
from disturbing import Disturbed, hang, kill
from scipy.sparse import csr_array
from sklearn.base import clone, is_classifier

import talkoot as tk
from patience import patient
from talkoot.core.context import Ctx
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.data.schema import agree
from talkoot.learners import families, learner_for
from talkoot.learners.common.group import threads
from talkoot.learners.xgboost import collective
from talkoot.learners.xgboost.cuts import reference
from talkoot.learners.xgboost.group import Boosters
from talkoot.learners.xgboost.node import Grow

xgboost = pytest.importorskip("xgboost", reason="XGBoost is not installed")
Classifier: Any = xgboost.XGBClassifier
Regressor: Any = xgboost.XGBRegressor

X, Y = table(600)
LABELS = (Y > 0).astype(int)
KINDS = np.digitize(Y, [-1, 1])
W = np.random.default_rng(1).uniform(0, 3, len(Y))
OBJECTIVES = {
    "squares": (Regressor(n_estimators=25, max_depth=3), Y),
    "poisson": (Regressor(objective="count:poisson", n_estimators=12), np.round(np.exp(Y / 3))),
    "gamma": (Regressor(objective="reg:gamma", n_estimators=12), np.exp(Y / 3)),
    "tweedie": (Regressor(objective="reg:tweedie", n_estimators=12), np.exp(Y / 3)),
    "huber": (Regressor(objective="reg:pseudohubererror", n_estimators=12), Y),
    "two classes": (Classifier(n_estimators=25, max_depth=3, scale_pos_weight=2), LABELS),
    "hinge": (Classifier(objective="binary:hinge", n_estimators=25, max_depth=3), LABELS),
    "three classes": (Classifier(n_estimators=12, max_bin=16), KINDS),
    "rules": (
        Regressor(
            n_estimators=12, monotone_constraints=(1, 0, -1, 0, 0), grow_policy="lossguide", max_leaves=9
        ),
        Y,
    ),
}


def trees(booster: Any) -> list[dict[str, Any]]:
    found = json.loads(booster.save_raw("json"))["learner"]
    return [
        {"base_score": found["learner_model_param"]["base_score"]},
        *found["gradient_booster"]["model"]["trees"],
    ]


def assert_same_trees(model: Any, want: Any) -> None:
    """The same splits; numbers may differ as sums do that are taken in another order."""
    got, expected = trees(model.get_booster()), trees(want)
    assert len(got) == len(expected)
    for ours, theirs in zip(got[1:], expected[1:], strict=True):
        for name in ("split_indices", "default_left", "left_children", "right_children"):
            assert ours[name] == theirs[name], name
        np.testing.assert_allclose(ours["split_conditions"], theirs["split_conditions"], rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(ours["base_weights"], theirs["base_weights"], rtol=1e-3, atol=1e-6)


def pooled(estimator: Any, X: np.ndarray, y: np.ndarray, w: np.ndarray | None = None) -> Any:
    """What XGBoost learns from all rows in one process, in bins of their exact quantiles."""
    bins = estimator.max_bin or 256
    cuts = []
    for column in (X.astype(np.float32) + np.float32(0)).T:
        values = np.sort(column[~np.isnan(column)])
        few = np.unique(values)
        many = np.unique(values[np.rint(np.linspace(0, len(values) - 1, bins)).astype(int)])
        cuts.append(few if len(few) <= bins else many)
    params = estimator.get_xgb_params()
    if is_classifier(estimator) and len(np.unique(y)) > 2:
        params |= {"objective": "multi:softprob", "num_class": len(np.unique(y))}
    matrix = xgboost.QuantileDMatrix(X, y, weight=w, max_bin=bins, ref=reference(cuts, None, bins))
    return xgboost.train(params, matrix, estimator.get_num_boosting_rounds())


def fitted(estimator: Any, data: Any, on: Any = None) -> Any:
    return tk.fit(clone(estimator), data, on=on or tk.Inline()).model


def in_workers(estimator: Any, data: Any, workers: int) -> Any:
    """The model of so many processes, which `tk.fit` would not start on one machine."""
    schema, bound = agree(tk.shards(data), tk.Inline(), labels=is_classifier(estimator))
    learner = learner_for(clone(estimator))
    return learner.finish(run(Plan(learner), bound, tk.Local(workers), schema=schema).model)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_trees_are_those_of_the_pooled_rows(objective: str) -> None:
    estimator, y = OBJECTIVES[objective]
    want = pooled(estimator, X, y)
    for nodes in (1, 2, 3, 7) if objective in ("squares", "three classes") else (3,):
        model = fitted(estimator, dealt(nodes, X, y))
        assert type(model) is type(estimator)
        assert_same_trees(model, want)


@pytest.mark.wide
@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("objective", ["squares", "three classes"])
def test_processes_do_not_change_trees(objective: str, workers: int) -> None:
    estimator, y = OBJECTIVES[objective]
    assert_same_trees(in_workers(estimator, dealt(3, X, y), workers), pooled(estimator, X, y))


def test_threads_do_not_change_trees() -> None:
    estimator, y = OBJECTIVES["three classes"]
    assert_same_trees(fitted(estimator, dealt(3, X, y), tk.Inline(threads=2)), pooled(estimator, X, y))


def test_workers_of_one_machine_are_one_process_with_threads_and_it_says_so() -> None:
    estimator, y = OBJECTIVES["squares"]
    fit = tk.fit(estimator, dealt(3, X, y), on=tk.Local(2))
    assert fit.note.startswith("Inline(threads=2) instead of Local(workers=2): on one machine XGBRegressor")
    assert trees(fit.model.get_booster()) == trees(fitted(estimator, dealt(3, X, y)).get_booster())


def test_no_more_threads_than_the_container_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("talkoot.learners.common.group.cores", lambda: 3)
    assert [threads(None), threads(5), threads(-1)] == [3, 5, 3]
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert threads(None) == 2


def test_an_engine_of_two_threads_trains_on_two_whatever_the_environment_grants_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("talkoot.core.cores.cores", lambda: 3)
    found, train = [], Boosters.train

    def noting(self: Any, params: Any, *args: Any) -> Any:
        found.append(params["nthread"])
        return train(self, params, *args)

    monkeypatch.setattr(Boosters, "train", noting)
    few = Regressor(n_estimators=2, max_depth=2)
    for on in (tk.Inline(), tk.Local(2), tk.Local(9)):
        fitted(few, dealt(3, X, Y), on)
    assert found == [1, 2, 3]
    assert threads(None) == 1


@pytest.mark.wide
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_bits_are_the_same_where_sums_are_exact(workers: int) -> None:
    estimator, y = OBJECTIVES["hinge"]  # its gradients are whole numbers
    model = in_workers(estimator, dealt(3, X, y), workers)
    assert trees(model.get_booster()) == trees(pooled(estimator, X, y))


def goes_on(question: Any, ctx: Ctx) -> bool:
    """Whether a node goes on from the first trees."""
    return ctx.node == "n1" and isinstance(question, Grow) and bool(question.trees[0])


@contextmanager
def restoring(coming: int) -> Iterator[None]:
    """Seconds in which all processes must have come; workers go on to other fits."""
    before = collective.COMING, xgboost.Booster.update
    collective.COMING = coming
    try:
        yield
    finally:
        collective.COMING, xgboost.Booster.update = before


def disturbed(
    estimator: Any,
    act: Callable[[Any], Any],
    marker: Path | None = None,
    sync: Any = None,
    coming: int = collective.COMING,
) -> Any:
    """The model of two workers."""
    labels = is_classifier(estimator)
    schema, bound = agree(tk.shards(dealt(2, X, LABELS if labels else Y)), tk.Inline(), labels=labels)
    learner = Disturbed(learner_for(estimator), goes_on, act, marker, partial(restoring, coming))
    return learner.finish(run(Plan(learner, sync=sync), bound, tk.Local(2), schema=schema).model)


def kill_at_the_fifth_tree(local: Any) -> Any:
    update, calls = xgboost.Booster.update, []

    def counting(*args: Any) -> None:
        calls.append(1)
        if len(calls) == 5:
            kill(local)
        update(*args)

    xgboost.Booster.update = counting
    return local


@pytest.mark.wide
@pytest.mark.parametrize("act", [kill, kill_at_the_fifth_tree])
def test_a_killed_worker_costs_one_round_and_no_tree(act: Callable[[Any], Any], tmp_path: Path) -> None:
    estimator = Classifier(n_estimators=35, max_depth=3)
    model = disturbed(estimator, act, tmp_path / "done")
    assert (tmp_path / "done").exists()
    assert_same_trees(model, pooled(estimator, X, LABELS))


def refusing(local: Any) -> Any:
    def refuse(*args: Any) -> None:
        raise xgboost.core.XGBoostError("[12:00:00] /src/objective.cc:83: this is out of range\nStack trace:")

    xgboost.Booster.update = refuse
    return local


@pytest.mark.wide
def test_an_error_of_xgboosts_in_one_process_ends_the_run_with_its_reason() -> None:
    with pytest.raises(tk.TalkootError, match="tree 10: XGBoost failed.*3 times.*this is out of range"):
        disturbed(Classifier(n_estimators=35, max_depth=3), refusing)


@pytest.mark.wide
def test_a_worker_that_hangs_is_named_by_the_deadline_and_no_other() -> None:
    sync = tk.rounds(deadline=patient(15))
    with pytest.raises(tk.TalkootError, match="node 'n1'.*no answer before the deadline"):
        disturbed(Regressor(n_estimators=30, max_depth=2), hang, sync=sync, coming=5)


def test_where_columns_have_few_values_the_answer_is_that_of_fit() -> None:
    few = np.round(np.nan_to_num(X, nan=1.0), 1)
    for estimator, y in (OBJECTIVES["squares"], OBJECTIVES["three classes"]):
        estimator = clone(estimator).set_params(max_bin=256)
        assert_same_trees(fitted(estimator, dealt(3, few, y)), clone(estimator).fit(few, y).get_booster())


def test_the_model_is_as_fit_leaves_it() -> None:
    frame = pd.DataFrame(np.round(X, 1), columns=list("abcde"))
    estimator = Classifier(n_estimators=4, monotone_constraints={"a": 1}, base_score=0.4)
    want = clone(estimator).fit(frame, KINDS)
    data = {"n": (frame[:90], KINDS[:90]), "m": (frame[90:], KINDS[90:])}
    got = tk.fit(estimator, data, on=tk.Inline()).model
    assert got.get_params() == want.get_params()
    assert vars(got).keys() == vars(want).keys()
    np.testing.assert_array_equal(got.classes_, want.classes_)
    np.testing.assert_array_equal(got.feature_names_in_, want.feature_names_in_)
    np.testing.assert_allclose(got.predict_proba(frame), want.predict_proba(frame), atol=1e-5)


def test_rows_weigh_and_nodes_without_weights_weigh_one() -> None:
    estimator = Classifier(n_estimators=15, max_depth=3)
    assert_same_trees(fitted(estimator, dealt(3, X, LABELS, W)), pooled(estimator, X, LABELS, W))
    some = np.concatenate([W[:100], np.ones(500)])
    data = {"weighted": (X[:100], LABELS[:100], W[:100]), "plain": (X[100:], LABELS[100:])}
    assert_same_trees(fitted(estimator, data), pooled(estimator, X, LABELS, some))


def test_nodes_of_one_name_stay_apart() -> None:
    found = tk.verify(OBJECTIVES["hinge"][0], (np.round(X, 1), LABELS), nodes=(2,), on=tk.Inline())
    assert found.ok


def test_runs_of_one_process_stay_apart() -> None:
    estimator, parts = Regressor(n_estimators=30, max_depth=2), [slice(0, 200), slice(200, 600)]
    with ThreadPoolExecutor(2) as threads:
        models = list(threads.map(lambda part: fitted(estimator, dealt(3, X[part], Y[part])), parts))
    for model, part in zip(models, parts, strict=True):
        assert_same_trees(model, pooled(estimator, X[part], Y[part]))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"subsample": 0.5}, "draws follow the order"),
        ({"colsample_bytree": 0.5}, "draws follow the order"),
        ({"booster": "dart"}, "dropout"),
        ({"tree_method": "exact"}, "histograms"),
        ({"device": "cuda"}, "GPUs are not there yet"),
        ({"enable_categorical": True}, "OneHotEncoder"),
        ({"callbacks": [xgboost.callback.EvaluationMonitor()]}, "every process"),
        ({"objective": "reg:absoluteerror"}, "Take one of reg:squarederror"),
        ({"objective": lambda y, p: (y, p)}, "it is a function"),
        ({"missing": -1.0}, "only NaN is missing"),
        ({"process_type": "update"}, "process_type='update'.*Leave it out"),
        ({"n_estimators": 0}, "nothing to learn"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_is_refused_has_a_cure(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(tk.NotDistributable, match=words):
        learner_for(Regressor(**parameters))


@pytest.mark.parametrize(
    ("estimator", "X", "y", "words"),
    [
        (Classifier(), X, np.array(["no", "yes"])[LABELS], "needs the classes 0 to 1.*LabelEncoder"),
        (Classifier(), X, LABELS * 2, "needs the classes 0 to 1"),
        (Classifier(), X, LABELS * 0, "at least 2 classes"),
        (Regressor(objective="count:poisson"), X, Y, "target of at least 0"),
        (Regressor(max_depth=-1), X, Y, "max_depth should be greater"),
        (Regressor(), np.where(X[1, 0] == X, 1e300, X), Y, "column '0'.*infinite"),
        (Regressor(), csr_array(np.nan_to_num(X)), Y, "sparse"),
        (Regressor(), X, np.c_[Y, Y], "fits one target"),
        (Regressor(), pd.DataFrame(X, columns=["a", "b", "c", "d", "e<1"]), Y, "may not contain"),
        (Regressor(), pd.DataFrame({"a": pd.Categorical(LABELS)}), Y, "column 'a'.*category"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_data_that_cannot_be_learned_from(estimator: Any, X: Any, y: Any, words: str) -> None:
    with pytest.raises(tk.DataError, match=words):
        tk.fit(estimator, X, y, nodes=2, on=tk.Inline())


def test_a_file_has_the_model_for_whoever_trusts_it(tmp_path: Path) -> None:
    fit = tk.fit(Classifier(n_estimators=4), X, LABELS, nodes=2, on=tk.Inline())
    path = fit.save(tmp_path / "model.talkoot")
    with pytest.raises(tk.DataError, match=r"xgboost.core.Booster.*trusted="):
        tk.load(path)
    model = tk.load(path, trusted=["xgboost.core.Booster", "xgboost.sklearn.XGBClassifier"])
    np.testing.assert_array_equal(model.predict_proba(X), fit.model.predict_proba(X))


def test_sites_know_it_by_a_family_of_its_own() -> None:
    assert families(["XGBClassifier", "XGBRegressor"]) == ("xgboost",)


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_actors_do_not_change_answers() -> None:
    estimator, y = OBJECTIVES["hinge"]
    assert_same_trees(fitted(estimator, dealt(3, X, y), tk.Ray(2)), pooled(estimator, X, y))
