from __future__ import annotations

import io
import json
import re
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import binomtest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import f1_score, get_scorer, make_scorer, r2_score, roc_auc_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from talkoot.api.compare.compare import compare
from talkoot.api.compare.comparison import Interval, Row
from talkoot.api.compare.fold_sums import FoldSums
from talkoot.api.compare.intervals import bounds_of, score_interval
from talkoot.core.errors import DataError, PlanError
from talkoot.core.shard import Block
from talkoot.data.shards import shards
from talkoot.engines.inline import Inline
from talkoot.learners.held_out.folds import Folds
from talkoot.learners.held_out.measures import GROUPS
from talkoot.watch.findings import comparison_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 4))
NUMBERS = X @ [1.0, -2.0, 0.5, 0.0] + RNG.normal(size=200)
LABELS = np.where(NUMBERS > 0, "ill", "well")
CUTS = {"few": slice(0, 30), "some": slice(30, 90), "many": slice(90, 200)}
EXACT = LogisticRegression(tol=1e-8, max_iter=1000, solver="newton-cholesky")


def sites(y: np.ndarray) -> dict[str, Any]:
    return {n: (X[s], y[s]) for n, s in CUTS.items()}


def folds_of(y: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The fold of every row, as the nodes deal them."""
    codes = np.unique(y, return_inverse=True)[1].astype(np.intp) if y.dtype.kind == "U" else y
    fold = np.empty(len(y), dtype=int)
    for node, cut in CUTS.items():
        shard = shards({node: (X[cut], codes[cut])})[node]
        fold[cut] = np.concatenate([f for _, f in Folds(count=count, seed=seed).blocks_with_folds(shard)])
    return fold


def by_hand(estimator: Any, y: np.ndarray, fold: np.ndarray, way: str, node: str) -> float:
    """One cell of the table, by scikit-learn on arrays."""
    here = np.zeros(200, dtype=bool)
    here[CUTS[node]] = True
    pool = {"alone": here, "left out": ~here}.get(way, np.ones(200, dtype=bool))
    scores = []
    for k in np.unique(fold):
        train, test = pool & (fold != k), here & (fold == k)
        model = clone(estimator).fit(X[train], y[train])
        if y.dtype.kind == "U":
            scores.append(roc_auc_score(y[test], model.decision_function(X[test])))
        else:
            scores.append(r2_score(y[test], model.predict(X[test])))
    return float(np.mean(scores))


@pytest.mark.parametrize(("estimator", "y"), [(EXACT, LABELS), (Ridge(), NUMBERS)], ids=["auc", "r2"])
def test_every_cell_is_what_one_machine_gives(estimator: Any, y: np.ndarray) -> None:
    found = compare(estimator, sites(y), folds=4, seed=7)
    fold = folds_of(y, 4, 7)
    for node in CUTS:
        for way in ("alone", "together", "left out", "pooled"):
            assert found[node].scores[way].value == pytest.approx(by_hand(estimator, y, fold, way, node)), way


def test_the_metric_follows_the_target() -> None:
    three = np.where(NUMBERS > 1, "bad", LABELS)
    assert compare(EXACT, sites(LABELS), folds=2).metric == "roc_auc"
    assert compare(GaussianNB(), sites(three), folds=2).metric == "accuracy"
    assert compare(Ridge(), sites(NUMBERS), folds=2).metric == "r2"
    assert compare(EXACT, sites(LABELS), folds=2, scoring="balanced_accuracy").metric == "balanced_accuracy"


def test_the_gain_is_together_minus_alone_and_pairing_narrows_it() -> None:
    row = compare(EXACT, sites(LABELS))["some"]
    assert row.gain is not None
    alone, together = row.scores["alone"], row.scores["together"]
    assert row.gain.value == pytest.approx(together.value - alone.value)
    apart = np.hypot(alone.high - alone.low, together.high - together.low)
    assert row.gain.high - row.gain.low < apart


def test_the_jackknife_knows_the_error_of_a_share() -> None:
    rows = RNG.normal(size=(4000, 1))
    labels = (rows[:, 0] + RNG.normal(size=4000) > 0).astype(int)
    data = {"a": (rows[:2000], labels[:2000]), "b": (rows[2000:], labels[2000:])}
    score = compare(GaussianNB(), data, folds=2, scoring="accuracy")["a"].scores["together"]
    known = np.sqrt(score.value * (1 - score.value) / 2000)
    assert 0.5 < (score.high - score.value) / (2.09 * known) < 2.0
    assert GROUPS == 20


def test_a_node_that_cannot_learn_alone_is_shown_as_such() -> None:
    data = sites(LABELS) | {"one": (X[:40], np.full(40, "ill")), "none": (X[:0], LABELS[:0])}
    found = compare(EXACT, data, folds=2, scoring="accuracy")
    assert "alone" not in found["one"].scores
    assert found["one"].verdict.startswith(
        "one cannot learn alone: all its rows have the label 'ill'; together"
    )
    assert found["none"].verdict == "none has no rows"
    assert found["few"].gain is not None


def test_a_score_that_needs_both_classes_is_left_out_where_one_is_missing() -> None:
    data = sites(LABELS) | {"one": (X[:40], np.full(40, "ill"))}
    row = compare(EXACT, data, folds=2)["one"]
    assert row.scores == {}
    assert row.verdict == "one cannot learn alone: all its rows have the label 'ill'"


def test_rare_classes_take_no_part_in_folds_that_lack_them() -> None:
    labels = LABELS.copy()
    labels[0] = "odd"
    assert compare(GaussianNB(), sites(labels), folds=2, scoring="roc_auc_ovr")["few"].gain is None
    assert compare(GaussianNB(), sites(labels), folds=2)["few"].gain is not None


def test_threads_and_a_second_run_change_nothing() -> None:
    one = compare(Ridge(), sites(NUMBERS), on=Inline(), repeats=2, folds=2)
    two = compare(Ridge(), sites(NUMBERS), on=Inline(threads=2), repeats=2, folds=2)
    assert str(one) == str(two)
    assert "split 2 times" in str(one)


def test_pipelines_and_tables_with_names() -> None:
    import pandas as pd

    table = pd.DataFrame(X, columns=list("abcd")).assign(ill=LABELS, site=np.repeat(["x", "y"], 100))
    found = compare(make_pipeline(StandardScaler(), EXACT), table, "ill", by="site", folds=3)
    for node in "xy":
        scores = found[node].scores
        assert scores["together"].value == pytest.approx(scores["pooled"].value)


def test_it_reads_well_and_travels() -> None:
    found = compare(EXACT, sites(LABELS), folds=3)
    text = str(found)
    assert re.search(r"^few +30  [.\d]+ \[[.\d]+, [.\d]+\]", text, re.M)
    assert json.loads(json.dumps(found.to_dict()))["nodes"]["few"]["rows"] == 30
    assert "Does working together pay?" in str(comparison_of(found.facts()))


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (Interval(0.067, 0.02, 0.11), "va gains .067 [.02, .11]"),
        (Interval(-0.03, -0.05, -0.01), "va loses .030 [.01, .05]"),
        (Interval(0.01, -0.05, 0.07), "va neither gains nor loses clearly: .010 [-.05, .07]"),
    ],
)
def test_verdicts(gain: Interval, said: str) -> None:
    assert Row(node="va", rows=200, scores={}, gain=gain).verdict == said


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"folds": 1}, PlanError, "Take folds >= 2"),
        ({"scoring": "roc_acu"}, PlanError, "Did you mean 'roc_auc'"),
        ({"data": {"a": (X, LABELS)}}, DataError, "there is one node"),
        ({"estimator": StandardScaler()}, PlanError, "StandardScaler predicts nothing"),
        ({"data": {"a": X[:50], "b": X[50:]}}, DataError, "learns from a target"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, Any], error: type[Exception], said: str) -> None:
    given: dict[str, Any] = {"estimator": LinearRegression(), "data": sites(NUMBERS)} | change
    with pytest.raises(error, match=re.escape(said)):
        compare(given.pop("estimator"), given.pop("data"), **given)


KINDS = {
    "text": LABELS,
    "one and two": np.where(NUMBERS > 0, 1, 2),
    "zero and two": np.where(NUMBERS > 0, 0, 2),
    "booleans": NUMBERS > 0,
    "three": np.where(NUMBERS > 1.5, "odd", LABELS),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scoring", ["f1", "average_precision", "roc_auc", "neg_brier_score"])
def test_a_scorer_means_what_it_means_to_scikit_learn_or_is_refused(scoring: str, kind: str) -> None:
    y = KINDS[kind]
    codes = np.unique(y, return_inverse=True)[1].astype(np.intp)
    fold = np.empty(len(y), dtype=int)
    for node, cut in CUTS.items():
        fold[cut] = Folds(count=2, seed=0).assigner(node)(Block(X=X[cut], y=codes[cut]))
    here = np.zeros(200, dtype=bool)
    here[CUTS["many"]] = True
    try:
        scores = [
            get_scorer(scoring)(
                clone(EXACT).fit(X[fold != k], y[fold != k]), X[here & (fold == k)], y[here & (fold == k)]
            )
            for k in range(2)
        ]
    except ValueError:
        with pytest.raises(PlanError, match="cannot score LogisticRegression here") as refused:
            compare(EXACT, sites(y), folds=2, scoring=scoring)
        assert re.search(r"make_scorer\(.*pos_label=|'roc_auc_ovr'|_macro'", str(refused.value))
    else:
        found = compare(EXACT, sites(y), folds=2, scoring=scoring)
        assert found["many"].scores["together"].value == pytest.approx(np.mean(scores), abs=1e-6)


def test_the_cure_that_is_named_works() -> None:
    scorer = make_scorer(f1_score, pos_label="well")
    found = compare(EXACT, sites(LABELS), folds=2, scoring=scorer)
    same = compare(EXACT, sites((LABELS == "well").astype(int)), folds=2, scoring="f1")
    assert found["many"].scores["together"] == same["many"].scores["together"]


def test_scores_that_the_rows_do_not_allow_name_the_node() -> None:
    with pytest.raises(DataError, match="node 'few'.*cannot score the rows here.*less than or equal to -1"):
        compare(Ridge(), sites(NUMBERS), folds=2, scoring="neg_mean_squared_log_error")
    weighed = {n: (X[s], NUMBERS[s], np.ones(len(X[s]))) for n, s in CUTS.items()}
    with pytest.raises(DataError, match="unexpected keyword argument 'sample_weight'"):
        compare(Ridge(), weighed, folds=2, scoring="neg_max_error")


@pytest.mark.parametrize("scoring", ["accuracy", "roc_auc", "f1"])
def test_intervals_of_shares_stay_within_0_and_1_and_have_a_width(scoring: str) -> None:
    easy = (X[:, 0] > 0).astype(int)
    found = compare(GaussianNB(), sites(easy) | {"tiny": (X[:8], easy[:8])}, folds=2, scoring=scoring)
    for row in found.rows:
        for score in row.scores.values():
            assert 0.0 <= score.low <= score.value <= score.high <= 1.0
            assert score.low < score.high
        assert row.gain is None or -1.0 <= row.gain.low <= row.gain.value <= row.gain.high <= 1.0


def test_the_interval_of_a_share_is_wilsons() -> None:
    known = proportion_interval(9, 10)
    found = score_interval(0.9, 0.9 * 0.1 / 10, groups=10**6, bounds=(0.0, 1.0), rows=10)
    assert (found.low, found.high) == pytest.approx(known, abs=1e-4)
    sure = score_interval(1.0, 0.0, groups=10**6, bounds=(0.0, 1.0), rows=10)
    assert (sure.low, sure.high) == pytest.approx(proportion_interval(10, 10), abs=1e-4)
    assert bounds_of("neg_log_loss") == (-np.inf, 0.0)
    assert score_interval(-0.1, 0.01, groups=20, bounds=(-np.inf, 0.0), rows=9).high == 0.0


def proportion_interval(hits: int, rows: int) -> tuple[float, float]:
    found = binomtest(hits, rows).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def test_sums_of_folds_are_gathered_once_and_give_what_fits_give(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed form asks each node once for all that is compared: rows are counted, summed, tested."""
    data = sites(LABELS)
    data["odd"] = (X[:40], np.full(40, "odd"))  # a class of one node only, so some models are fitted anew
    fast = compare(GaussianNB(), data, folds=2, on=Inline())
    monkeypatch.setattr(FoldSums, "gather", lambda *_: None)
    slow = compare(GaussianNB(), data, folds=2, on=Inline())
    for row in fast.rows:
        for way, score in row.scores.items():
            assert score.value == pytest.approx(slow[row.node].scores[way].value, abs=1e-9)


@pytest.mark.parametrize("estimator", [EXACT, make_pipeline(StandardScaler(), EXACT)], ids=["plain", "steps"])
def test_small_nodes_that_train_as_groups_give_what_nodes_give(
    estimator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = compare(estimator, sites(LABELS), folds=2, on=Inline(threads=2))
    monkeypatch.setattr("talkoot.api.compare.fold_fits._groups", lambda *_: 0)
    slow = compare(estimator, sites(LABELS), folds=2, on=Inline())
    for row in fast.rows:
        for way, score in row.scores.items():
            assert score.value == pytest.approx(slow[row.node].scores[way].value, abs=1e-6)


def test_an_error_of_one_node_names_it_also_where_nodes_train_as_groups() -> None:
    data = sites(LABELS)
    rows = X[CUTS["some"]].copy()
    rows[3, 1] = np.nan
    data["some"] = (rows, LABELS[CUTS["some"]])
    with pytest.raises(DataError, match="node 'some'"):
        compare(EXACT, data, folds=2, on=Inline())


def test_it_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    monkeypatch.setattr("talkoot.watch.progress.Console", lambda **_: Console(file=said, width=80))
    compare(Ridge(), sites(NUMBERS), folds=3, progress=True)
    assert re.search(r"fold 1 of 3 done, about \d+ s left", said.getvalue())
    assert "done: 3 folds in" in said.getvalue()
    said.truncate(0)
    compare(Ridge(), sites(NUMBERS), folds=3)
    assert not said.getvalue().strip("\0")


def test_a_label_that_is_rarer_than_folds_is_named() -> None:
    rare = np.where(np.arange(200) == 3, "ill", "well")
    with pytest.raises(DataError, match=r"without fold \d of 5, all rows have the label 'well'. Take fewer"):
        compare(GaussianNB(), sites(rare), scoring="accuracy")
