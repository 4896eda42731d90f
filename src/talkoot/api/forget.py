"""What adds can be subtracted: a fit without one node, by subtraction of its sums where that is exact."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, final

import numpy as np

from talkoot.api.job import Job, run_events
from talkoot.api.watching import listeners
from talkoot.core.engine import Emit, Engine, Run, View
from talkoot.core.errors import DataError, NotInvertible, Refused
from talkoot.core.learner import Learner
from talkoot.core.plan import Plan
from talkoot.core.round import Round
from talkoot.core.run import is_committed
from talkoot.core.shard import Schema
from talkoot.core.transform import Stage
from talkoot.core.update import Leaf, Update
from talkoot.data.schema import Bind, facts
from talkoot.data.shards import Shards
from talkoot.watch.events import Event

REFIT = (
    "Without its consent nothing is subtracted. Where sums are open, have the operator leave it out of sites "
    "in coordinator.toml, and fit again; under masks the others refuse that, as it would show the same."
)
CANCELLATION = 1e-5  # Below this ratio cancellation leaves under 11 digits; refit.


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Remainder:
    """The fields of a `Fit` that change when a node leaves."""

    model: Any
    run: Run
    job: Job
    view: Bind | None
    note: str
    seconds: float
    events: tuple[Event, ...]


def forget(run: Run, job: Job, view: Bind | None, node: str, past: Sequence[Event]) -> Remainder:
    """The fit without `node`; see `Fit.forget`. `past` are the events of the run with all nodes.

    Raises:
        DataError: there is no such node, or no other.
        NotInvertible: the model is a module of torch, or goes on from an earlier fit.
        NodeError: a node did not answer.
    """
    _require_node(node, job.shards)
    _require_no_earlier_fit(job.plan.learner, node)
    if view is None:
        raise NotInvertible(
            "a module of torch cannot forget what it learned from a node",
            node=node,
            cure="Fit without the node.",
        )
    rows = view.rows or {}
    removed = rows.get(node, 0)
    if len(job.shards) == 1 or removed == run.schema.rows:
        raise DataError("no other node has rows, so nothing would be left", node=node)
    began, events = time.perf_counter(), list[Event]()
    rest = job.without(node)
    with listeners(None, False, events) as emit, run_events(rest, emit):
        left = _subtracted(run, job, view, node, past, emit)
        if left is None and job.elsewhere and any(link.sum_only for link in run.plan.chain):
            _ask_for_consent(run, job, node, past, emit)
        if job.elsewhere:
            rest = replace(rest, engine=_consented(rest.engine, events))
        if left is None:
            left, view, note = _refit(run, rest, node, emit)
            model = job.plan.learner.finish(left.model)
        else:
            note = f"the sums of node {node!r} were subtracted; no other node took part"
            model = job.plan.learner.finish(left.model)
            left = replace(
                left,
                schema=_remaining(run.schema, model, removed or int(run.update.weight - left.update.weight)),
            )
            _repeat_rounds(left.schema, {name: rows.get(name, 0) for name in rest.shards}, past, emit)
            if job.elsewhere:
                _deliver(rest, _fitted(past), model, emit)
    seconds = time.perf_counter() - began
    return Remainder(
        model=model, run=left, job=rest, view=view, note=note, seconds=seconds, events=tuple(events)
    )


def _require_node(node: str, shards: Shards) -> None:
    names = list(shards)
    if node not in names:
        near = get_close_matches(str(node), names, n=1)
        cure = f"Did you mean {near[0]!r}?" if near else f"The nodes are {', '.join(map(repr, names))}."
        raise DataError(f"there is no node {node!r}", cure=cure)


def _require_no_earlier_fit(learner: Learner, node: str) -> None:
    if learner.continues:
        raise NotInvertible(
            f"{learner.name} goes on from an earlier fit (warm_start=True), which may have seen its rows",
            node=node,
            cure="Fit sklearn.base.clone(estimator), which begins with the first tree, without the node.",
        )


def _repeat_rounds(schema: Schema, rows: Mapping[str, int], past: Sequence[Event], emit: Emit) -> None:
    """Emit the schema of the remaining rows and the past rounds, whose sums this answer is made of."""
    emit("schema", facts(schema, rows))
    for event in past:
        if event["event"] in ("proposed", "round"):
            emit(event["event"], {key: value for key, value in event.items() if key not in ("t", "event")})


def _remaining(schema: Schema, model: Any, removed: int) -> Schema:
    """The schema of the other nodes' rows: without the classes that only the node had."""
    classes = None if schema.classes is None else np.asarray(getattr(model, "classes_", schema.classes))
    return replace(schema, rows=schema.rows - removed, classes=classes)


