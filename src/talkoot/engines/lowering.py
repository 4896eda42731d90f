"""When an engine runs a plan as a whole (`Engine.lower`): by ranks, and by steps of the task's optimizer."""

from __future__ import annotations

from collections.abc import Mapping

from talkoot.core.errors import PlanError
from talkoot.core.plan import Plan
from talkoot.core.shard import Shard
from talkoot.core.sync import EveryStep
from talkoot.data.samples.base import samples_of
from talkoot.guards.weigh import Weigh


def by_ranks(plan: Plan, shards: Mapping[str, Shard], *, checkpoint: bool) -> bool:
    """Whether ranks run the loop of a plan: it reads samples, and no round counts without some of them.

    Raises:
        PlanError: checkpoints are wanted, which ranks alone write.
    """
    quorum = plan.sync.meeting.quorum
    if checkpoint and quorum is not None and samples_of(shards):
        raise PlanError(
            f"checkpoints are written by ranks, and ranks need all nodes, not a quorum of {quorum}",
            cure="Leave quorum= out, or take tk.Inline(checkpoint=...).",
        )
    return bool(samples_of(shards)) and quorum is None


def by_one_rank(plan: Plan, shards: Mapping[str, Shard], *, checkpoint: bool) -> bool:
    """Whether this process runs it as the only rank: where that gains live steps, or checkpoints."""
    return bool(samples_of(shards)) and (plan.sync.gradient or checkpoint)


def in_steps(plan: Plan) -> bool:
    """Whether ranks keep the module alive, and average gradients for the task's own optimizer."""
    from talkoot.learners.deep.optimizer_step import OptimizerStep
    from talkoot.learners.deep.task import Torch

    return (
        isinstance(plan.sync, EveryStep)
        and isinstance(plan.learner, Torch)
        and isinstance(plan.outer, OptimizerStep)
        and plan.merge.needs == "sum"
        and [*plan.chain] == [Weigh("rows")]
    )
