"""Exact learners count every node with rows: no sync that is accepted gives another answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler

import talkoot as tk
from examples import examples
from talkoot.core.engine import Engine
from talkoot.core.errors import DataError, NodeLost, PlanError, QuorumError
from talkoot.core.plan import Plan
from talkoot.core.round import Meeting, Outcome, Round
from talkoot.core.run import run
from talkoot.core.sync import Rounds, Sync
from talkoot.data.schema import agree
from talkoot.data.shards import shards
from talkoot.learners import learner_for
from talkoot.testing.scripted import Scripted

RNG = np.random.default_rng(0)
X = np.cumsum(RNG.normal(size=(60, 3)), axis=0)  # nodes differ
Y = X @ [1.0, -2.0, 0.5] + RNG.normal(size=60)
ESTIMATORS = [
    Ridge(),
    StandardScaler(),
    RobustScaler(),
    make_pipeline(RobustScaler(), Ridge()),
    LogisticRegression(tol=1e-8),
]
NODES = 5


def data(estimator: Any) -> Any:
    if not hasattr(estimator, "predict"):
        return shards(X).deal(NODES)
    return shards(X, (Y > 0).astype(int) if isinstance(estimator, LogisticRegression) else Y).deal(NODES)


def _names(numbers: frozenset[int]) -> list[str]:
    return [f"node{number}" for number in numbers]


def fit(estimator: Any, sync: Sync | None, engine: Engine) -> np.ndarray:
    given = data(estimator)
    labels = isinstance(estimator, LogisticRegression)
    schema, bound = agree(given, tk.Inline(), labels=labels, target=hasattr(estimator, "predict"))
    plan = Plan(learner_for(estimator), sync=sync)
    done = run(plan, bound, engine, schema=schema)
    fitted = plan.learner.finish(done.model)
    method = fitted.transform if hasattr(fitted, "transform") else fitted.predict
    return np.asarray(method(X))


ALONE = [fit(estimator, None, tk.Inline()) for estimator in ESTIMATORS]
SYNCS: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    limit=st.sampled_from([None, 1, 2, 4, 40]),
    sample=st.sampled_from([1.0, 1.0, 0.9, 0.6, 0.2]),
    quorum=st.sampled_from([None, 1, 3, 5, 9]),
    steps=st.sampled_from([None, 4]),
    grace=st.sampled_from([None, None, 0.5]),
)
LOSSES = st.lists(st.frozensets(st.integers(0, NODES - 1), max_size=3), max_size=6)


@examples(120, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(0, len(ESTIMATORS) - 1), SYNCS, LOSSES)
def test_no_sync_that_is_accepted_gives_another_answer(
    which: int, sync: dict[str, Any], losses: list[frozenset[int]]
) -> None:
    try:
        got = fit(ESTIMATORS[which], Rounds(**sync), Scripted([_names(lost) for lost in losses]))
    except (PlanError, QuorumError, NodeLost):
        return
    np.testing.assert_allclose(got, ALONE[which], rtol=1e-12)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_a_sample_of_the_nodes_is_refused(estimator: Any) -> None:
    name = type(estimator).__name__
    with pytest.raises(PlanError, match=f"{name} is exact: its answer needs the rows of all nodes") as caught:
        tk.fit(estimator, X, Y, nodes=NODES, sync=tk.rounds(sample=0.6))
    assert "Leave sample= out" in str(caught.value.cure)


def test_grace_is_refused() -> None:
    with pytest.raises(PlanError, match="Ridge is exact: no round counts without a node"):
        Plan(learner_for(Ridge()), sync=tk.every(steps=2, quorum=2, grace=0.5))


@final
@dataclass(frozen=True)
class Half(Sync):
    """A sync of somebody's own that asks half of the nodes."""

    @property
    def ends(self) -> bool:
        return False

    def next(self, last: Outcome | None) -> Round:
        return Round(index=0 if last is None else last.round.index + 1, meeting=Meeting(sample=0.5))


def test_so_is_a_sample_by_a_sync_of_one_s_own() -> None:
    with pytest.raises(PlanError, match=r"Ridge is exact.*Half\(\) asks 2 of 5"):
        fit(Ridge(), Half(), tk.Inline())


def test_with_a_quorum_a_node_that_failed_is_asked_again() -> None:
    got = fit(RobustScaler(), tk.rounds(quorum=2), Scripted([["node1"], [], ["node0", "node3"]]))
    np.testing.assert_array_equal(got, ALONE[2])


def test_a_node_that_stays_away_is_named() -> None:
    with pytest.raises(QuorumError, match="1 of 5 nodes did not arrive, 3 rounds in a row") as caught:
        fit(Ridge(), tk.rounds(quorum=2), Scripted([["node1"]] * 9))
    assert str(caught.value.cure) == "Start again when they are back, or leave them out of the data: 'node1'."


def test_rows_that_are_refused_are_not_asked_for_again() -> None:
    with pytest.raises(DataError, match="as scripted"):
        fit(Ridge(), tk.rounds(quorum=2), Scripted([["node1"]], DataError))


@pytest.mark.parametrize(
    "estimator", [RobustScaler(), make_pipeline(StandardScaler(), Ridge())], ids=["one", "several"]
)
def test_too_few_rounds_are_an_error_and_not_half_an_answer(estimator: Any) -> None:
    with pytest.raises(PlanError, match="has no answer after the 1 rounds of the sync"):
        fit(estimator, tk.rounds(1), tk.Inline())
    fit(estimator, tk.rounds(20), tk.Inline())


def test_means_of_sums_are_refused() -> None:
    with pytest.raises(PlanError, match="Ridge is exact: its updates are sums"):
        Plan(learner_for(Ridge()), chain=[tk.weigh("rows")])
