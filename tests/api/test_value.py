from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import get_scorer
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from talkoot.api.fit import fit
from talkoot.core.errors import DataError, PlanError
from talkoot.core.shard import Block
from talkoot.engines.inline import Inline
from talkoot.learners.held_out.folds import Folds

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 3))
NUMBERS = X @ [1.0, -2.0, 0.5] + RNG.normal(size=150)
LABELS = np.where(NUMBERS > 0, "ill", "well")
CODES = (NUMBERS > 0).astype(int)
CUTS = {"a": slice(0, 30), "b": slice(30, 50), "c": slice(50, 150), "none": slice(0, 0)}
NEWTON = LogisticRegression(tol=1e-8, max_iter=1000, solver="newton-cholesky")


def folds_of(y: np.ndarray, seed: int) -> np.ndarray:
    """The fold of every row, as the nodes deal them: within each class of each node."""
    codes = y if y.dtype.kind == "f" else np.unique(y, return_inverse=True)[1].astype(np.intp)
    fold = np.empty(len(y), dtype=int)
    for node, cut in CUTS.items():
        fold[cut] = Folds(count=5, seed=seed).assigner(node)(Block(X=X[cut], y=codes[cut]))
    return fold


def brute_force(estimator: Any, y: np.ndarray, scoring: str, seed: int = 0) -> dict[str, float]:
    """Cross-validated leave-one-node-out by scikit-learn on arrays."""
    score, fold, worth = get_scorer(scoring), folds_of(y, seed), {}
    for node, cut in CUTS.items():
        others = np.ones(150, dtype=bool)
        others[cut] = False
        gains = []
        for k in range(5):
            test = others & (fold == k)
            with_it, without = (
                clone(estimator).fit(X[train], y[train]) for train in (fold != k, others & (fold != k))
            )
            gains.append(score(with_it, X[test], y[test]) - score(without, X[test], y[test]))
        worth[node] = float(np.mean(gains))
    return worth


@pytest.mark.parametrize(
    ("estimator", "y", "scoring"),
    [
        (Ridge(), NUMBERS, "r2"),
        (make_pipeline(StandardScaler(), Ridge()), NUMBERS, "r2"),
        (GaussianNB(), LABELS, "accuracy"),
        (GaussianNB(), LABELS, "neg_log_loss"),
        (GaussianNB(), CODES, "average_precision"),
        (NEWTON, LABELS, "accuracy"),
        (NEWTON, LABELS, "neg_log_loss"),
        (NEWTON, LABELS, "roc_auc"),
        (NEWTON, CODES, "average_precision"),
        (NEWTON, 1 - 2 * CODES, "average_precision"),
    ],
    ids=lambda v: type(v).__name__ if not isinstance(v, str) else v,
)
def test_value_is_leave_one_node_out_on_rows_that_no_model_has_seen(
    estimator: Any, y: np.ndarray, scoring: str
) -> None:
    found = fit(estimator, {n: (X[s], y[s]) for n, s in CUTS.items()}, on=Inline()).value(scoring)
    assert found.to_dict() == pytest.approx(brute_force(estimator, y, scoring), abs=1e-6)
    assert found["none"] == 0.0
    ranked = [worth.value for worth in found.nodes]
    assert ranked == sorted(ranked, reverse=True)
    for worth in found.nodes:
        assert worth.interval is not None
        assert worth.interval.low <= worth.value <= worth.interval.high


def test_engines_and_seeds() -> None:
    data = {n: (X[s], NUMBERS[s]) for n, s in CUTS.items()}
    one = fit(Ridge(), data, on=Inline(), seed=3).value()
    two = fit(Ridge(), data, on=Inline(threads=2), seed=3).value()
    assert one.to_dict() == pytest.approx(two.to_dict(), abs=1e-12)
    assert one.to_dict() == pytest.approx(brute_force(Ridge(), NUMBERS, "r2", seed=3), abs=1e-9)
    assert one.to_dict() != pytest.approx(fit(Ridge(), data, on=Inline(), seed=4).value().to_dict(), abs=1e-9)


def test_weights_count() -> None:
    w = RNG.integers(1, 4, 150).astype(float)
    data = {n: (X[s], NUMBERS[s], w[s]) for n, s in CUTS.items() if n != "none"}
    fold, gains = folds_of(NUMBERS, 0), []
    for k in range(5):
        test, train = np.flatnonzero(fold == k), fold != k
        test = test[test >= 30]
        rest = train & (np.arange(150) >= 30)
        scores = [
            Ridge().fit(X[t], NUMBERS[t], w[t]).score(X[test], NUMBERS[test], w[test]) for t in (train, rest)
        ]
        gains.append(scores[0] - scores[1])
    assert fit(Ridge(), data, on=Inline()).value()["a"] == pytest.approx(float(np.mean(gains)), abs=1e-9)


