"""XGBoost over nodes, against XGBoost on the pooled rows in the same bins."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import pytest
from boosted import dealt, table
from sklearn.base import clone, is_classifier

import talkoot as tk
from talkoot.core.context import Ctx
from talkoot.core.learner import Kind, SolvingLearner
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update
from talkoot.data.schema import agree
from talkoot.learners import learner_for
from talkoot.learners.trees.xgboost.cuts import reference
from talkoot.learners.trees.xgboost.learner import Grow, XGBoosting

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


@pytest.mark.parametrize("nodes", [1, 2, 3, 7])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_trees_are_those_of_the_pooled_rows(objective: str, nodes: int) -> None:
    estimator, y = OBJECTIVES[objective]
    model = fitted(estimator, dealt(nodes, X, y))
    assert type(model) is type(estimator)
    assert_same_trees(model, pooled(estimator, X, y))


@pytest.mark.wide
@pytest.mark.parametrize("on", [tk.Local(2), tk.Local(3), tk.Inline(threads=2)], ids=str)
@pytest.mark.parametrize("objective", ["squares", "three classes"])
def test_processes_do_not_change_trees(objective: str, on: Any) -> None:
    estimator, y = OBJECTIVES[objective]
    assert_same_trees(fitted(estimator, dealt(3, X, y), on), pooled(estimator, X, y))


@pytest.mark.wide
@pytest.mark.parametrize("on", [tk.Inline(), tk.Local(2), tk.Local(3)], ids=str)
def test_bits_are_the_same_where_sums_are_exact(on: Any) -> None:
    estimator, y = OBJECTIVES["hinge"]  # its gradients are whole numbers
    assert trees(fitted(estimator, dealt(3, X, y), on).get_booster()) == trees(pooled(estimator, X, y))


@final
@dataclass(frozen=True, slots=True)
class Interrupted(SolvingLearner):
    """XGBoost over nodes, where a worker is killed once."""

    boosting: XGBoosting
    kill: Callable[[], None]
    marker: str

    kind: ClassVar[Kind] = "exact"
    ends: ClassVar[bool] = True

    def init(self, schema: Schema, rng: np.random.Generator) -> Any:
        return self.boosting.init(schema, rng)

    def question(self, model: Any) -> Any:
        return self.boosting.question(model)

    def work(self, question: Any, local: Any, shard: Shard, ctx: Ctx) -> tuple[Update, Any]:
        if (
            ctx.node == "n1"
            and isinstance(question, Grow)
            and question.trees[0]
            and not os.path.exists(self.marker)
        ):
            Path(self.marker).touch()
            self.kill()
        return self.boosting.work(question, local, shard, ctx)

    def step(self, model: Any, update: Update) -> Any:
        return self.boosting.step(model, update)

    def finish(self, model: Any) -> Any:
        return self.boosting.finish(model)


def at_once() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_the_fifth_tree() -> None:
    update, calls = xgboost.Booster.update, []

    def counting(*args: Any) -> None:
        calls.append(1)
        if len(calls) == 5:
            at_once()
        update(*args)

    xgboost.Booster.update = counting


@pytest.mark.wide
@pytest.mark.parametrize("kill", [at_once, at_the_fifth_tree])
def test_a_killed_worker_costs_one_round_and_no_tree(kill: Callable[[], None], tmp_path: Path) -> None:
    estimator = Classifier(n_estimators=35, max_depth=3)
    schema, bound = agree(tk.shards(dealt(2, X, LABELS)), tk.Inline(), labels=True)
    learner = Interrupted(learner_for(estimator), kill, str(tmp_path / "done"))
    done = run(Plan(learner), bound, tk.Local(2), schema=schema)
    assert (tmp_path / "done").exists()
    assert_same_trees(learner.finish(done.model), pooled(estimator, X, LABELS))