def _subtracted(run: Run, job: Job, view: View, node: str, past: Sequence[Event], emit: Emit) -> Run | None:
    """As `subtract`; a site of another organisation decides whether it sends its own sums.

    Raises:
        Refused: it does not.
    """
    exact = all(link.stage in (Stage.FIXED, Stage.MASK) for link in run.plan.chain)
    if not job.elsewhere:
        return None if run.plan.chain.links else subtract(run, job, view, node, emit)
    if not exact or not run.plan.learner.closed:
        return None
    alone = Plan(run.plan.learner, seed=run.plan.seed)
    openly = replace(run, plan=alone.agreed(run.plan.schema))
    with _refusals():
        return subtract(openly, _to_forget(alone, job, node, past), view, node, emit)


def _to_forget(alone: Plan, job: Job, node: str, past: Sequence[Event]) -> Job:
    """The job that a site decides on before its part becomes known."""
    terms = {"run": _fitted(past), "site": node}
    return replace(job, engine=job.engine.proposed(alone, "forget", terms))


def _fitted(past: Sequence[Event]) -> str:
    """The run of the model that a node was learned from in."""
    return next(str(event["run"]) for event in reversed(past) if event["event"] == "proposed")


@contextmanager
def _refusals() -> Iterator[None]:
    """Say what can be done where a site does not consent."""
    try:
        yield
    except Refused as error:
        raise Refused(error.cause, node=error.node, cure=REFIT) from error


def _ask_for_consent(run: Run, job: Job, node: str, past: Sequence[Event], emit: Emit) -> None:
    """Have a site sign that its part may become known, as it does where others learn again without it."""
    allowed = _to_forget(Plan(run.plan.learner, seed=run.plan.seed), job, node, past)
    with _refusals(), allowed.engine.open({node: job.shards[node]}, emit):
        pass


def _consented(engine: Engine, events: Sequence[Event]) -> Engine:
    """The engine of the other sites, with the consents that came."""
    from talkoot.engines.federation.engine import Federation

    assert isinstance(engine, Federation)
    return engine.consented(event for event in events if event["event"] == "consented")


def _deliver(rest: Job, run: str, model: Any, emit: Emit) -> None:
    """Let the other sites have the model without the node."""
    from talkoot.engines.federation.engine import Federation
    from talkoot.formats.save import saved

    assert isinstance(rest.engine, Federation)
    rest.engine.deliver(run, tuple(rest.shards), saved(model, None), emit)


def subtract(run: Run, job: Job, view: View, node: str, emit: Emit) -> Run | None:
    """The run with one node's sums subtracted from its last round; None where that is not the answer."""
    plan = run.plan  # with the schema by which the shards are read: that of all nodes
    sums = all(kind is Leaf.SUM for kind in run.update.kinds.values())
    arrived = [outcome.arrived for outcome in run.history if outcome.committed]
    if not (plan.learner.closed and sums and arrived and node in arrived[-1]):
        return None
    rnd = Round(index=len(run.history), cohort=(node,))
    with job.engine.open({node: job.shards[node]}, emit) as nodes:
        nodes.place(plan, view)
        merged = nodes.round(rnd, plan.learner.question(run.point))
    is_committed(rnd, merged, plan.learner)
    rest = run.update - merged.update
    if _cancels(run.update, rest):
        return None
    model, outer = plan.outer.apply(run.point, rest, plan.outer.init(run.point))
    return replace(run, update=rest, model=model) if plan.outer.done(outer) else None


def _cancels(whole: Update, rest: Update) -> bool:
    norms = [(np.linalg.norm(rest.values[k]), np.linalg.norm(v)) for k, v in whole.values.items()]
    return any(0 < left < CANCELLATION * before for left, before in norms)


def _refit(run: Run, job: Job, node: str, emit: Emit) -> tuple[Run, Bind | None, str]:
    with job.open(emit) as opened:
        start = None if job.elsewhere else job.plan.learner.warm(run.model, opened.schema)
        left = opened.run(start=start)
    how = "from the start" if start is None else "from the present solution"
    return left, opened.view, f"the other nodes fitted again without {node!r}, {how}"
