"""The one loop, and what one node does in a round: the meaning of every plan."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from talkoot.core.context import Ctx, stream_rng
from talkoot.core.engine import HISTORY, Emit, Engine, Nodes, Progress, Run, View, ignore
from talkoot.core.errors import DataError, NodeFailed, PlanError, QuorumError, TalkootError
from talkoot.core.learner import Learner
from talkoot.core.plan import Plan
from talkoot.core.round import UPDATE, Merged, Outcome, Round
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import METRIC, Update


@final
@dataclass(frozen=True, slots=True)
class NodeState:
    """A node's own state: (learner's, chain's) now, and before its last round."""

    now: tuple[Any, Any] = (None, None)
    before: tuple[Any, Any] = (None, None)
    round: int = -1

    def portable(self, plan: Plan) -> NodeState | None:
        """What of it another worker needs; None if that one starts without."""
        pairs = [(plan.learner.portable(local), local, chain) for local, chain in (self.now, self.before)]
        if any(sent is None and local is not None for sent, local, _ in pairs):
            return None
        now, before = ((sent, chain) for sent, _, chain in pairs)
        held = any(
            sent is not None or any(link is not None for link in chain or ()) for sent, chain in (now, before)
        )
        return NodeState(now=now, before=before, round=self.round) if held else None


def work(plan: Plan, question: Any, shard: Shard, state: NodeState, rnd: Round) -> tuple[Update, NodeState]:
    """One node, one round: work, encode, go on. Every engine calls this, or its two halves."""
    ctx = plan.ctx(rnd, shard.name)
    update, state = contribute(plan, question, shard, state, rnd, ctx)
    return update, overlap(plan, shard, state, rnd, ctx)


def contribute(
    plan: Plan, question: Any, shard: Shard, state: NodeState, rnd: Round, ctx: Ctx
) -> tuple[Update, NodeState]:
    """The first half of a node's round: work, then encode; or its answer in a phase of the chain."""
    start = state.before if state.round in rnd.dropped else state.now
    before = state.before if state.round == rnd.index else start  # where the phases of one round began
    local = start[0]
    if state.round < 0:
        plan.learner.require_readable(shard)
    if rnd.phase == UPDATE:
        if plan.chain.talks:
            ctx = replace(ctx, about=plan.digest(rnd, question))
        update, local = plan.learner.work(question, local, shard, ctx)
        update, chain = plan.chain.encode(update, start[1], ctx)
    else:
        update, chain = plan.chain.answer(rnd.phase, start[1], ctx)
    return update, NodeState(now=(local, chain), before=before, round=rnd.index)


def overlap(plan: Plan, shard: Shard, state: NodeState, rnd: Round, ctx: Ctx) -> NodeState:
    """The second half: what the node goes on with while its update is on its way."""
    if rnd.phase != UPDATE:
        return state
    before, chain = state.now
    local = plan.learner.overlap(before, shard, ctx)
    return state if local is before else replace(state, now=(local, chain))


def restarted(plan: Plan, before: NodeState | None, after: NodeState, rnd: Round) -> bool:
    """Whether a node did a later round without its own state of earlier ones, and that matters."""
    local, chain = after.now
    if before is not None or not rnd.index or local is None or plan.learner.portable(local) is not None:
        return False
    if rnd.work.delay or rnd.work.seconds is not None:  # it had gone on by itself
        return True
    return plan.learner.carries(local) or any(link is not None for link in chain or ())


def run(
    plan: Plan,
    shards: Mapping[str, Shard],
    engine: Engine,
    *,
    schema: Schema,
    view: View | None = None,
    emit: Emit = ignore,
    model: Any = None,
) -> Run:
    """Run a plan to its end, on an engine that is opened for it alone.

    Args:
        plan: what to do.
        shards: each node's rows by the node's name.
        engine: where the nodes are.
        schema: what the nodes agreed on before.
        view: how each node looks at its shard; as it is by default.
        emit: called after every round.
        model: where to start, instead of the learner's own start.

    Raises:
        TalkootError: a node failed in a round that needs all of them, or a quorum was missed.
        PlanError: the rounds ended before a learner whose answer is exact had it.
    """
    if model is None and view is None and (done := engine.lower(plan, shards, schema, emit)) is not None:
        return done
    with engine.open(shards, emit) as nodes:
        return run_on(nodes, plan, schema=schema, view=view, emit=emit, model=model)


