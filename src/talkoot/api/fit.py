"""tk.fit and tk.run: learn from the rows of all nodes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

from talkoot.api.job import Job, run_events
from talkoot.api.result import Fit
from talkoot.api.sites import shards_on
from talkoot.api.watching import listeners
from talkoot.core.engine import Engine, Run
from talkoot.core.errors import DataError, PlanError
from talkoot.core.learner import Learner
from talkoot.core.outer import Outer
from talkoot.core.plan import Plan
from talkoot.core.sync import Sync
from talkoot.core.transform import Transform
from talkoot.data.loading.generators import exclusive_generators, restore_generators, start_seed
from talkoot.data.registered import Dataset
from talkoot.data.samples.base import Samples
from talkoot.data.samples.samples import samples
from talkoot.data.shards import Shards
from talkoot.guards.weigh import weigh
from talkoot.learners import learner_for
from talkoot.watch.events import Event


def fit(
    estimator: Any,
    data: Any,
    target: Any = None,
    *,
    weight: Any = None,
    qid: Any = None,
    by: str | None = None,
    nodes: int | None = None,
    columns: Sequence[Any] | None = None,
    encoding: str | None = None,
    missing: Sequence[str] | None = None,
    on: Engine | None = None,
    sync: Sync | None = None,
    chain: Sequence[Transform] | None = None,
    outer: Outer | None = None,
    seed: int = 0,
    log: str | Path | None = None,
    progress: bool | None = None,
) -> Fit:
    """Fit an estimator to the rows of all nodes, as one machine with all rows would.

    Args:
        estimator: an unfitted scikit-learn estimator, a task such as `tk.Torch(...)`, or a learner. A fitted
            HistGradientBoosting with ``warm_start=True`` stays as it is, and its trees are the first ones.
        data: files, tables, arrays, or a dict of named nodes; see `shards`. Tasks of torch also take
            arrays of any shape, datasets of torch, `tk.images` and `tk.tokens`.
        target: the target's column, or an array of targets.
        weight: the column of sample weights, or an array.
        qid: the column of query ids, for estimators that rank, or an array; see `shards`.
        by: a column whose values name the nodes.
        nodes: split the rows of one source over that many nodes; as many as the engine works on at once
            by default, but one for forests, as their answer depends on which node has which rows.
        columns: the feature columns; all others by default.
        encoding: how the text of CSV files is encoded, such as "cp1252"; UTF-8 by default.
        missing: texts that stand for a missing value, such as ``["?"]``.
        on: where the nodes are, such as ``tk.Local(2)``; chosen for the job and this machine by default.
        sync: when the nodes meet, such as ``tk.rounds(50, deadline="10m")`` or ``tk.every(steps=100)``;
            until the learner is done by default, which for tasks of torch is at every step.
        chain: transforms of updates, such as ``[tk.weigh("rows"), tk.quantize()]``; by default none, or
            for averaged learners the mean weighted by rows.
        outer: how the merged update changes the model; the learner's own outer step by default.
        seed: all random numbers follow from it.
        log: where to write the event log of the run.
        progress: show the run in the terminal; by default if there is one and it takes over a second.

    Returns:
        A `Fit`; its `model` is the fitted estimator.

    Raises:
        NotDistributable: no learner fits the estimator, or one of its parameters.
        DataError: rows, columns or a target that cannot be used.
        NodeError: a node did not finish.

    >>> import numpy as np, talkoot as tk
    >>> from sklearn.linear_model import LinearRegression
    >>> X = np.arange(8.0).reshape(4, 2)
    >>> here, there = (X[:3], X[:3, 0] + 1), (X[3:], X[3:, 0] + 1)
    >>> fit = tk.fit(LinearRegression(), {"here": here, "there": there})
    >>> fit.model.predict(X).round(6)
    array([1., 3., 5., 7.])
    """
    learner = learner_for(estimator)
    if qid is not None and not learner.queries:
        raise DataError(
            f"qid= is for estimators that rank, and {learner.name} does not", cure="Leave it out."
        )
    transforms = [weigh("rows")] if chain is None and learner.means else chain or ()
    plan = Plan(learner, chain=transforms, outer=outer, sync=sync, seed=seed)
    unbound = _shards(
        learner,
        data,
        target,
        on,
        nodes=nodes,
        columns=columns,
        weight=weight,
        qid=qid,
        by=by,
        encoding=encoding,
        missing=missing,
    )
    spread = nodes is None and by is None and not isinstance(data, Mapping)
    return _run(Job.place(plan, unbound, on, spread=spread), log, progress)


def run(
    plan: Plan,
    data: Any,
    target: Any = None,
    *,
    on: Engine | None = None,
    log: str | Path | None = None,
    progress: bool | None = None,
) -> Fit:
    """Run a plan on the rows of all nodes: `fit` with every part chosen by the caller.

    Args:
        plan: what to run.
        data: what `shards` takes or returns.
        target: the target's column, or an array of targets.
        on: where the nodes are; chosen for the job and this machine by default.
        log: where to write the event log of the run.
        progress: show the run in the terminal; by default if there is one and it takes over a second.

    Raises:
        DataError: rows, columns or a target that cannot be used.
        NodeError: a node did not finish.

    >>> import numpy as np, talkoot as tk
    >>> from sklearn.preprocessing import StandardScaler
    >>> plan = tk.Plan(learner_for(StandardScaler()), sync=tk.rounds(deadline="10m"))
    >>> tk.run(plan, np.array([[1.0], [3.0]])).model.mean_
    array([2.])
    """
    unbound = _shards(plan.learner, data, target, on)
    return _run(Job.place(plan, unbound, on, spread=not isinstance(data, Mapping)), log, progress)


def _shards(
    learner: Learner,
    data: Any,
    target: Any,
    on: Engine | None,
    *,
    nodes: int | None = None,
    columns: Any = None,
    **roles: Any,
) -> Shards:
    """The rows of every node, or its samples where the learner reads samples."""
    if learner.reads is Samples and isinstance(data, Dataset):
        raise PlanError(
            f"{learner.name} reads samples, and sites of a federation have rows",
            cure="Have sites register a learner that reads rows, as examples/hospital/network.py is one.",
        )
    if learner.reads is not Samples:
        return shards_on(data, target, on, nodes=nodes, columns=columns, **roles)
    for role, value in roles.items():
        if value is not None:
            raise DataError(f"{role}= has no meaning for tasks that read samples", cure="Leave it out.")
    found = Shards(cast(Any, samples(data, target, columns=columns)))
    return found if nodes is None else found.deal(nodes)


def _finish(plan: Plan, done: Run) -> Any:
    """The fitted object; modules are built from the same seed as on the nodes."""
    with exclusive_generators(start_seed(plan.seed)) if plan.learner.reads is Samples else nullcontext():
        return plan.learner.finish(done.model)


def _run(job: Job, log: str | Path | None, progress: bool | None) -> Fit:
    began = time.perf_counter()
    events: list[Event] = []
    if not job.engine.is_primary:
        log, progress = None, False
    with (
        listeners(log, progress, events) as emit,
        run_events(job, emit),
        job.open(emit) as opened,
        restore_generators() if job.plan.learner.reads is Samples else nullcontext(),
    ):
        done = opened.run(resumes=True)
        model = _finish(job.plan, done)
        opened.deliver(model)
    seconds = time.perf_counter() - began
    texts = [str(event["text"]) for event in events if event["event"] in ("note", "advice")]
    for event in events:
        if event["event"] == "note" and event.get("failed"):
            warnings.warn(str(event["text"]), UserWarning, stacklevel=3)
    return Fit(
        model=model,
        run=done,
        job=job,
        view=opened.view,
        seconds=seconds,
        note="; ".join(dict.fromkeys(texts)),
        log=None if log is None else Path(log),
        events=tuple(events),
    )