@pytest.mark.parametrize("model", [LinearRegression, LogisticRegression])
def test_nodes_that_help_are_worth_more_than_nothing_and_noise_is_not(model: Callable[[], Any]) -> None:
    """In sample, least squares gave a worth above 0 to none of the nodes that help."""
    helped, noise, sure = 0, [], 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        data = {}
        for node in range(6):
            Z = rng.normal(size=(30, 8))
            y = Z @ np.linspace(1, 0.3, 8) + rng.normal(size=30)
            if node == 5:
                y = 3 * rng.normal(size=30)
            data[f"s{node}"] = (Z, y if model is LinearRegression else np.where(y > 0, "ill", "well"))
        scoring = "r2" if model is LinearRegression else "neg_log_loss"
        found = fit(model(), data, on=Inline()).value(scoring)
        helped += sum(found[f"s{node}"] > 0 for node in range(5))
        noise.append(found["s5"])
        sure += sum(w.interval is not None and w.interval.low > 0 for w in found.nodes if w.node == "s5")
    assert helped >= 35  # of 50
    assert np.mean(noise) < 0.0
    assert sure == 0


def test_a_node_without_which_nothing_can_be_learned_stands_first() -> None:
    data = {"one": (X[60:], np.full(90, "ill")), "two": (X[:60], LABELS[:60])}
    found = fit(LogisticRegression(), data).value()
    assert found.nodes[0].node == "two"
    assert found["two"] == np.inf
    assert "nothing can be learned without it: all its rows have the label 'ill'" in str(found)


def test_a_score_that_the_others_do_not_have_is_no_score() -> None:
    half = {"one": (X[50:], np.full(100, "ill")), "two": (X[:50], LABELS[:50])}
    found = fit(LogisticRegression(), half | {"rest": (X[:0], LABELS[:0])}).value("roc_auc")
    assert np.isfinite(found["one"])  # the other has both classes
    assert np.isinf(found["two"])
    few = {"a": (X[:40], np.where(np.arange(40) < 6, "ill", "well")), "b": (X[40:], np.full(110, "well"))}
    few["c"] = (X[:20], np.full(20, "ill"))
    found = fit(GaussianNB(), few).value("roc_auc")
    assert found["a"] == found["a"]


def test_what_was_forgotten_takes_no_part() -> None:
    labels = LABELS.copy()
    labels[30:50] = "odd"
    done = fit(GaussianNB(), {n: (X[s], labels[s]) for n, s in CUTS.items()}, on=Inline())
    never = fit(GaussianNB(), {n: (X[s], labels[s]) for n, s in CUTS.items() if n != "b"}, on=Inline())
    assert done.forget("b").value("roc_auc").to_dict() == pytest.approx(never.value("roc_auc").to_dict())


def test_it_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    monkeypatch.setattr("talkoot.watch.progress.Console", lambda **_: Console(file=said, width=80))
    fit(Ridge(), {n: (X[s], NUMBERS[s]) for n, s in CUTS.items()}).value(progress=True)
    assert "4 nodes, 150 rows, on Inline" in said.getvalue()
    assert re.search(r"fold 4 of 5 done, about \d+ s left", said.getvalue())
    assert "fold 5 of 5 done\n" in said.getvalue()
    assert "done: 5 folds in" in said.getvalue()


def test_what_cannot_be_scored_is_refused() -> None:
    data = {n: (X[s], NUMBERS[s]) for n, s in CUTS.items()}
    three = {n: (X[s], np.where(X[s, 0] > 1, "odd", LABELS[s])) for n, s in CUTS.items()}
    with pytest.raises(PlanError, match=r"scoring='roc_auc' is no score .* Take 'r2'"):
        fit(Ridge(), data).value("roc_auc")
    with pytest.raises(PlanError, match="needs two classes, and there are 3. Take 'accuracy' or"):
        fit(GaussianNB(), three).value("roc_auc")
    with pytest.raises(PlanError, match="of which 1 is the positive one, and the labels are"):
        fit(GaussianNB(), {n: (X[s], LABELS[s]) for n, s in CUTS.items()}).value("average_precision")
    with pytest.raises(PlanError, match="StandardScaler predicts nothing"):
        fit(StandardScaler(), data).value()
    with pytest.raises(PlanError, match="Take folds >= 2"):
        fit(Ridge(), data).value(folds=1)
    with pytest.raises(DataError, match="there is one node"):
        fit(Ridge(), {"a": data["a"]}).value()
