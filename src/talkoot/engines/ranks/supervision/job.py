"""Checks that all ranks run the same plan on the same nodes."""

from __future__ import annotations

from collections.abc import Mapping

from talkoot.core.errors import PlanError
from talkoot.core.plan import Plan
from talkoot.core.shard import Shard
from talkoot.engines.ranks.collectives.group import Peers
from talkoot.engines.ranks.collectives.objects import all_gather_object

Job = tuple[list[str], dict[str, int | None]]


def agree_on_job(plan: Plan, shards: Mapping[str, Shard], group: Peers) -> None:
    """Make sure that all ranks run the same plan on the same nodes.

    Raises:
        PlanError: they do not; the first difference is named.
    """
    mine: Job = plan.lines(), {name: getattr(shard, "rows", None) for name, shard in shards.items()}
    first, *others = all_gather_object(group, mine)
    for rank, other in enumerate(others, 1):
        if other != first:
            raise PlanError(
                f"rank 0 runs {_first(first, other)}, and rank {rank} runs {_first(other, first)}",
                step="comparing jobs",
                cure="Run the same program with the same data on every rank; each reads its own nodes' part.",
            )


def _first(mine: Job, theirs: Job) -> str:
    """The first line or node of `mine` that `theirs` lacks."""
    lines = [line for line in mine[0] if line not in theirs[0]]
    nodes = [
        f"node {name!r} of {rows} rows"
        for name, rows in mine[1].items()
        if (name, rows) not in theirs[1].items()
    ]
    return (lines or nodes or [f"{len(mine[1])} nodes"])[0]