def run_on(
    nodes: Nodes,
    plan: Plan,
    *,
    schema: Schema,
    view: View | None = None,
    among: Sequence[str] | None = None,
    emit: Emit = ignore,
    model: Any = None,
) -> Run:
    """Run a plan to its end on nodes that are there already; as `run` besides.

    Args:
        nodes: the nodes.
        plan: what to do.
        schema: what they agreed on.
        view: how each looks at its shard.
        among: the nodes that take part; all by default.
        emit: called after every round.
        model: where to start.
    """
    plan = plan.agreed(schema)
    nodes.place(plan, view)
    names = nodes.names if among is None else tuple(name for name in nodes.names if name in set(among))
    model = plan.learner.init(schema, stream_rng(plan.seed, "init")) if model is None else model
    most = plan.learner.limit(schema, plan.sync)
    now = nodes.resume(Progress(model=model, outer=plan.outer.init(model), point=model))
    while not (done := plan.outer.done(now.outer)) and now.rounds != most:
        if (rnd := plan.sync.next(now.last)) is None:
            break
        now, merged = run_round(plan, _addressed(plan, rnd, names), nodes, now)
        emit("round", _facts(now.history[-1], merged))
        nodes.record(now)
    if not done and plan.outer.ends and plan.learner.needs_all:
        raise _unfinished(plan, now.rounds)
    return Run(plan, schema, now.model, now.point, now.update, now.history)


def _addressed(plan: Plan, rnd: Round, nodes: tuple[str, ...]) -> Round:
    """A round with its cohort; where the answer needs every node, all of them, and all of them a quorum."""
    cohort = rnd.choose(nodes, plan.seed)
    if (cohort == nodes and rnd.meeting.quorum is None) or not plan.learner.needs_all:
        return replace(rnd, cohort=cohort)
    if len(cohort) < len(nodes):
        raise PlanError(
            f"{plan.learner.name} is {plan.learner.kind}: its answer needs the rows of all nodes, and "
            f"{plan.sync} asks {len(cohort)} of {len(nodes)}",
            cure="Take a sync that asks all nodes, such as tk.rounds().",
        )
    return replace(rnd, cohort=cohort, meeting=replace(rnd.meeting, quorum=len(cohort)))


def _unfinished(plan: Plan, rounds: int) -> PlanError:
    return PlanError(
        f"{plan.learner.name} is {plan.learner.kind} and has no answer after the {rounds} rounds of the sync",
        cure="Leave the number of rounds out: it stops by itself. Solvers have max_iter= and tol= for less.",
    )


def run_round(plan: Plan, rnd: Round, nodes: Nodes, now: Progress) -> tuple[Progress, Merged]:
    """One round with its phases, and where the run stands after it."""
    began = time.perf_counter()
    rnd, merged = _held(plan, rnd, nodes, plan.learner.question(now.model))
    committed = is_committed(rnd, merged, plan.learner)
    after = now
    if committed:
        update, chain, merge = _decoded(plan, merged, now, plan.ctx(rnd))
        model, outer = plan.outer.apply(now.model, update, now.outer)
        after = replace(
            now, model=model, outer=outer, chain=chain, merge=merge, point=now.model, update=update
        )
    outcome = Outcome(
        round=replace(rnd, board={}),
        arrived=merged.arrived,
        failed={node: str(error) for node, error in merged.failed.items()},
        committed=committed,
        metrics={**plan.learner.measures(after.model), **(measured(after.update) if committed else {})},
        seconds=time.perf_counter() - began,
    )
    return replace(after, history=(*now.history[1 - HISTORY :], outcome)), merged


def _held(plan: Plan, rnd: Round, nodes: Nodes, question: Any) -> tuple[Round, Merged]:
    """Hold a round with its phases. Who fails in one of them takes no part in the next.

    A round that can no longer count ends at once, before nodes say more about it. An update that arrived
    counts, also where its node is lost in a phase after that.
    """
    cohort, failed = rnd.cohort, dict[str, TalkootError]()
    if plan.chain.talks:
        rnd = replace(rnd, about=plan.digest(rnd, question))
    merged, worked = Merged(arrived=cohort), False
    for phase in plan.chain.phases:
        found = nodes.round(replace(rnd, phase=phase), question if phase == UPDATE else None)
        failed |= found.failed
        merged = merged if worked else found
        if phase == UPDATE:
            worked = True
        else:
            posted = {node: update.values for node, update in (found.each or {}).items()}
            rnd = replace(rnd, board={**rnd.board, phase: posted})
        if (failed and rnd.meeting.quorum is None) or len(merged.arrived) < (rnd.meeting.quorum or 0):
            break
        rnd = replace(rnd, cohort=found.arrived)
    else:
        read = plan.ctx(replace(rnd, cohort=cohort))
        if plan.chain.talks and (obstacle := plan.chain.obstacle(read)) is not None:
            failed |= {node: obstacle.at(node=node) for node in merged.arrived if node not in failed}
            merged = replace(merged, arrived=())
    if rnd.meeting.quorum is not None:
        failed = {node: error for node, error in failed.items() if node not in merged.arrived}
    return replace(rnd, cohort=cohort), replace(merged, failed=failed)


