"""Checks of learners."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talkoot.core.context import Ctx
from talkoot.core.engine import Run
from talkoot.core.learner import Learner
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.sync import rounds
from talkoot.core.update import total
from talkoot.data.schema import agree
from talkoot.data.shards import Shards, shards
from talkoot.engines.inline import Inline
from talkoot.guards.weigh import weigh
from talkoot.testing.compare import assert_same
from talkoot.testing.strategies import deals


def check_learner(
    learner: Learner, X: Any, y: np.ndarray | None = None, *, labels: bool = False, rtol: float = 1e-9
) -> None:
    """Check the laws of a learner on rows split at random over nodes, some of which get none.

    A node without rows sends the identity. Exact learners: the answer does not depend on how rows are split
    over nodes. Closed learners: subtracting a node's sums gives the answer of a run without the node.

    Args:
        learner: what to check.
        X: rows, (rows, features); a few hundred are enough.
        y: targets, if the learner needs them.
        labels: the targets are classes.
        rtol: allowed difference, relative to the greatest entry of each fitted attribute.

    Raises:
        AssertionError: a law does not hold; Hypothesis prints the smallest split that shows it.

    >>> from talkoot.testing.toys import Count
    >>> check_learner(Count(), np.arange(20.0).reshape(10, 2))
    """

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(deals(X.shape[0]), st.integers(0, 99))
    def laws(deal: list[np.ndarray], turn: int) -> None:
        whole = _run(learner, shards((X, y) if y is not None else X), labels)
        dealt = _run(learner, _deal(X, y, deal), labels)
        if learner.kind == "exact":
            assert_same(_result(dealt), _result(whole), rtol=rtol, where="dealt")
        if learner.closed:
            _check_inverse(learner, X, y, deal, labels, rtol)
        rotated = deal[turn % len(deal) :] + deal[: turn % len(deal)]
        if learner.kind == "exact":
            assert_same(_result(_run(learner, _deal(X, y, rotated), labels)), _result(dealt), rtol=rtol)

    _check_empty(learner, X, y, labels)
    laws()


def _deal(X: Any, y: np.ndarray | None, deal: list[np.ndarray]) -> Shards:
    return shards(
        {f"node{i}": (X[rows], y[rows]) if y is not None else X[rows] for i, rows in enumerate(deal)}
    )


def _run(learner: Learner, data: Shards, labels: bool) -> Run:
    schema, bound = agree(data, Inline(), labels=labels)
    return run(_plan(learner), bound, Inline(), schema=schema)


def _plan(learner: Learner) -> Plan:
    return Plan(learner) if learner.outer().ends else Plan(learner, chain=[weigh()], sync=rounds(3))


def _result(done: Run) -> Any:
    return done.plan.learner.finish(done.model)


def _check_empty(learner: Learner, X: Any, y: np.ndarray | None, labels: bool) -> None:
    none = np.arange(0)
    data = _deal(X, y, [np.arange(X.shape[0]), none])
    schema, bound = agree(data, Inline(), labels=labels)
    model = learner.init(schema, np.random.default_rng(0))
    question = learner.question(model)
    empty, _ = learner.work(question, None, bound["node1"], Ctx(node="node1"))
    full, _ = learner.work(question, None, bound["node0"], Ctx(node="node0"))
    assert_same(total([full, empty]), full, rtol=0, where="empty node")


def _check_inverse(
    learner: Learner, X: Any, y: np.ndarray | None, deal: list[np.ndarray], labels: bool, rtol: float
) -> None:
    if len(deal) < 2 or len(deal[-1]) == X.shape[0]:
        return
    data = _deal(X, y, deal)
    schema, bound = agree(data, Inline(), labels=labels)
    done = run(Plan(learner), bound, Inline(), schema=schema)
    leaving = bound[f"node{len(deal) - 1}"]
    removed, _ = learner.work(learner.question(done.point), None, leaving, Ctx(node=leaving.name))
    if any(removed.kind(name).value != "sum" for name in removed.values):
        return
    left, _ = done.plan.outer.apply(done.point, done.update - removed, done.plan.outer.init(done.point))
    never = _run(learner, _deal(X, y, deal[:-1]), labels)
    assert_same(learner.finish(left), _result(never), rtol=rtol, where="without the last node")
