"""What adds can be subtracted: a node leaves and takes what its rows said with it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from talkoot.api.job import Job, told, without
from talkoot.api.watching import watched
from talkoot.core.engine import Emit, Run, ignore
from talkoot.core.errors import DataError, NotInvertible
from talkoot.core.round import Round
from talkoot.core.run import is_committed
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Leaf, Update
from talkoot.data.schema import facts
from talkoot.data.shards import Shards
from talkoot.watch.events import Event, tee

if TYPE_CHECKING:
    from talkoot.api.fit import Fit

WORN = 1e-5  # a difference below this share of the whole has lost five digits of its sixteen


def forget(fit: Fit, node: str, emit: Emit = ignore) -> Fit:
    """A fit that equals one that never saw `node`.

    Where one round of sums decides the answer (`Learner.closed`), the node's rows are summed once more and
    subtracted: no other node is asked. Else the other nodes fit again, from the present solution where the
    learner can start there. `Fit.note` says which it was.

    Raises:
        DataError: there is no such node, or no other.
        NotInvertible: the model is a module of torch.
        NodeError: a node that was asked did not answer.
    """
    require_node(node, fit.shards)
    if fit.job.plan.learner.samples:
        raise NotInvertible(
            "a module of torch cannot forget what it learned from a node",
            node=node,
            cure="Fit without the node.",
        )
    gone = fit.shards[node].rows or 0
    if len(fit.shards) == 1 or gone == fit.schema.rows:
        raise DataError("no other node has rows, so nothing would be left", node=node)
    began, events = time.perf_counter(), list[Event]()
    with watched(None, False, events) as record, told(fit.job.without(node), tee(record, emit)):
        forgotten = _forgotten(fit, node, gone, tee(record, emit))
    seconds = time.perf_counter() - began
    return replace(forgotten, seconds=seconds, log=None, events=tuple(events))


def _forgotten(fit: Fit, node: str, gone: int, emit: Emit) -> Fit:
    """The fit without the node, by subtraction where that gives the answer, else fitted again."""
    job = fit.job.without(node)
    run = subtracted(fit.run, fit.job, fit.shards[node], emit)
    if run is None:
        run, bound, note = _refitted(fit.run, job, node, emit)
        model = job.plan.learner.finish(run.model)
    else:
        bound = without(fit.shards, node)
        note = f"the sums of node {node!r} were subtracted; no other node was asked"
        model = job.plan.learner.finish(run.model)
        run = replace(run, schema=_remaining(run.schema, model, gone))
        emit("schema", facts(run.schema, {name: source.rows or 0 for name, source in bound.items()}))
        for event in fit.events:
            if event["event"] == "round":  # what is left of them decides this answer
                emit("round", {key: value for key, value in event.items() if key not in ("t", "event")})
    return replace(fit, model=model, run=run, job=job, shards=bound, note=note)


def _remaining(schema: Schema, model: Any, gone: int) -> Schema:
    """The schema of the other nodes' rows: without the classes that only the node had."""
    classes = None if schema.classes is None else np.asarray(getattr(model, "classes_", schema.classes))
    return replace(schema, rows=schema.rows - gone, classes=classes)


def require_node(node: str, known: Iterable[str]) -> None:
    """Refuse a name that no node has.

    Raises:
        DataError: with the nearest names.
    """
    names = list(known)
    if node not in names:
        near = get_close_matches(str(node), names, n=1)
        cure = f"Did you mean {near[0]!r}?" if near else f"The nodes are {', '.join(map(repr, names))}."
        raise DataError(f"there is no node {node!r}", cure=cure)


def subtracted(run: Run, job: Job, shard: Shard, emit: Emit = ignore) -> Run | None:
    """The run with one node's sums taken out of its last round; None where that cannot give the answer."""
    plan = job.plan
    sums = all(kind is Leaf.SUM for kind in run.update.kinds.values())
    heard = [outcome.arrived for outcome in run.history if outcome.committed]
    if not (plan.learner.closed and sums and heard and shard.name in heard[-1]) or plan.chain.links:
        return None
    rnd = Round(index=len(run.history), cohort=(shard.name,))
    with job.engine.open({shard.name: shard}, emit) as nodes:
        nodes.place(plan)
        merged = nodes.round(rnd, plan.learner.question(run.point))
    is_committed(rnd, merged)
    rest = run.update - merged.update
    if _worn(run.update, rest):
        return None
    model, outer = plan.outer.apply(run.point, rest, plan.outer.init(run.point))
    return replace(run, update=rest, model=model) if plan.outer.done(outer) else None


def _worn(whole: Update, rest: Update) -> bool:
    norms = [(np.linalg.norm(rest.values[k]), np.linalg.norm(v)) for k, v in whole.values.items()]
    return any(0 < left < WORN * before for left, before in norms)


def _refitted(run: Run, job: Job, node: str, emit: Emit) -> tuple[Run, Shards, str]:
    schema, bound = job.agree(emit)
    warm: Any = getattr(job.plan.learner, "warm", None)
    start = None if warm is None else warm(run.model, schema)
    how = "from the start" if start is None else "from the present solution"
    return (
        job.execute(schema, bound, emit, start=start),
        bound,
        f"the other nodes fitted again without {node!r}, {how}",
    )
