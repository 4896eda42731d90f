"""Secure sums between organisations, with real programs: what is hidden adds up to the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from programs import Federated, federated
from sites import plan_of
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import talkoot as tk
from talkoot.core.errors import Refused
from talkoot.core.transform import Transform
from talkoot.formats.plans import plan_from_bytes
from talkoot.guards.mask.mask import Mask

CHAIN: list[Transform] = [tk.fixed(), tk.mask()]
rng = np.random.default_rng(0)
X = rng.normal(size=(240, 4)) + 50
y = (X @ [1.0, -1.0, 0.5, 0.0] + rng.normal(size=240) > 25).astype(int)
ROWS = {name: (X[part::4], y[part::4]) for part, name in enumerate(("bergen", "lund", "oslo", "turku"))}


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federated]:
    with federated(tmp_path_factory.mktemp("four"), ROWS) as made:
        yield made


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        Ridge(),
        GaussianNB(),
        PCA(2),
        StandardScaler(),
        make_pipeline(StandardScaler(), LogisticRegression()),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_what_sites_hide_adds_up_to_the_same_bits(four: Federated, estimator: Any) -> None:
    on = tk.Federation(four.researcher)
    got, expected = (tk.fit(estimator, tk.dataset("toy"), "y", chain=c, on=on) for c in (CHAIN, CHAIN[:1]))
    pooled = tk.fit(estimator, ROWS, on=tk.Inline())
    for name, value in vars(_last(expected.model)).items():
        if name.endswith("_") and isinstance(value, np.ndarray) and value.dtype.kind == "f":
            np.testing.assert_array_equal(vars(_last(got.model))[name], value, err_msg=name)
            np.testing.assert_allclose(value, vars(_last(pooled.model))[name], rtol=1e-7, err_msg=name)
    assert [outcome.arrived for outcome in got.history] == [tuple(ROWS)] * len(got.history)


def _last(model: Any) -> Any:
    return model[-1] if hasattr(model, "steps") else model


def test_boosted_trees_of_sites_are_those_of_one_node(four: Federated) -> None:
    """Also the ranges of columns come from masked sums, and without masks sites refuse."""
    on = tk.Federation(four.researcher)
    boosting = HistGradientBoostingClassifier(max_iter=2, max_leaf_nodes=4, warm_start=True)
    first = tk.fit(boosting, tk.dataset("toy"), "y", chain=CHAIN, on=on).model
    got = tk.fit(first.set_params(max_iter=3), tk.dataset("toy"), "y", chain=CHAIN, on=on)
    for other in (ROWS, {"one": (X, y)}):
        fitted = tk.fit(boosting, other, chain=CHAIN[:1], on=tk.Inline()).model.set_params(max_iter=3)
        expected = tk.fit(fitted, other, chain=CHAIN[:1], on=tk.Inline()).model
        assert got.model.n_iter_ == 3
        for one, same in zip(got.model._predictors, expected._predictors, strict=True):
            assert one[0].nodes.tobytes() == same[0].nodes.tobytes()
        for edges, theirs in zip(
            got.model._bin_mapper.bin_thresholds_, expected._bin_mapper.bin_thresholds_, strict=True
        ):
            np.testing.assert_array_equal(edges, theirs)
    with pytest.raises(Refused, match="trees divide columns at values of rows, unless their bins come from"):
        tk.fit(boosting, tk.dataset("toy"), "y", chain=CHAIN[:1], on=on)


def test_a_decision_tree_of_sites_is_that_of_one_node(four: Federated) -> None:
    on, estimator = tk.Federation(four.researcher), DecisionTreeClassifier(max_depth=3)
    got = tk.fit(estimator, tk.dataset("toy"), "y", chain=CHAIN, on=on).model.tree_.__getstate__()
    for other in (ROWS, {"one": (X, y)}):
        expected = tk.fit(estimator, other, chain=CHAIN[:1], on=tk.Inline()).model.tree_.__getstate__()
        assert got["nodes"].tobytes() == expected["nodes"].tobytes()
        np.testing.assert_array_equal(got["values"], expected["values"])


def test_xgboosts_trees_of_sites_are_those_of_one_node(four: Federated) -> None:
    xgboost = pytest.importorskip("xgboost", reason="XGBoost is not installed")
    boosting, on = xgboost.XGBClassifier(n_estimators=2, max_depth=2), tk.Federation(four.researcher)
    got = tk.fit(boosting, tk.dataset("toy"), "y", chain=CHAIN, on=on).model
    table = pd.DataFrame(X, columns=[f"x{j}" for j in range(4)])
    expected = tk.fit(boosting, {"one": (table, y)}, chain=CHAIN[:1], on=tk.Inline()).model
    assert got.get_booster().save_raw("json") == expected.get_booster().save_raw("json")
    for chain in (CHAIN[:1], []):
        with pytest.raises(Refused, match="past the sites' secure sum, unless its trees are grown of sums"):
            tk.fit(boosting, tk.dataset("toy"), "y", chain=chain, on=on)


def test_a_plan_brings_no_identity() -> None:
    (_, link) = plan_from_bytes(plan_of(chain=CHAIN)).chain
    assert link == Mask()
    assert link.identity is None


def test_two_sites_hide_nothing_and_are_refused(tmp_path: Path) -> None:
    rows = {name: ROWS[name] for name in ("bergen", "lund")}
    with federated(tmp_path, rows) as two, pytest.raises(Refused, match="of 2 sites hides nothing"):
        tk.fit(Ridge(), tk.dataset("toy"), "y", chain=CHAIN, on=tk.Federation(two.researcher))
