"""tk.fit and tk.run: learn from the rows of all nodes; Fit is what comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

from talkoot.api.job import Job
from talkoot.core.engine import Engine, Listener, ignore
from talkoot.core.errors import PlanError
from talkoot.core.learner import Learner
from talkoot.core.plan import Plan
from talkoot.core.run import Run
from talkoot.core.shard import Schema
from talkoot.core.sync import Outcome, Sync
from talkoot.data.shards import Shards, shards
from talkoot.learners import learner_for


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """A fit that has ended.

    Args:
        model: the fitted object: a plain estimator that predicts and pickles without Talkoot.
        run: the run behind it: plan, final state, every round.
        job: the plan, the rows as they were given, the engine and the reason for it.
        shards: the rows as the nodes agreed to read them.
        seconds: wall time from the call to the model.
        note: how the model came about, where that is not plain.
    """

    model: Any
    run: Run
    job: Job
    shards: Shards
    seconds: float
    note: str = ""

    @property
    def schema(self) -> Schema:
        """What the nodes agreed on."""
        return self.run.schema

    @property
    def history(self) -> tuple[Outcome, ...]:
        """Every round: who arrived, who failed and why, metrics and seconds."""
        return self.run.history

    @property
    def engine(self) -> Engine:
        """Where the nodes were."""
        return self.job.engine

    @property
    def reason(self) -> str:
        """Why there."""
        return self.job.reason

    def __repr__(self) -> str:
        what = f"{type(self.model).__name__}, {len(self.shards)} nodes, {self.schema.rows} rows"
        return f"<Fit: {what}, {len(self.history)} rounds, {self.seconds:.2f} s on {self.engine!r}>"


def fit(
    estimator: Any,
    data: Any,
    target: Any = None,
    *,
    weight: Any = None,
    by: str | None = None,
    nodes: int | None = None,
    on: Engine | None = None,
    sync: Sync | None = None,
    seed: int = 0,
) -> Fit:
    """Fit an estimator to the rows of all nodes, as one machine with all rows would.

    Args:
        estimator: an unfitted scikit-learn estimator, or a learner.
        data: the rows; see `shards`.
        target: the target column, or an array of targets.
        weight: the column of sample weights, or an array.
        by: the column whose values name the nodes.
        nodes: deal the rows over that many nodes.
        on: where the nodes are; chosen for the job and this machine by default.
        sync: when nodes meet; until the learner is done by default.
        seed: all random numbers follow from it.

    Raises:
        NotDistributable: no learner fits the estimator, or one of its parameters.
        DataError: rows, columns or a target that cannot be used.
        NodeError: a node did not finish.
    """
    plan = Plan(learner_for(estimator), sync=sync, seed=seed)
    return run(plan, data, target, weight=weight, by=by, nodes=nodes, on=on)


def run(
    plan: Plan,
    data: Any,
    target: Any = None,
    *,
    weight: Any = None,
    by: str | None = None,
    nodes: int | None = None,
    on: Engine | None = None,
) -> Fit:
    """Run a plan on the rows of all nodes. The arguments are those of `fit`."""
    began = time.perf_counter()
    given = shards(data, target, weight=weight, by=by, nodes=nodes)
    engine, reason = place(plan.learner, given, on)
    job = Job(plan=plan, shards=given, engine=engine, reason=reason)
    with _told(job, began) as listen:
        schema, bound = job.agree(listen)
        done = job.execute(schema, bound, listen)
        model = plan.learner.finish(done.model)
    return Fit(model=model, run=done, job=job, shards=bound, seconds=time.perf_counter() - began)


def place(learner: Learner, given: Shards, on: Engine | None) -> tuple[Engine, str]:
    """The engine to use, and why.

    Raises:
        PlanError: `on` is no engine.
    """
    if on is None:
        from talkoot.engines.inline import Inline

        return Inline(), "no choice yet"
    if not isinstance(on, Engine):
        raise PlanError(f"on={on!r} is not a place for nodes", cure="Write on=tk.Local(2), for example.")
    return on, "as asked"


@contextmanager
def _told(job: Job, began: float, listen: Listener = ignore) -> Iterator[Listener]:
    listen(
        "start",
        {
            "plan": str(job.plan),
            "digest": job.plan.digest,
            "nodes": list(job.shards),
            "rows": {},
            "engine": repr(job.engine),
            "reason": job.reason,
        },
    )
    try:
        yield listen
    except BaseException as error:
        listen("end", {"seconds": time.perf_counter() - began, "ok": False, "error": _say(error)})
        raise
    listen("end", {"seconds": time.perf_counter() - began, "ok": True, "error": None})


def _say(error: BaseException) -> str:
    return "interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__