def _decoded(plan: Plan, merged: Merged, now: Progress, ctx: Ctx) -> tuple[Update, Any, Any]:
    """(update, the chain's state, the merge's state): the sum decoded, or each update decoded and merged."""
    if merged.each is None:
        update, chain = plan.chain.decode(merged.update, now.chain, ctx)
        return update, chain, now.merge
    chains = dict(now.chain or {})
    updates = {}
    for node, encoded in merged.each.items():
        updates[node], chains[node] = plan.chain.decode(encoded, chains.get(node), ctx)
    update, merge = plan.merge.merge(updates, now.merge)
    return update, chains, merge


PATIENCE = 3  # rounds in a row that may miss their quorum


def is_committed(rnd: Round, merged: Merged, learner: Learner) -> bool:
    """Whether a round counts. Without a quorum every node of it must arrive, or its error is raised.

    Args:
        rnd: the round.
        merged: what came of it.
        learner: what is learned; where it needs all nodes, a round that missed its quorum is held again.

    Raises:
        TalkootError: the first failure, where all nodes are needed.
        QuorumError: the quorum was missed PATIENCE times in a row.
    """
    if rnd.meeting.quorum is None and merged.failed:
        raise next(iter(merged.failed.values()))
    if rnd.meeting.quorum is None or len(merged.arrived) >= rnd.meeting.quorum:
        return True
    refused = [error for error in merged.failed.values() if isinstance(error, DataError)]
    if refused and learner.needs_all:
        raise refused[0]  # its rows would be refused again
    if set(rnd.dropped) >= set(range(rnd.index - PATIENCE + 1, rnd.index)) and rnd.index + 1 >= PATIENCE:
        raise _missed(rnd, merged, needs_all=learner.needs_all)
    return False


def _missed(rnd: Round, merged: Merged, *, needs_all: bool) -> QuorumError:
    missing = "; ".join(f"{node}: {error}" for node, error in merged.failed.items())
    if needs_all:
        absent = [node for node in rnd.cohort if node not in merged.arrived]
        names = ", ".join(map(repr, absent))
        return QuorumError(
            f"{len(absent)} of {len(rnd.cohort)} nodes did not arrive, {PATIENCE} rounds in a row, and the "
            f"answer needs the rows of all: {names} ({missing or 'no node failed'})",
            step=f"round {rnd.index}",
            cure=f"Start again when they are back, or leave them out of the data: {names}.",
        )
    return QuorumError(
        f"{len(merged.arrived)} of {len(rnd.cohort)} nodes arrived and the quorum is {rnd.meeting.quorum}, "
        f"{PATIENCE} rounds in a row ({missing or 'no node failed'})",
        step=f"round {rnd.index}",
        cure="Lower the quorum, or ask more nodes.",
    )


def measured(update: Update) -> dict[str, float]:
    """The numbers in an update that are only to be seen."""
    return {
        name.removeprefix(METRIC): float(value[0])
        for name, value in update.values.items()
        if name.startswith(METRIC)
    }


def _facts(outcome: Outcome, merged: Merged) -> dict[str, Any]:
    return {
        "round": outcome.round.index,
        "arrived": list(outcome.arrived),
        "failed": dict(outcome.failed),
        "late": list(outcome.late),
        "committed": outcome.committed,
        "metrics": dict(outcome.metrics),
        "seconds": outcome.seconds,
        "nodes": dict(merged.seconds),
    }


def explain(error: BaseException, node: str, when: Round | str) -> TalkootError:
    """An exception of a node's work as an error that names the node and the round, traceback first."""
    step = when if isinstance(when, str) else f"round {when.index}"
    if isinstance(error, TalkootError):
        return error.at(node=node, step=step)
    trace = "".join(traceback.format_exception(error))
    return NodeFailed(f"{trace}\nThe node raised the error above", node=node, step=step)
